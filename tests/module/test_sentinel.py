"""Redis Sentinel, unmodified, watches a cluster: it finds out that the primary is gone, chooses a backup, and tells clients."""

import contextlib
import signal
import time

import pytest
import redis
from cluster import wait_for
from resp import Connection
from sentinels import NAME, Sentinels


@pytest.fixture
def make_sentinels(tmp_path, request):
    made = []

    def make(cluster, **options):
        sentinels = Sentinels(tmp_path, cluster[0], **options)
        made.append(sentinels)
        sentinels.wait_ready(len(cluster.nodes))
        return sentinels

    yield make
    for sentinels in made:
        sentinels.close()


def write_until_acknowledged(client, key, value, seconds=30):
    def write():
        with contextlib.suppress(redis.RedisError):
            return client.set(key, value)

    wait_for(write, seconds, f"a write of {key}")


def read_all(client, keys):
    """Tried again: the heir's clients are told to ask anew when Sentinel makes it the primary by its own order, too."""
    found = []

    def read():
        with contextlib.suppress(redis.RedisError):
            found.append({key: client.get(key) for key in keys})
        return found

    wait_for(read, what="a primary that answers")
    return found[-1]


def test_a_client_that_asks_sentinel_carries_on(make_cluster, make_sentinels):
    cluster = make_cluster()
    sentinels = make_sentinels(cluster, down_after=500)
    client = sentinels.finder().master_for(NAME, socket_timeout=2, decode_responses=True)
    acknowledged = {}
    for round_number in range(2):
        for i in range(100):
            key = f"{round_number}:{i}"
            write_until_acknowledged(client, key, key)
            acknowledged[key] = key
        old = cluster.primary()
        old.kill()
        start = time.monotonic()
        write_until_acknowledged(client, f"after {round_number}", "v", 60)
        acknowledged[f"after {round_number}"] = "v"
        print(f"first acknowledged write {time.monotonic() - start:.2f} s after the primary was killed")
        heir = cluster.primary()
        assert heir is not old
        wait_for(lambda: heir.port == sentinels.primary(), what="the first Sentinel to hear of it")
        assert read_all(client, acknowledged) == acknowledged
        old.start()
        cluster.wait_in_sync(heir, 60)
        # A Sentinel that is still busy with this failover takes long for the next one: docs/operations.md, "Sentinel".
        sentinels.wait_calm(len(cluster.nodes))


# Sentinel would find out by itself only after this, long after the tests have given up.
NEVER = 600_000


def knows_sentinels(cluster, sentinels):
    """Every node has overheard every Sentinel: they say hello every two seconds."""
    sentinels.wait_ready(len(cluster.nodes))
    for node in cluster.nodes:
        with contextlib.closing(node.client()) as client, contextlib.closing(client.pubsub()) as hellos:
            hellos.subscribe("__sentinel__:hello")
            heard = set()

            def all_heard():
                message = hellos.get_message(timeout=0.1)
                if message and message["type"] == "message":
                    heard.add(message["data"].split(",")[1])
                return len(heard) == len(sentinels.ports)

            wait_for(all_heard, what="every Sentinel to say hello")


def test_a_backup_whose_primary_is_gone_has_sentinel_fail_over_at_once(make_cluster, make_sentinels):
    cluster = make_cluster()
    sentinels = make_sentinels(cluster, down_after=NEVER)
    knows_sentinels(cluster, sentinels)
    client = sentinels.finder().master_for(NAME, socket_timeout=2, decode_responses=True)
    client.set("before", "v")
    old = cluster.primary()
    old.kill()
    write_until_acknowledged(client, "after", "v", 30)
    assert client.get("before") == "v" and cluster.primary() is not old
    assert any("asking the Sentinel" in node.log() for node in cluster.nodes if node is not old)


def test_backups_that_were_started_anew_ask_the_sentinels_that_they_knew(make_cluster, make_sentinels):
    cluster = make_cluster()
    sentinels = make_sentinels(cluster, down_after=NEVER)
    knows_sentinels(cluster, sentinels)
    backups = cluster.nodes[1:]
    for node in cluster.nodes:
        node.kill()
    for node in backups:
        # Nobody can say hello to them.
        node.args += ["--user", *"default on nopass ~* &* +@all -publish".split()]
        node.start()
    client = sentinels.finder().master_for(NAME, socket_timeout=2, decode_responses=True)
    write_until_acknowledged(client, "after", "v", 30)
    assert any("the primary is gone: asking the Sentinel" in node.log() for node in backups)


def test_a_primary_that_a_majority_does_not_hear_is_replaced_though_sentinel_sees_nothing_wrong(make_cluster, make_sentinels):
    cluster = make_cluster()
    sentinels = make_sentinels(cluster, down_after=NEVER)
    knows_sentinels(cluster, sentinels)
    old = cluster.primary()
    old.signal(signal.SIGSTOP)
    client = sentinels.finder().master_for(NAME, socket_timeout=1, decode_responses=True)
    try:
        write_until_acknowledged(client, "k", "v", 30)
    finally:
        old.signal(signal.SIGCONT)
    heir = cluster.primary()
    assert heir is not old
    cluster.wait_in_sync(heir, 60)


def test_only_connected_sentinels_are_asked_and_only_if_wanted(make_cluster, make_sentinels):
    cluster = make_cluster(args=["--faha.sentinel-failover", "no"])
    sentinels = make_sentinels(cluster, down_after=NEVER)
    knows_sentinels(cluster, sentinels)
    backups = cluster.nodes[1:]
    for node in backups:
        with contextlib.closing(node.client()) as client:
            # Anybody may say hello, in whatever way.
            for hello in ["", ",", "," * 7, "x" * 100_000, f"127.0.0.1,{node.port},{'0' * 40},1,{NAME},127.0.0.1,1,1",
                          f"127.0.0.1,70000,{'1' * 40},1,{NAME},127.0.0.1,1,1", f"no address,1,{'2' * 40},1,{NAME},127.0.0.1,1,1"]:  # fmt: skip
                client.publish("__sentinel__:hello", hello)
    cluster[0].kill()
    wait_for(lambda: all("lost the primary" in node.log() for node in backups), what="the backups to notice")
    # As many ticks as it takes to find that it is refused; it is looked for by its effect in the other case.
    wait_for(lambda: all(node.info()["state"] == "seeking" for node in backups))
    assert not any("asking the Sentinel" in node.log() for node in backups)
    for node in backups:
        with contextlib.closing(node.client()) as client:
            client.config_set("faha.sentinel-failover", "yes")
    wait_for(lambda: cluster.primary() not in (None, cluster[0]), 60, what="another primary")
    asked = [line for node in backups for line in node.log().splitlines() if "asking the Sentinel" in line]
    assert asked and all(any(f":{port} to" in line for port in sentinels.ports) for line in asked)


def test_a_sentinel_with_a_password_is_given_it(make_cluster, make_sentinels):
    cluster = make_cluster()
    sentinels = make_sentinels(cluster, down_after=NEVER, password="a-secret-word")
    knows_sentinels(cluster, sentinels)
    backups = cluster.nodes[1:]
    cluster[0].kill()
    wait_for(lambda: any("NOAUTH" in node.log() for node in backups), what="a refusal to be told of")
    assert any("faha.sentinel-password" in node.log() for node in backups)
    for node in backups:
        with contextlib.closing(node.client()) as client:
            client.config_set("faha.sentinel-password", "a-secret-word")
    wait_for(lambda: cluster.primary() not in (None, cluster[0]), 60, what="another primary")


def test_sentinel_failover_of_a_living_primary_is_a_hand_over(make_cluster, make_sentinels):
    cluster = make_cluster()
    sentinels = make_sentinels(cluster)
    old = cluster.primary()
    with contextlib.closing(old.client()) as client:
        client.mset({f"k{i}": i for i in range(100)})
    with contextlib.closing(sentinels.client()) as client:
        assert client.execute_command("SENTINEL", "FAILOVER", NAME)
    wait_for(lambda: sentinels.primary() != old.port, 60, "the Sentinel to tell of another primary")
    heir = next(node for node in cluster.nodes if node.port == sentinels.primary())
    cluster.wait_in_sync(heir, 60)
    assert heir.client().mget([f"k{i}" for i in range(100)]) == [str(i) for i in range(100)]
    assert "did not take over" not in old.log()


def test_replicaof_no_one_asks_a_living_primary_to_hand_over(make_cluster):
    cluster = make_cluster()
    old, heir = cluster[0], cluster[2]
    old.client().set("k", "v")
    heir.client().execute_command("REPLICAOF", "NO", "ONE")
    wait_for(lambda: cluster.primary() is heir, what="the backup to become the primary")
    cluster.wait_in_sync(heir)
    assert heir.client().get("k") == "v"
    # Redis' own roles and ours agree again, also if the one that is told to lead is no member.
    assert old.redis_role() == "slave"


def test_a_sentinel_in_tilt_is_not_asked(make_cluster, make_sentinels):
    """One that stood still for two seconds takes orders for half a minute, and does nothing."""
    cluster = make_cluster()
    sentinels = make_sentinels(cluster, down_after=NEVER)
    knows_sentinels(cluster, sentinels)
    in_tilt = range(2)
    for i in in_tilt:
        sentinels.processes[i].send_signal(signal.SIGSTOP)
    time.sleep(3)  # what TILT measures is time
    for i in in_tilt:
        sentinels.processes[i].send_signal(signal.SIGCONT)
    for i in in_tilt:
        wait_for(lambda i=i: sentinels.client(i).info("sentinel")["sentinel_tilt"] == 1, what="TILT")
    cluster[0].kill()
    wait_for(lambda: sentinels.primary(2) != cluster[0].port, 60, "the Sentinel that is well to fail over")
    assert any("TILT" in node.log() for node in cluster.nodes[1:]) or sentinels.client(0).info("sentinel")["sentinel_tilt"] == 1


@pytest.mark.parametrize("who", ["an operator", "a Sentinel"])
def test_only_a_sentinel_that_has_ordered_a_change_sees_it_before_it_is_made(make_cluster, who):
    """It tells clients of the new primary once it sees that, which nobody does of what an operator has ordered."""
    cluster = make_cluster(args=["--faha.lease", "20000"])
    sentinel = Connection(cluster[2].port)
    assert sentinel.call("CLIENT", "SETNAME", "sentinel-0123abcd-cmd") == ("+", "OK")
    orders = sentinel if who == "a Sentinel" else Connection(cluster[2].port)
    cluster[0].signal(signal.SIGSTOP)  # it does not hand over meanwhile
    assert orders.call("REPLICAOF", "NO", "ONE") == ("+", "OK")
    kind, text = sentinel.call("INFO", "replication")
    cluster[0].signal(signal.SIGCONT)
    assert ("role:master" in text) == (who == "a Sentinel")
    wait_for(lambda: cluster.primary() is cluster[2], what="the backup to become the primary")


def priority(node):
    with contextlib.closing(node.client()) as client:
        return client.info("replication")["slave_priority"]


def test_a_backup_that_could_not_take_over_has_priority_0(make_cluster, make_server):
    cluster = make_cluster()
    cluster[1].client().config_set("replica-priority", 42)
    assert priority(cluster[1]) == 42 and priority(cluster[2]) == 100
    stranger = make_server(args=["--faha.pool-bytes", "32mb"]).start()  # too small, so it is not adopted
    stranger.client().execute_command("REPLICAOF", "127.0.0.1", cluster[0].port)
    wait_for(lambda: stranger.redis_role() == "slave" and priority(stranger) == 0, what="priority 0")
    # Without its primary a member may take over still.
    cluster[0].kill()
    wait_for(lambda: cluster[1].info()["state"] == "seeking", what="the backup to miss its primary")
    assert priority(cluster[1]) == 42


def test_a_promotion_that_finds_no_majority_is_visible(make_cluster):
    cluster = make_cluster()
    cluster[0].kill()
    cluster[1].kill()
    cluster[2].client().execute_command("REPLICAOF", "NO", "ONE")
    wait_for(lambda: "NOPROMISE" in cluster[2].info()["last_error"], what="last_error to tell")
    info = cluster[2].info()
    assert info["state"] == "electing" and "majority" in info["last_error"]
    with pytest.raises(redis.exceptions.ReadOnlyError):
        cluster[2].client().set("k", "v")


@pytest.mark.parametrize("order", ["FAHA.FAILOVER", "REPLICAOF NO ONE"])
def test_clients_are_told_of_a_primary_that_no_sentinel_has_ordered(make_cluster, make_sentinels, order):
    """Sentinel would not find out, or, with a shorter time, take the old primary for dead."""
    cluster = make_cluster()
    sentinels = make_sentinels(cluster, down_after=NEVER)
    knows_sentinels(cluster, sentinels)
    cluster[0].client().set("k", "v")
    if order == "FAHA.FAILOVER":
        assert cluster[0].client().execute_command(order, "TO", cluster[1].place.host, cluster[1].port)
    else:
        cluster[1].client().execute_command(order)

    def agreed():
        primary = cluster.primary()
        return primary and primary is not cluster[0] and all(sentinels.primary(i) == primary.port for i in range(3)) and primary

    primary = wait_for(agreed, 60, "the Sentinels to name the node that serves")
    assert any("asking the Sentinel" in node.log() for node in cluster.nodes)
    assert primary.client().get("k") == "v"
    client = sentinels.finder().master_for(NAME, socket_timeout=2, decode_responses=True)
    write_until_acknowledged(client, "after", "v", 30)


def test_a_planned_stop_of_the_primary_beside_sentinels(make_cluster, make_sentinels):
    """Sentinel orders the change before the primary ends, so that clients go where it says."""
    cluster = make_cluster()
    sentinels = make_sentinels(cluster, down_after=NEVER)
    knows_sentinels(cluster, sentinels)
    old = cluster[0]
    old.client().set("k", "v")
    old.signal(signal.SIGTERM)
    assert old.process.wait(30) == 0
    old.process = None
    wait_for(lambda: sentinels.primary() != old.port, 30, "the Sentinel to name another")
    heir = next(node for node in cluster.nodes if node.port == sentinels.primary())
    assert "this primary is to stop: asking the Sentinel" in old.log()
    wait_for(lambda: heir.info()["state"] == "serving", what="the heir")
    assert heir.client().get("k") == "v"


def test_rights_that_redis_own_replication_lacks_do_not_keep_sentinel_from_failing_over(make_cluster, make_sentinels):
    """As with requirepass and no masterauth: FaHA's replication needs neither, and it is what Sentinel is told of."""
    cluster = make_cluster()
    for node in cluster.nodes:
        with contextlib.closing(node.client()) as client:
            client.execute_command("ACL", "SETUSER", "default", "-psync", "-sync")
            client.execute_command("CLIENT", "KILL", "TYPE", "REPLICA")
    sentinels = make_sentinels(cluster, down_after=1000)
    wait_for(lambda: all(node.info()["redis_link"] == "down" for node in cluster.nodes[1:]), what="Redis' own links to fail")
    cluster[0].kill()
    wait_for(lambda: sentinels.primary() != cluster[0].port, 30, "a failover")
    heir = next(node for node in cluster.nodes if node.port == sentinels.primary())
    wait_for(lambda: heir.info()["state"] == "serving", what="the heir")
