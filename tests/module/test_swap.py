"""SWAPDB: as with Redis, and two databases stay swapped whatever happens to the servers."""

import contextlib
import signal

import redis

from cluster import wait_for
from resp import Connection
from twins import words


def test_replies_and_errors(twins):
    calls = ["SWAPDB", "SWAPDB 0", "SWAPDB 0 1 2", "SWAPDB a 1", "SWAPDB 0 b", "SWAPDB 1.0 2", "SWAPDB +1 2", "SWAPDB 0 99", "SWAPDB -1 0"]
    calls += ["SWAPDB 99999999999 0", "SWAPDB 0 99999999999", "SWAPDB 65536 0", "SWAPDB 99 99", "SWAPDB 0 0", "SWAPDB 3 4", "swapdb 0 1"]
    for line in calls:
        twins(*words(line))


def test_everything_of_a_database_goes_with_it(twins):
    """Keys, counts, walks, flushes and moves, in chains of swaps."""
    for db in range(4):
        twins("SELECT", db)
        twins("MSET", "k", f"of {db}", f"only{db}", "v")
        twins("SETEX", f"ends{db}", 1000, "v")
    asked = ["GET k", "DBSIZE", "EXISTS only0 only1 only2 only3", "TTL ends1", "TTL ends2", "STRLEN k"]
    for swap in ("SWAPDB 0 1", "SWAPDB 1 2", "SWAPDB 2 0", "SWAPDB 3 9", "SWAPDB 9 3", "SWAPDB 0 15", "SWAPDB 1 1", "SWAPDB 15 2"):
        twins(*words(swap))
        for db in (0, 1, 2, 3, 9, 15):
            twins("SELECT", db)
            for line in asked:
                twins(*words(line))
            keys = [sorted(key[1] for key in connection.call("KEYS", "*")[1]) for connection in twins.connections]
            assert keys[0] == keys[1], (swap, db)
            scanned = twins.connections[1].call("SCAN", 0, "COUNT", 1000)[1][1][1]
            assert sorted(key[1] for key in scanned) == keys[0]
            random = twins.connections[1].call("RANDOMKEY")[1]
            assert (random in keys[0]) if keys[0] else random is None
        stock, faha = (sorted(line.split(",avg")[0] for line in info.split("\r\n") if line.startswith("db")) for info in keyspaces(twins))
        assert stock == faha, swap
    for line in ("SELECT 2", "SET new v", "MOVE new 3", "COPY k l DB 9", "FLUSHDB", "DBSIZE", "SWAPDB 2 3", "DBSIZE", "GET new", "FLUSHALL", "DBSIZE"):
        twins(*words(line))


def keyspaces(twins):
    return [connection.call("INFO", "keyspace")[1] for connection in twins.connections]


# Of the watched key: before, in its database and the other; what is swapped; where the watch is.
WATCHES = [
    ("SET k v", "DEL k", "SWAPDB 0 1"), ("DEL k", "SET k v", "SWAPDB 0 1"), ("SET k v", "SET k v", "SWAPDB 1 0"),
    ("DEL k", "DEL k", "SWAPDB 0 1"), ("SET k v", "SET k v", "SWAPDB 1 2"), ("SET k v", "SET k v", "SWAPDB 0 0"),
    ("SET k v PX 1", "DEL k", "SWAPDB 0 1"), ("DEL k", "SET k v PX 1", "SWAPDB 0 1"), ("SET k v PX 1", "SET k v PX 1", "SWAPDB 0 1"),
    ("SET k v PX 1", "SET k v", "SWAPDB 0 1"), ("SET k v", "SET k v PX 1", "SWAPDB 0 1"),
]  # fmt: skip


def test_watched_keys(twins):
    """A transaction is aborted where a watched key is another one now; what has expired already was none."""
    other = twins.another()
    aborted = 0
    for here, there, swap in WATCHES:
        other("FLUSHALL")
        twins("UNWATCH")
        for db, line in ((0, here), (1, there)):
            other("SELECT", db)
            other(*words(line))
        for connection in twins.connections:  # until what has expired is gone for both
            wait_for(lambda: expired(connection, here, 0) and expired(connection, there, 1))
        twins("SELECT", 0)
        twins("WATCH", "k")
        other(*words(swap))
        twins("MULTI")
        twins("PING")
        aborted += twins("EXEC") == ("*", None)
    assert 0 < aborted < len(WATCHES)


def test_watched_keys_among_more_than_are_remembered(twins):
    other = twins.another()
    for start in range(0, 70_000, 1000):
        twins.connections[1].call("WATCH", *(f"name{i}" for i in range(start, start + 1000)))
        twins.connections[1].call("UNWATCH")
    for swap, lost in (("SWAPDB 0 1", True), ("SWAPDB 0 1", True), ("SWAPDB 1 2", False)):
        other("SET", "k", "v")
        twins("WATCH", "k", "absent")
        other(*words(swap))
        twins("MULTI")
        assert (twins("EXEC") == ("*", None)) == lost


def test_a_key_that_has_expired_unnoticed_is_none(twins):
    """What is swapped in has expired, and then somebody notices: nothing has changed for the watch."""
    other = twins.another()
    twins("WATCH", "k")
    lines = ["SELECT 1", "SET k v PX 1", "DEBUG SLEEP 0.01", "SWAPDB 0 1", "SELECT 0", "GET k"]
    for connection in other.connections:  # in one turn: no active expiry comes between
        connection.socket.sendall("".join(line + "\r\n" for line in lines).encode())
    for line in lines:
        other.read(line)
    twins("MULTI")
    twins("PING")
    assert twins("EXEC") == ("*", [("+", "PONG")])


def expired(connection, line, db):
    connection.call("SELECT", db)
    return "PX" not in line or connection.call("TTL", "k") == (":", -2)


def test_client_side_caches_are_told(servers):
    """They know keys without their databases: with FaHA, unlike with Redis 7, they forget all."""
    cache, client = Connection(servers[1].port), Connection(servers[1].port)
    client.call("FLUSHALL")
    client.call("SET", "k", "v")
    cache.call("HELLO", 3)
    cache.call("CLIENT", "TRACKING", "ON")
    cache.call("GET", "k")
    assert client.call("SWAPDB", 0, 1) == ("+", "OK")
    assert cache.read() == (">", [("$", "invalidate"), ("_", "")])


def test_transactions_and_scripts(twins):
    for line in ("SET k zero", "MULTI", "SET k new", "SWAPDB 0 1", "GET k", "SET k second", "SELECT 1", "GET k", "SWAPDB 1 2", "EXEC"):
        twins(*words(line))
    for line in ("SELECT 0", "GET k", "SELECT 1", "GET k", "SELECT 2", "GET k"):
        twins(*words(line))
    twins("EVAL", "redis.call('SELECT', 2) redis.call('SWAPDB', 2, 5) return {redis.call('DBSIZE'), redis.pcall('SWAPDB', 0, 99)['err']}", 0)
    twins("SELECT", 5)
    twins("GET", "k")


def test_keys_expire_where_they_are(make_server):
    server = make_server().start()
    client = server.client()
    events = client.pubsub()
    client.config_set("notify-keyspace-events", "Ex")
    events.psubscribe("__keyevent@*__:expired")
    client.set("soon", "v", px=200)
    client.set("late", "v", ex=1000)
    client.swapdb(0, 6)
    assert client.dbsize() == 0 and server.client(db=6).dbsize() == 2
    messages = iter(lambda: events.get_message(timeout=10), None)
    assert next((m["channel"], m["data"]) for m in messages if m["type"] == "pmessage") == ("__keyevent@6__:expired", "soon")
    assert server.client(db=6).keys() == ["late"]
    assert "db6:keys=1,expires=1" in str(Connection(server.port).call("INFO", "keyspace"))


def filled(server):
    for db in range(3):
        server.client(db=db).set("k", f"of {db}")


def values(server):
    return [server.client(db=db).get("k") for db in range(4)]


def test_they_stay_swapped_after_a_crash_and_a_planned_restart(make_server):
    server = make_server().start()
    filled(server)
    server.client().swapdb(0, 1)
    server.client().swapdb(1, 3)
    expected = ["of 1", None, "of 2", "of 0"]
    assert values(server) == expected
    server.kill()
    server.start()
    assert values(server) == expected
    server.signal(signal.SIGTERM)
    server.process.wait()
    assert (server.folder / "faha.pool.index").exists()
    server.start()
    assert "the index is that of the checkpoint" in server.log()
    assert values(server) == expected
    client = server.client()
    for i in range(40):  # the swap's segment is cleaned, and others after it
        client.set("filler", "f" * 3_000_000)
    assert server.info()["cleaned_segments"] > 5
    server.kill()
    server.start()
    assert values(server) == expected


def test_a_backup_knows_it_and_one_that_returns_learns_it(make_cluster):
    cluster = make_cluster()
    primary, heir, away = cluster.nodes
    filled(primary)
    away.kill()
    with contextlib.closing(primary.client()) as client:
        assert client.execute_command("SWAPDB", 0, 1)
        assert client.execute_command("SWAPDB", 1, 2)
    primary.kill()
    away.start()
    cluster.promote(heir)
    assert values(heir) == ["of 1", "of 2", "of 0", None]
    heir.client().swapdb(0, 3)
    primary.start()
    cluster.wait_in_sync(heir)
    heir.kill()
    cluster.promote(primary)
    assert values(primary) == [None, "of 2", "of 0", "of 1"]


def test_a_full_pool_refuses_it_and_swaps_nothing(make_server):
    server = make_server().start()
    client = server.client()
    client.set("k", "zero")
    for size in (2_000_000, 100_000, 5000, 200, 0):
        with contextlib.suppress(redis.exceptions.ResponseError):
            for i in range(10_000):
                client.set(f"{size}:{i}", "f" * size)
    raw = Connection(server.port)
    for _ in range(1000):
        before = sizes(server)
        kind, text = raw.call("SWAPDB", 0, 1)
        if kind == "-":
            break
        assert sizes(server) == before[::-1]
    assert kind == "-" and text.startswith("NOSPACE "), text
    assert sizes(server) == before
    server.kill()
    server.start()
    assert sizes(server) == before


def sizes(server):
    return [server.client(db=db).dbsize() for db in (0, 1)]
