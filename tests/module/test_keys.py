"""Keys that move, the rights on every key a command names, and what INFO tells of them."""

import pytest
import redis

from cluster import wait_for
from resp import Connection
from twins import words

MB = 1 << 20


def test_commands_are_described_as_the_built_in_ones(servers):
    """Flags, arity and keys, by which clients, replicas and ACL rules go."""
    stock = {name: entry for name, entry in described(servers[0])}
    ours = {name.removeprefix("faha."): entry for name, entry in described(servers[1]) if name.startswith("faha.")}
    compared = 0
    for name, entry in ours.items():
        native = stock.get(name, stock.get(name.replace(".", "|", 1)))
        if native is None or name.startswith("debug"):
            continue
        compared += 1
        # It is Redis that adds "movablekeys"; what tells a command apart for a module is no flag of FaHA's.
        unlike = {"no_async_loading", "module", "movablekeys", "getkeys_api", "no_multi", "noscript", "may_replicate", "loading", "stale", "sentinel"}
        assert set(entry["flags"]) - unlike == set(native["flags"]) - unlike, name
        assert entry["arity"] == native["arity"], name
        if name != "sort":
            assert entry["range"] == native["range"], name
        # PFCOUNT keeps its count in the value, with Redis.
        known = {"variable_flags", "not_key", "incomplete", *(["RW", "RO"] if name == "pfcount" else [])}
        specs = [[[flag for flag in spec if flag not in known] for spec in each["specs"]] for each in (entry, native)]
        if name not in ("sort", "sort_ro"):
            assert specs[0] == specs[1], name
    assert compared > 60


def described(server):
    for entry in Connection(server.port).call("COMMAND")[1]:
        for part in [entry, *(entry[1][9][1] or [])]:
            name, arity, flags, *keys = (part[1][i][1] for i in range(6))
            specs = [[flag[1] for flag in spec[1][spec[1].index(("$", "flags")) + 1][1]] for spec in part[1][8][1]]
            yield name, {"arity": arity, "flags": [flag[1] for flag in flags], "range": keys, "specs": specs}


# Keys stand in braces: r is read, w written, b both, - merely named.
CALLS = [
    "GETSET {b} v", "GETRANGE {r} 0 -1", "SUBSTR {r} 0 -1", "SETRANGE {w} 0 x", "LCS {r} {r}", "SETBIT {b} 1 1",
    "GETBIT {r} 1", "BITCOUNT {r}", "BITPOS {r} 1",
    "BITOP OR {w} {r} {r}", "BITFIELD {b} SET u8 0 1", "BITFIELD_RO {r} GET u8 0", "PFADD {w} a", "PFCOUNT {r} {r}",
    "PFMERGE {b} {r} {r}", "EXPIRETIME {r}", "PEXPIRETIME {r}",
    "RENAME {b} {w}", "RENAMENX {b} {w}", "COPY {r} {w}", "COPY {r} {w} DB 1 REPLACE", "MOVE {b} 1", "DUMP {r}",
    "RESTORE {w} 0 bad", "SORT {r}", "SORT {r} STORE {w}",
    "SORT {r} LIMIT 0 1 STORE any STORE {w}", "SORT_RO {r}", "TOUCH {-} {-}", "OBJECT ENCODING {-}", "MEMORY USAGE {-}",
    "GET {r}", "MGET {r} {r}",
]  # fmt: skip


def test_rights_on_every_key(twins):
    """As with Redis: a key that a user may not touch is denied at every place of every command, in scripts as well."""
    for line in (
        "ACL SETUSER some on nopass +@all ~any ~all* %R~read* %W~write*", "MSET all:1 v all:2 v read v write v none v",
        "AUTH some x",
    ):  # fmt: skip
        twins(*words(line))
    # Of each key, the rights that a place may want.
    rights = {"all:3": "rwb-", "read": "r-", "write": "w-", "none": ""}
    denied = 0
    for call in CALLS:
        parts = words(call)
        places = [i for i, part in enumerate(parts) if part.startswith("{")]
        for place in places:
            for key, granted in rights.items():
                args = [key if i == place else f"all:{i}" if i in places else part for i, part in enumerate(parts)]
                twins("SET", "all:1", "v")
                reply = twins(*args)
                no = reply[0] == "-" and reply[1].startswith("NOPERM")
                assert no == (parts[place][1] not in granted), (args, reply)
                denied += no
                quoted = ",".join(f'"{arg}"' for arg in args)
                script = f"local r = redis.pcall({quoted}) return type(r) == 'table' and r.err and r.err:find('NOPERM') or 0"
                twins("EVAL", script, 0)
    assert denied > 60
    for connection in twins.connections:
        connection.call("AUTH", "default", "")


def test_rights_on_commands(servers):
    """ACL rules may name FaHA's commands, too."""
    admin = servers[1].client()
    admin.execute_command(*words("ACL SETUSER one on nopass -@all +faha.get +faha.object.encoding +faha.copy ~*"))
    client = Connection(servers[1].port)
    client.call("AUTH", "one", "x")
    for line in ("GET k", "OBJECT ENCODING k", "COPY k l"):
        assert client.call(*words(line))[0] != "-", line
    for line in ("SET k v", "OBJECT FREQ k", "INFO"):
        assert client.call(*words(line))[1].startswith("NOPERM"), line
    admin.execute_command("ACL", "DELUSER", "one")


def keyspace(connection, *sections):
    kind, text = connection.call("INFO", *sections)
    lines = text.removeprefix("txt:").split("\r\n")
    start = lines.index("# Keyspace") if "# Keyspace" in lines else None
    return kind, None if start is None else [line for line in lines[start + 1 :] if line.startswith("db")], lines


@pytest.mark.parametrize("protocol", ["2", "3"])
def test_memory_stats_count_the_keys(twins, protocol):
    for each in twins.connections:
        each.call("HELLO", protocol)
    twins("SELECT", "2")
    for key in range(10):
        twins("SET", f"k{key}", "v" * 1000)
    stock, faha = [each.call("MEMORY", "STATS") for each in twins.connections]

    def stats(reply):
        kind, value = reply
        pairs = value if kind == "%" else zip(value[::2], value[1::2], strict=True)
        return kind, {name[1]: value for name, value in pairs}

    (kind, stock), (same_kind, faha) = stats(stock), stats(faha)
    assert kind == same_kind and stock.keys() - faha.keys() == {"db.2"} and not faha.keys() - stock.keys()
    assert stock["keys.count"] == faha["keys.count"] == (":", 10)
    assert faha["keys.bytes-per-key"][1] > 0
    assert {name: value[0] for name, value in faha.items()} == {name: value[0] for name, value in stock.items() if name != "db.2"}


def test_info_tells_of_the_keyspace(twins):
    """As Redis' own, whatever the sections, in both protocols."""
    for line in (
        "INFO keyspace", "SET a 1", "INFO keyspace", "SETEX b 1000 v", "info KEYSPACE", "SELECT 3", "SETEX c 1000 v",
        "SET d v",
        "SELECT 15", "SET e v", "INFO KeySpace", "SELECT 0",
    ):  # fmt: skip
        if line.upper().startswith("INFO"):
            stock, faha = (keyspace(connection, *words(line)[1:])[:2] for connection in twins.connections)
            assert [text.split(",avg")[0] for text in stock[1]] == [text.split(",avg")[0] for text in faha[1]], line
        else:
            twins(*words(line))
    for protocol in (2, 3):
        for line in ("", "all", "everything", "default", "server keyspace", "keyspace clients", "server", "nothing"):
            sections = line.split()
            stock, faha = (keyspace(connection, *sections) for connection in twins.connections)
            assert stock[0] == faha[0]
            plain = [None if lines[1] is None else [line.split(",avg")[0] for line in lines[1]] for lines in (stock, faha)]
            assert plain[0] == plain[1], sections
            titles = [[line for line in lines[2] if line.startswith("# ") and "faha" not in line] for lines in (stock, faha)]
            assert titles[0] == [title for title in titles[1] if title != "# Modules" or title in titles[0]], sections
        for connection in twins.connections:
            connection.call("HELLO", 3)
    twins("MULTI")
    for connection in twins.connections:
        connection.call("INFO", "keyspace")
        assert "db3:keys=2,expires=1" in connection.call("EXEC")[1][0][1]
        assert "db15:keys=1,expires=0" in connection.call("EVAL", "return redis.call('INFO', 'keyspace')", 0)[1]


def test_moved_keys_survive(make_server):
    server = make_server().start()
    client = server.client()
    client.mset({"a": "1", "b": "2", "c": "3"})
    client.expire("a", 1000)
    client.rename("a", "a2")
    client.copy("b", "b2", destination_db=1)
    client.move("c", 2)
    client.pfadd("h", "x")
    server.kill()
    server.start()
    client = server.client()
    assert set(client.keys()) == {"a2", "b", "h"} and client.ttl("a2") > 900 and client.pfcount("h") == 1
    assert [server.client(db=db).dbsize() for db in (1, 2)] == [1, 1]
    assert server.client(db=2).get("c") == "3"


def test_a_backup_tells_of_the_keyspace(make_cluster):
    cluster = make_cluster(size=2)
    client = cluster[0].client()
    client.set("k", "v", ex=1000)
    client.set("l", "v")
    backup = Connection(cluster[1].port)
    wait_for(lambda: keyspace(backup)[1] == ["db0:keys=2,expires=1,avg_ttl=0"], what="the backup's keyspace")
    for line in ("RENAME k l", "COPY k m", "DUMP k", "PFADD h a", "SETBIT b 1 1", "OBJECT ENCODING k"):
        reply = backup.call(*words(line))
        assert reply[0] == "-", (line, reply)


def test_a_result_over_the_limit(make_server):
    server = make_server(args=["--faha.segment-bytes", "1mb", "--faha.pool-bytes", "16mb"]).start()
    client = server.client()
    client.mset({"k": "old", "big": "x" * 900_000})
    payload, name = server.client(decode_responses=False).dump("big"), "k" * 200_000
    for call in (
        ["SETRANGE", "k", 2 * MB, "x"], ["SETRANGE", "k", 400 * MB, "x"], ["SETBIT", "k", 16 * MB, 1], ["BITFIELD", "k", "SET", "u8", 16 * MB, 1],
        ["RENAME", "big", name], ["COPY", "big", name], ["BITOP", "NOT", name, "big"], ["RESTORE", name, 0, payload], ["GETSET", "k", "x" * MB],
    ):  # fmt: skip
        with pytest.raises(redis.exceptions.ResponseError, match="TOOLARGE .*faha.segment-bytes"):
            client.execute_command(*call)
        assert client.dbsize() == 2 and client.get("k") == "old" and client.strlen("big") == 900_000, "half of it happened"
    assert server.native_keys() == 0


def test_no_room_for_a_result(make_server):
    """All or nothing, also of what takes several records."""
    server = make_server(args=["--faha.segment-bytes", "1mb", "--faha.pool-bytes", "8mb"]).start()
    client = server.client()
    client.mset({"small": "v", "h": "v", "to": "old"})
    client.delete("h")
    client.pfadd("h", "a")
    payload = server.client(decode_responses=False).dump("small")
    for size in (10_000, 100, 1):
        with pytest.raises(redis.exceptions.ResponseError, match="NOSPACE"):
            for i in range(100_000):
                client.set(f"fill {size} {i}", "x" * size)
    name = "n" * 3000
    before = client.dbsize()
    for call in (
        ["RENAME", "small", name], ["RENAMENX", "small", name], ["COPY", "small", name], ["MOVE", "small", 1], ["GETSET", "to", "x" * 5000],
        ["SETRANGE", "to", 100_000, "x"], ["SETBIT", "to", 800_000, 1], ["BITFIELD", "to", "SET", "u8", 800_000, 1],
        ["BITOP", "NOT", name, "small"], ["PFADD", name, "b"], ["PFMERGE", name, "h"], ["RESTORE", name, 0, payload],
    ):  # fmt: skip
        with pytest.raises(redis.exceptions.ResponseError, match="NOSPACE"):
            client.execute_command(*call)
        assert client.dbsize() == before and client.mget("small", "to", name) == ["v", "old", None], call
    assert server.native_keys() == 0
