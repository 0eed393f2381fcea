"""What runs natively on lent keys (module/scratch.h) leaves no trace, and values move between FaHA and Redis."""

import re

import pytest

from cluster import wait_for
from resp import Connection
from twins import words

FAR = 4102444800000  # a date in 2100, in milliseconds
# Of every command that runs natively: what works, and what fails half way.
LINES = [
    "SET secret-name lent-value", "PFADD h a b c", "PFADD h a", "PFCOUNT h", "PFCOUNT h other", "PFMERGE m h other",
    "PFMERGE m secret-name", "PFADD secret-name x",
    "LCS secret-name h", "LCS secret-name h IDX BAD", "DUMP secret-name", "DUMP none", "RESTORE secret-name 0 bad REPLACE",
    "SORT secret-name", "SORT none STORE secret-name",
    "SORT none LIMIT x y STORE h", "SORT_RO none", "MEMORY USAGE h", "MEMORY USAGE h SAMPLES x", "DEBUG OBJECT h",
    "DEBUG OBJECT none",
]  # fmt: skip
READS = [
    "PFCOUNT h", "PFCOUNT h k", "LCS k h", "DUMP k", "SORT none", "SORT k", "SORT_RO k", "MEMORY USAGE k", "DEBUG OBJECT k", "PFADD h a",
    "PFADD k x",
]  # fmt: skip


def test_nothing_is_propagated(make_cluster):
    """Neither the AOF nor a replica learns of what is lent."""
    faha, backup = make_cluster(size=2).nodes
    replica, client = Connection(faha.port), Connection(faha.port)
    assert replica.call("REPLCONF", "listening-port", backup.port) == ("+", "OK")
    replica.send("PSYNC", "?", "-1")
    wait_for(lambda: b"REDIS" in replica.peek(), what="the replica's first data")
    for line in LINES:
        client.call(*words(line))
    client.call("PUBLISH", "the", "marker")
    stream = wait_for(lambda: b"marker" in replica.peek() and replica.peek(), what="the marker")
    assert not re.search(rb"secret-name|lent-value|PFADD|RESTORE", stream, re.IGNORECASE), stream
    replica.close()
    aof = b"".join(path.read_bytes() for path in (faha.folder / "appendonlydir").glob("*.aof"))
    assert aof == b"", aof


def test_notifications_are_as_they_were(servers):
    client = servers[1].client()
    connection = Connection(servers[1].port)
    for setting in ("", "AKE", "Kg$"):
        client.config_set("notify-keyspace-events", setting)
        setting = client.config_get("notify-keyspace-events")
        for line in LINES:
            connection.call(*words(line))
            assert client.config_get("notify-keyspace-events") == setting, line
    client.config_set("notify-keyspace-events", "")


def test_reads_change_nothing_for_watches_and_caches(twins):
    """No read is a change: not for WATCH, and not for a client that caches everything."""
    for line in ("SET k v", "PFADD h a", "PFADD h a"):
        twins(*words(line))
    faha = twins.connections[1]
    cache, watcher = Connection(faha.socket.getpeername()[1]), Connection(faha.socket.getpeername()[1])
    cache.call("HELLO", 3)
    cache.call("CLIENT", "TRACKING", "ON", "BCAST")
    for line in READS:
        watcher.call("WATCH", "k", "h", "none")
        faha.call(*words(line))
        watcher.call("MULTI")
        assert watcher.call("EXEC") == ("*", []), line
    assert cache.call("PING") == ("+", "PONG")
    assert cache.peek() == b"", "an invalidation"
    for line in ("HSET hash f v", "SADD set m", "ZADD sorted 1 m", "RPUSH list e"):
        faha.call(*words(line))
        assert cache.read()[0] == ">"
    for key in ("hash", "set", "sorted", "list"):
        faha.call("DUMP", key)
        faha.call("OBJECT", "ENCODING", key)
    assert cache.call("PING") == ("+", "PONG")
    assert cache.peek() == b"", "an invalidation"
    faha.call("PFADD", "h", "new")
    assert cache.read() == (">", [("$", "invalidate"), ("*", [("$", "h")])])
    assert cache.call("PING") == ("+", "PONG")
    assert cache.peek() == b"", "one change, one invalidation"


def test_monitor_shows_no_other_keys(servers):
    monitor, connection = Connection(servers[1].port), Connection(servers[1].port)
    monitor.call("MONITOR")
    connection.call("PFADD", "h", "a")
    connection.call("ECHO", "the end")
    lines = []
    while not lines or "the end" not in lines[-1]:
        lines.append(monitor.read()[1].split("] ", 1)[1])
    assert lines == ['"pfadd" "h" "a"', '"faha.pfadd" "h" "a"', '"ECHO" "the end"']


def test_encodings_of_collections(twins):
    """At and around the limits of Redis' packed forms, which may be set."""
    for entries, value in ((512, 64), (5, 3), (0, 64)):
        for kind in ("hash", "zset"):
            twins("CONFIG", "SET", f"{kind}-max-listpack-entries", entries, f"{kind}-max-listpack-value", value)
        twins("CONFIG", "SET", "set-max-intset-entries", entries)
        for size in (1, entries, entries + 1, 2000):
            for word in ("1", "x" * value, "x" * (value + 1), "-0", "1.5"):
                twins("FLUSHALL")
                names = [*map(str, range(2, size + 1)), word]
                for call in (["HSET", "h", *(part for name in names for part in (name, "v"))], ["HSET", "values", "f", word],
                             ["SADD", "s", *names], ["ZADD", "z", *(part for name in names for part in ("1", name))], ["RPUSH", "l", *names]):  # fmt: skip
                    twins(*call)
                for key in ("h", "values", "s", "z", "l"):
                    twins("OBJECT", "ENCODING", key)
    for kind in ("hash", "zset"):
        twins("CONFIG", "SET", f"{kind}-max-listpack-entries", 128, f"{kind}-max-listpack-value", 64)
    twins("CONFIG", "SET", "set-max-intset-entries", 512)


def test_values_move_both_ways(twins):
    """Each server's DUMP is the other's RESTORE."""
    values = [b"", b"v", b"12", b"-1", b"70000", b"123456789012", b"x" * 1000, bytes(range(256)), b"ab" * 100_000]
    for value in values:
        twins("SET", "k", value)
        payload = twins("DUMP", "k")[1].encode("latin-1")
        for options in ("", "REPLACE", "BAD", "REPLACE IDLETIME 5", "REPLACE FREQ 5", "REPLACE FREQ 5 IDLETIME 5"):
            twins("RESTORE", "k", 0, payload, *options.split())
            twins("RESTORE", "new", 0, payload, *options.split())
            twins("GET", "new")
            twins("DEL", "new")
        for options in ("100000", f"{FAR} ABSTTL", "1 ABSTTL", "-1", "x", f"{2**63 - 1} ABSTTL", "0 ABSTTL"):
            ttl, *more = options.split()
            twins("SET", "old", "v")
            for key in ("fresh", "old"):
                twins("RESTORE", key, ttl, payload, "REPLACE", *more)
                twins("PTTL", key)
                twins("GET", key)
                twins("DEL", key)
        for damaged in (payload[:-1], payload + b"x", b"\x00" + payload[1:-1] + b"\x00", payload[:-10] + b"\xff\xff" + payload[-8:]):
            twins("RESTORE", "new", 0, damaged)
        twins("DBSIZE")


def test_a_stream_is_not_restored(twins):
    stock, faha = twins.connections
    faha.call("SET", "k", "v")
    stock.call("XADD", "x", "*", "f", "v")
    payload = stock.call("DUMP", "x")[1].encode("latin-1")
    for args in (["new"], ["k", "REPLACE"]):
        reply = faha.call("RESTORE", args[0], 0, payload, *args[1:])
        assert reply[0] == "-" and reply[1].startswith("UNSUPPORTED 'restore'"), reply
    assert faha.call("MGET", "new", "k") == ("*", [("$", None), ("$", "v")])
    stock.call("FLUSHALL")


def test_hyperloglogs_are_redis_own(twins):
    for i in range(200):
        twins("PFADD", "h", *(f"element {i} {j}" for j in range(i % 40)))
        if i % 20 == 0:
            twins("GET", "h")
            twins("PFMERGE", "h2", "h")
    twins("PFCOUNT", "h", "h2")
    twins("STRLEN", "h")
    twins("PFCOUNT", "h")


def test_in_transactions_and_scripts(twins):
    for line in (
        "SET k v", "MULTI", "PFADD h a", "PFCOUNT h", "PFADD k a", "DUMP k", "SORT none STORE k", "EXISTS k", "EXEC",
        "SET k v",
        "EVAL 'return {redis.call(\"PFADD\", \"h\", \"b\"), redis.call(\"PFCOUNT\", \"h\"), redis.call(\"LCS\", \"k\", \"k\")}' 0",
        "EVAL 'return redis.pcall(\"PFADD\", \"k\", \"b\")' 0",
        "EVAL 'redis.setresp(3) return redis.call(\"LCS\", \"k\", \"k\", \"IDX\")' 0",
        "EVAL 'return redis.call(\"DUMP\", \"k\")' 0", "GET k", "PFCOUNT h",
    ):  # fmt: skip
        twins(*words(line))


@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_keep_their_shape(twins, protocol):
    for connection in twins.connections:
        connection.call("HELLO", protocol)
    for line in ("MSET a ohmytext b mynewtext", "LCS a b IDX WITHMATCHLEN", "LCS a b", "DUMP none", "SORT none", "SORT a", "PFADD a 1"):
        twins(*words(line))


def test_monitor_and_slowlog_show_what_clients_send(make_server):
    """Nothing that the module asks the server, for the first reply, for a name that it has not met, or for an ACL rule."""
    server = make_server().start()
    client = server.client()
    monitor = Connection(server.port)
    assert monitor.call("MONITOR") == ("+", "OK")
    asking = Connection(server.port)
    assert asking.call("SET", "k", "v") == ("+", "OK")
    assert asking.call("nonsense", "k")[0] == "-"
    assert asking.call("GET", "k") == ("$", "v")
    lines = [monitor.read()[1] for _ in range(2)]
    assert '"SET" "k" "v"' in lines[0].replace('"faha.set"', '"SET"') and '"k"' in lines[1] and "get" in lines[1], lines
    # The rights of a user are compared once for each of FaHA's commands, without asking the server about each again.
    client.acl_setuser("u", enabled=True, commands=["+@all"])
    client.config_set("slowlog-log-slower-than", 0)
    client.slowlog_reset()
    client.acl_setuser("u", enabled=True, commands=["-get"])
    shown = [entry["command"] for entry in client.slowlog_get(1000)]
    assert any(b"acl SETUSER" in command for command in shown)
    assert not [command for command in shown if command.startswith(b"COMMAND")]
