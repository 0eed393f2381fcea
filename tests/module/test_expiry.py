"""Keys go when their time has come, though nobody asks for them: on the primary, and on backups by what it tells them."""

import time

from cluster import wait_for


def fill(client, names, **deadline):
    with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.set(name, "v", **deadline)
        pipeline.execute()


def test_keys_expire_untouched_on_every_node(make_cluster):
    cluster = make_cluster()
    primary = cluster[0]
    client = primary.client()
    events = client.pubsub()
    client.config_set("notify-keyspace-events", "Ex")
    events.psubscribe("__keyevent@*__:expired")
    fill(client, [f"stay:{i}" for i in range(3000)])
    fill(client, [f"late:{i}" for i in range(100)], ex=1000)
    fill(client, [f"soon:{i}" for i in range(3000)], px=50)
    primary.client(db=7).set("elsewhere", "v", px=50)
    wait_for(lambda: primary.info()["keys"] == 3100, what="the keys to expire")
    told = set()
    while len(told) < 3001:
        message = events.get_message(timeout=10)
        assert message, f"{len(told)} events"
        if message["type"] == "pmessage":
            told.add((message["channel"], message["data"]))
    assert told == {("__keyevent@0__:expired", f"soon:{i}") for i in range(3000)} | {("__keyevent@7__:expired", "elsewhere")}
    info = primary.info()
    assert info["expiring"] == 100 and info["expired_keys"] == 3001
    for backup in cluster.nodes[1:]:
        wait_for(lambda: backup.info()["keys"] == 3100, what="the backups to hear of it")
        assert backup.info()["expiring"] == 100 and backup.info()["expired_keys"] == 0
    assert client.dbsize() == 3100


def test_backups_expire_nothing_and_a_new_primary_goes_on(make_cluster):
    cluster = make_cluster()
    old, new = cluster[0], cluster[1]
    fill(old.client(), [f"k{i}" for i in range(500)], px=1500)
    wait_for(lambda: new.info()["keys"] == 500, what="the backups to have all")
    old.kill()
    time.sleep(2)  # the keys' time passes while there is no primary
    assert new.info()["keys"] == 500
    cluster.promote(new)
    wait_for(lambda: new.info()["keys"] == 0, what="the new primary to expire them")
    assert new.info()["expired_keys"] == 500


def test_keys_whose_time_came_while_the_server_was_down(make_server):
    for stop in ("kill", "shutdown"):
        server = make_server().start()
        client = server.client()
        fill(client, [f"k{i}" for i in range(200)], px=300)
        client.set("stays", "v", ex=1000)
        end = time.monotonic() + 0.4
        if stop == "kill":
            server.kill()
        else:
            client.shutdown(nosave=True)
            server.process.wait(30)
        wait_for(lambda: time.monotonic() > end, what="their time")
        server.start()
        wait_for(lambda: server.info()["keys"] == 1, what="the keys to expire")
        assert server.info()["expiring"] == 1 and server.client().ttl("stays") > 900


def test_what_is_counted_as_expiring(make_server):
    server = make_server().start()
    client = server.client()
    steps = [
        (("SET", "a", "v", "EX", 1000), 1),
        (("SET", "a", "w", "EX", 900), 1),
        (("SET", "b", "v", "EX", 1000), 2),
        (("SET", "a", "w"), 1),
        (("PERSIST", "b"), 0),
        (("EXPIRE", "b", 1000), 1),
        (("DEL", "b"), 0),
        (("SETEX", "c", 1000, "v"), 1),
        (("SELECT", 2), 1),
        (("SETEX", "d", 1000, "v"), 2),
        (("FLUSHDB",), 1),
        (("SETEX", "d", 1000, "v"), 2),
        (("FLUSHALL",), 0),
        (("SETEX", "e", 1000, "v"), 1),
    ]
    with client.client() as one:
        for command, count in steps:
            one.execute_command(*command)
            assert server.info()["expiring"] == count, command
    server.kill()
    server.start()
    assert server.info()["expiring"] == 1


def test_a_paused_server_expires_nothing(make_server):
    server = make_server().start()
    client = server.client()
    fill(client, ["a", "b"], px=100)
    client.execute_command("CLIENT", "PAUSE", 2000, "WRITE")
    start = time.monotonic()
    wait_for(lambda: client.pttl("a") < 0 or time.monotonic() > start + 0.5, what="their time")
    assert server.info()["keys"] == 2
    client.execute_command("CLIENT", "UNPAUSE")
    wait_for(lambda: server.info()["keys"] == 0, what="the keys to expire")


def test_a_hundred_thousand_keys_that_expire_together_stall_nobody(make_server):
    """What is asserted is progress, not time: a client's commands go on between the parts of the work."""
    server = make_server(args=["--faha.pool-bytes", "128mb"]).start()
    client = server.client()
    for patience in (3, 12, 48):  # seconds: a busy machine takes longer to write them all
        at = int((time.time() + patience) * 1000)
        for start in range(0, 100_000, 5000):
            fill(client, [f"k{i}" for i in range(start, start + 5000)], pxat=at)
        if time.time() * 1000 < at:
            break
    left = []
    while not left or left[-1] > 0:
        left.append(server.info()["keys"])
        assert client.ping()
    falling = {keys for keys in left if 0 < keys < 100_000}
    assert len(falling) > 10, "the keys went in one go"
