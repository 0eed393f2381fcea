"""Every command that FaHA serves answers as stock Redis does; every other one that has keys is refused."""

import os
import random
import time

import pytest
import redis

from cluster import wait_for
from conftest import DEBUG
from resp import Connection
from sessions import BIG, FAR, SESSIONS, SMALL
from twins import assert_nothing_native, words

SEED = int(os.environ.get("FAHA_SEED", "1"))
STEPS = int(os.environ.get("FAHA_STEPS", "15000"))


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", SESSIONS)
def test_session(twins, name, protocol):
    for connection in twins.connections:
        connection.call("HELLO", protocol)
    for line in SESSIONS[name]:
        twins(*words(line))


def served():
    # fmt: off
    return ["set", "get", "getdel", "getex", "setnx", "setex", "psetex", "mset", "msetnx", "mget", "append", "strlen", "getset",
            "getrange", "substr", "setrange", "lcs", "incr", "decr", "incrby", "decrby", "incrbyfloat", "setbit", "getbit",
            "bitcount",
            "bitpos", "bitop", "bitfield", "bitfield_ro", "pfadd", "pfcount", "pfmerge", "del", "unlink", "exists", "touch",
            "type", "expire",
            "pexpire", "expireat", "pexpireat", "ttl", "pttl", "expiretime", "pexpiretime", "persist", "rename", "renamenx",
            "copy", "move", "swapdb",
            "dump", "restore", "sort", "sort_ro", "object|encoding", "object|freq", "object|idletime", "object|refcount",
            "memory|usage",
            "scan", "keys", "randomkey", "dbsize", "flushdb", "flushall",
            "lpush", "rpush", "lpushx", "rpushx", "lpop", "rpop", "llen", "lindex", "lset", "lrange", "ltrim", "lrem", "linsert", "lpos",
            "lmove", "rpoplpush", "lmpop", "blpop", "brpop", "blmove", "brpoplpush", "blmpop", "bzpopmin", "bzpopmax", "bzmpop",
            "hset", "hsetnx", "hmset", "hget", "hmget", "hgetall", "hkeys", "hvals", "hlen", "hstrlen", "hexists", "hdel", "hincrby", "hincrbyfloat",
            "hrandfield", "hscan", "sadd", "srem", "smove", "sismember", "smismember", "smembers", "scard", "spop", "srandmember", "sscan", "sinter",
            "sintercard", "sinterstore", "sunion", "sunionstore", "sdiff", "sdiffstore",
            "zadd", "zincrby", "zrem", "zcard", "zscore", "zmscore", "zrank", "zrevrank", "zcount", "zlexcount", "zrange", "zrangestore", "zrangebyscore",
            "zrevrangebyscore", "zrevrange", "zrangebylex", "zrevrangebylex", "zremrangebyrank", "zremrangebyscore", "zremrangebylex", "zpopmin", "zpopmax",
            "zmpop", "zrandmember", "zscan", "zunion", "zinter", "zdiff", "zunionstore", "zinterstore", "zdiffstore", "zintercard"]
    # fmt: on


@pytest.mark.parametrize("command", served())
def test_arity(twins, command):
    for count in range(6):
        args = [*command.split("|"), *["1"] * count]
        twins(*args)
        twins("MULTI")
        twins(args[0].upper(), *args[1:])
        twins("EXEC")
        quoted = ",".join(f'"{arg}"' for arg in args)
        twins("EVAL", f"return redis.pcall({quoted}) == nil", 0)


def test_binary_keys_and_values_of_every_size(twins):
    everything = bytes(range(256))
    twins("SET", everything, everything * 3)
    twins("GET", everything)
    twins("SET", b"", b"the empty key")
    twins("GET", b"")
    twins("EXISTS", b"")
    twins("SET", b"a\r\n\x00b", b"\r\n")
    twins("GET", b"a\r\n\x00b")
    for size in (1, 63, 64, 65, 4095, 4096, 100_000, 1_000_000):
        twins("SET", f"size{size}", b"x" * size)
        twins("STRLEN", f"size{size}")
        twins("GET", f"size{size}")
        twins("SET", b"k" * size, size)
        twins("GET", b"k" * size)


class Random:
    """Random calls from a small world, so that they meet: few keys, few databases, and all that goes wrong."""

    NUMBERS = ["0", "1", "-1", "7", "100", "1000", str(BIG), str(SMALL), str(BIG) + "0", "1.5", "abc", "", " 1", "01"]
    SPANS = ["1000", "5000", "100000", "0", "-1", str(BIG), "abc"]
    DATES = [str(FAR), str(FAR) + "000", "1", "0", str(BIG), "x"]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def key(self):
        return "k" + str(self.random.randrange(8))

    def value(self):
        return self.random.choice([*self.NUMBERS, "v", "longer " * self.random.randrange(30)])

    def deadline(self):
        option = self.random.choice(["EX", "PX", "EXAT", "PXAT", "ex"])
        values = self.DATES if "AT" in option else self.SPANS
        # A short PX would run out between the two servers.
        return [option, "500000" if option == "PX" else self.random.choice(values)]

    def bit_range(self, least):
        ends = [self.random.randrange(-70, 70) for _ in range(self.random.randrange(4))]
        return [*ends, *self.random.choice([[], ["BIT"], ["BYTE"]])] if len(ends) > least else ends

    def field(self):
        pick = self.random
        place = [pick.choice("iu") + str(pick.choice([1, 2, 5, 8, 31, 63, 64])), pick.choice(["", "#"]) + str(pick.randrange(9))]
        # Not the smallest of all, which Redis takes for a large one when it saturates.
        number = pick.choice([*self.NUMBERS[:7], "-3", "300"])
        overflow = ["OVERFLOW", pick.choice(["WRAP", "SAT", "FAIL"])]
        return pick.choice([["GET", *place], ["SET", *place, number], ["INCRBY", *place, number], overflow])

    def set_options(self):
        options = []
        for _ in range(self.random.choice([0, 0, 1, 1, 2, 3])):
            options += self.random.choice([["NX"], ["XX"], ["GET"], ["KEEPTTL"], self.deadline(), ["PERSIST"]])
        return options

    def call(self):
        pick = self.random
        some = [self.key() for _ in range(pick.randrange(1, 5))]
        return pick.choice(
            [
                lambda: ["SET", self.key(), self.value(), *self.set_options()],
                lambda: ["SET", self.key(), self.value()],
                lambda: [pick.choice(["GET", "GETDEL", "STRLEN", "TYPE", "INCR", "DECR", "TTL", "PTTL", "PERSIST"]), self.key()],
                lambda: [pick.choice(["SETNX", "APPEND"]), self.key(), self.value()],
                lambda: [pick.choice(["INCRBY", "DECRBY", "INCRBYFLOAT"]), self.key(), pick.choice(self.NUMBERS)],
                lambda: [pick.choice(["SETEX", "PSETEX"]), self.key(), pick.choice(["500000", "0", "x"]), self.value()],
                lambda: ["GETEX", self.key(), *pick.choice([[], ["PERSIST"], self.deadline(), ["EX"]])],
                lambda: [pick.choice(["DEL", "UNLINK", "EXISTS", "MGET"]), *some],
                lambda: [pick.choice(["MSET", "MSETNX"]), *[part for key in some for part in (key, self.value())]],
                lambda: [
                    pick.choice(["EXPIRE", "EXPIREAT"]), self.key(), pick.choice([*self.SPANS, str(FAR)]),
                    *pick.choice([[], ["NX"], ["XX"], ["GT"], ["LT"], ["XX", "GT"], ["NX", "XX"], ["??"]])],  # fmt: skip
                lambda: ["PEXPIREAT", self.key(), pick.choice(self.DATES)],
                # Not DBSIZE: when a key that nobody asks for goes is each server's own affair.
                lambda: ["EXISTS", *(f"k{i}" for i in range(8))],
                lambda: [pick.choice(["RENAME", "RENAMENX"]), self.key(), self.key()],
                lambda: ["COPY", self.key(), self.key(), *pick.choice([[], ["REPLACE"], ["DB", "1"], ["DB", "2", "REPLACE"]])],
                lambda: ["MOVE", self.key(), pick.choice(["0", "1", "2", "99"])],
                lambda: ["SETRANGE", self.key(), pick.choice(["0", "3", "20", "-1"]), pick.choice(["", "xy"])],
                lambda: ["GETRANGE", self.key(), pick.randrange(-9, 9), pick.randrange(-9, 9)],
                lambda: ["GETSET", self.key(), self.value()],
                lambda: ["SETBIT", self.key(), pick.randrange(-1, 90), pick.randrange(3)],
                lambda: ["BITCOUNT", self.key(), *self.bit_range(2)],
                lambda: ["BITPOS", self.key(), pick.randrange(2), *self.bit_range(1)],
                lambda: ["BITOP", pick.choice(["AND", "OR", "XOR", "NOT"]), *some],
                lambda: ["BITFIELD", self.key(), *[part for _ in some for part in self.field()]],
                lambda: [pick.choice(["PFADD", "PFMERGE", "LCS", "DUMP", "EXPIRETIME", "TOUCH", "SORT"]), *some],
                lambda: ["EXISTS", *some],
            ]
        )()


@pytest.mark.parametrize("seed", range(SEED, SEED + 3))
def test_random_calls(twins, seed):
    """Two clients, databases, transactions and watches; FAHA_SEED and FAHA_STEPS choose the run."""
    world = Random(seed)
    pick = world.random
    clients = [twins, twins.another()]
    open_transaction = {client: False for client in clients}
    for _ in range(STEPS // 3):
        client = pick.choice(clients)
        chance = pick.random()
        if chance < 0.02:
            client("SELECT", pick.choice([0, 0, 1, 2, 15, 16]))
        elif chance < 0.04:
            client("MULTI")
            open_transaction[client] = True
        elif chance < 0.08:
            client(pick.choice(["EXEC", "EXEC", "EXEC", "DISCARD"]))
            open_transaction[client] = False
        elif chance < 0.11 and not open_transaction[client]:
            keys = [world.key(), world.key()]
            client("WATCH", *keys)
        elif chance < 0.115:
            client(pick.choice(["FLUSHDB", "FLUSHALL"]))
        elif chance < 0.15:
            call = world.call()
            script = "local r = redis.pcall(unpack(ARGV)) if type(r) == 'table' and r.err then return 'an error' end return r"
            client("EVAL", script, 0, *call)
        else:
            client(*world.call())


def test_watch(twins):
    other = twins.another()
    changes = ["SET k x", "APPEND k x", "DEL k", "EXPIRE k 100", "FLUSHDB", "FLUSHALL", "SET k v KEEPTTL", "GETDEL k", "INCR n"]
    changes += ["GETSET k x", "SETRANGE k 0 x", "SETBIT k 0 1", "RENAME n k", "COPY n k REPLACE", "MOVE k 7", "BITOP NOT k n", "PFADD k a"]
    others = ["GET k", "SET unrelated x", "PERSIST k", "EXPIRE none 1", "DEL none", "SET k v NX", "PFCOUNT k", "DUMP k", "LCS k n", "SORT k"]
    others += ["MEMORY USAGE k", "SETBIT k 1 1", "RENAMENX n k", "COPY n k", "GETRANGE k 0 1", "TOUCH k", "RESTORE k 0 bad REPLACE"]
    for change in [*changes, *others]:
        for prepare in ("SET k v", "DEL k"):
            twins(*words(prepare))
            twins("SET", "n", 1)
            other("EVAL", "redis.call('SELECT', 7) return redis.call('DEL', 'k')", 0)
            twins("WATCH", "k", "n", "never")
            other(*words(change))
            twins("MULTI")
            twins("SET", "done", change)
            twins("EXEC")
    # In another database the same name is another key.
    twins("SET", "k", "v")
    twins("WATCH", "k")
    other("SELECT", 1)
    for change in ("SET k elsewhere", "FLUSHDB", "FLUSHALL"):
        other(*words(change))
        twins("MULTI")
        twins("PING")
        twins("EXEC")
        twins("SET", "k", "v")
        twins("WATCH", "k")


def test_watch_and_flushes(twins):
    """A flush of one database leaves the watches of another alone; a flush of all finds them, however many there are."""
    other = twins.another()
    for names in (0, 70_000):
        for flush in ("FLUSHALL", "FLUSHDB"):
            twins("SELECT", 2)
            twins("SET", "k", "v")
            twins("WATCH", "k", "absent")
            for start in range(0, names, 1000):  # many clients: what one client watches Redis goes through at each new key
                twins.another()("WATCH", *(f"name{i}" for i in range(start, start + 1000)))
            other("SELECT", 0)
            other("SET", "k", "v")
            other("FLUSHDB")
            other("SELECT", 2)
            twins("MULTI")
            other(flush)
            assert twins("EXEC") == ("*", None)


def test_keyspace_notifications(twins):
    listener = twins.another()
    twins("CONFIG", "SET", "notify-keyspace-events", "KEAmn")
    listener("PSUBSCRIBE", "__key*__:*")
    # fmt: off
    lines = ["SET k v", "SET k v EX 100", "SET k v KEEPTTL", "SETNX k w", "SETNX l w", "SETEX k 100 v", "GETEX k PERSIST",
             "GETEX k EX 100", "APPEND k x", "INCR n", "DECRBY n 5", "INCRBYFLOAT n 1.5", "MSET a 1 b 2", "MSETNX c 1 d 2",
             "EXPIRE a 100", "PERSIST a", "PERSIST a", "EXPIRE a -1", "GETDEL b", "DEL c d none", "UNLINK l", "GET k",
             "SET k v EXAT 1", "GET k", "SET z v", "GETEX z EXAT 1", "EXPIREAT none 1", "SELECT 1", "SET k v", "DEL k",
             "GETSET k v", "SETRANGE k 1 x", "SETRANGE k 1 ''", "SETBIT k 1 1", "SETBIT k 1 1",
             "BITFIELD k SET u8 0 1 GET u8 0",
             "BITFIELD k SET u8 0 1", "BITOP NOT l k", "BITOP AND l none", "BITOP AND none none", "PFADD h a", "PFADD h a",
             "PFMERGE i h",
             "PFMERGE i h", "PFMERGE i k", "PFCOUNT h", "PFCOUNT h i", "RENAME k l", "RENAME l l", "RENAMENX l k",
             "RENAMENX k k", "COPY k m",
             "COPY k m", "COPY k m DB 2", "MOVE k 3", "MOVE k 3", "DUMP m", "LCS m m", "SORT none STORE m",
             "SORT none STORE m", "TOUCH h",
             "OBJECT ENCODING none", "MEMORY USAGE none", "RESTORE h 0 bad REPLACE",
             "SET q 1", "SET r 2", "COPY q r REPLACE", "RENAME q r", "GETSET none v", "SET k v GET", "MGET k none no", "EXISTS no none"]
    # fmt: on
    for line in lines:
        twins(*words(line))
    twins("SELECT", 0)
    twins("SET", "the end", "x")
    while True:
        if listener.read("a notification")[1][-1][1] == "the end":
            break
    twins("CONFIG", "SET", "notify-keyspace-events", "")


def test_client_side_tracking(twins):
    reader = twins.another()
    reader.connections = [Connection(port) for port in twins.ports]
    for connection in reader.connections:
        connection.call("HELLO", 3)
    reader("CLIENT", "TRACKING", "ON")
    changes = ["SET k w", "DEL k", "EXPIRE k 100", "APPEND k x", "FLUSHALL", "GETDEL k", "MSET k 1 other 2", "SETRANGE k 3 x", "RENAME k l"]
    for change in [*changes, "MOVE k 1", "BITOP NOT k k"]:
        twins("SET", "k", "v")
        reader("GET", "k")
        twins(*words(change))
        assert reader.read(f"what {change} invalidates")[0] == ">"


def told(connection):
    """What has been pushed to a connection until now."""
    connection.send("ECHO", "until here")
    pushed = []
    while (reply := connection.read()) != ("$", "until here"):
        pushed.append(reply)
    return pushed


def test_tracking_of_keys_that_are_counted(twins):
    reader = twins.another()
    for connection in reader.connections:
        connection.call("HELLO", 3)
    reader("CLIENT", "TRACKING", "ON")
    for line in ("ZUNION 2 z s", "ZINTER 2 z s", "ZDIFF 2 z s", "ZINTERCARD 2 z s", "SINTERCARD 2 t s"):
        for change in ("SREM s 1", "ZADD z 5 1", "SADD t 7"):
            for fill in ("SADD s 1 2", "SADD t 1", "SREM t 7", "ZADD z 1 1"):
                twins(*words(fill))
            reader(*words(line))
            twins(*words(change))
            stock, faha = map(told, reader.connections)
            assert stock == faha, (line, change)
            assert faha or change.split()[1] not in line.split(), (line, change)


def test_a_key_expires(twins):
    for line in ("SET k v PX 30", "PSETEX l 30 v", "SET m v", "PEXPIRE m 30"):
        twins(*words(line))
    faha = twins.connections[1]
    wait_for(lambda: faha.call("MGET", "k", "l", "m")[1] == [("$", None)] * 3, what="three keys to expire")
    wait_for(lambda: twins.connections[0].call("EXISTS", "k", "l", "m") == (":", 0))
    for line in ("EXISTS k l m", "TTL k", "TYPE l", "INCR k", "TTL k", "SETNX l w", "SET m x XX", "DBSIZE"):
        twins(*words(line))


def test_a_unit_sees_one_time(twins):
    """A key that expires while a script runs is there to its end, or never was."""
    script = (
        "redis.call('SET', 'k', 'v', 'PX', 20) local t = redis.call('TIME') local start = t[1] * 1000000 + t[2] "
        "repeat t = redis.call('TIME') until t[1] * 1000000 + t[2] - start > 60000 or redis.call('EXISTS', 'k') == 0 "
        "return redis.call('EXISTS', 'k')"
    )
    assert twins("EVAL", script, 0) == (":", 1)


HARMLESS = {"spublish", "ssubscribe", "sunsubscribe", "wait", "watch", "eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro"}


def with_keys(stock):
    """Every command of stock Redis that names keys or looks at the keyspace, with arguments enough."""
    for entry in Connection(stock.port).call("COMMAND")[1]:
        subcommands = entry[1][9][1]
        entries = [sub[1] for sub in subcommands or []] or [entry[1]]
        for each in entries:
            name, arity, flags, first, categories = (each[i][1] for i in (0, 1, 2, 3, 6))
            names_keys = first != 0 or ("+", "movablekeys") in flags or ("+", "@keyspace") in categories
            if names_keys and not name.endswith("|help") and name not in HARMLESS and name not in served():
                yield name.split("|") + ["1"] * (abs(arity) - 1 - name.count("|"))


def test_every_other_command_with_keys_is_refused(servers, twins):
    stock, faha = servers
    connection, bystander = twins.connections[1], Connection(faha.port)
    connection.call("SET", "1", "a string")
    commands = list(with_keys(stock))
    assert len(commands) > 30
    for args in commands:
        kind, text = connection.call(*args)
        assert kind == "-" and text.startswith("UNSUPPORTED "), f"{args}: {text}"
        assert args[0] in text and len(text) < 250, text
        for line in ("MULTI", "SET 2 half"):
            assert connection.call(*words(line))[0] == "+"
        kind, text = connection.call(*args)
        assert kind == "-" and text.startswith("ERR unknown command 'UNSUPPORTED ") and args[0] in text, f"{args}: {text}"
        assert bystander.call(*args)[1].startswith("UNSUPPORTED "), args
        assert connection.call("EXEC") == ("-", "EXECABORT Transaction discarded because of previous errors.")
        assert connection.call("EXISTS", "2") == (":", 0)
        quoted = ",".join(f'"{arg}"' for arg in args)
        reply = connection.call("EVAL", f"return redis.pcall({quoted})", 0)
        assert reply[0] == "-" and reply[1].startswith(("UNSUPPORTED ", "ERR This Redis command is not allowed")), (
            f"{args} in Lua: {reply}"
        )
        assert_nothing_native(faha)
    # fmt: off
    for line, family in (("XADD x * f v", "streams"), ("XGROUP CREATE x g $", "streams"), ("GEOADD g 1 1 m", "geo sets")):
        # fmt: on
        assert f" works on {family}: FaHA does not serve it yet" in connection.call(*words(line))[1]
    for args in (["xAdD", "x", "*", "f", "v"], ["DEBUG", "LOADAOF"], ["debug", "htstats-key", "1"]):
        reply = connection.call(*args)
        assert reply[1].startswith("UNSUPPORTED "), f"{args}: {reply}"
    assert connection.call("GET", "1") == ("$", "a string")


def test_debug_changes_what_it_changes_in_redis(twins):
    for line in ("DEBUG POPULATE 5", "SET key:7 mine", "DEBUG POPULATE 9", "DEBUG POPULATE 3 p", "DEBUG POPULATE 3 q 4", "DEBUG POPULATE 2 r 12",
                 "DEBUG POPULATE 0", "DEBUG POPULATE -1", "DEBUG POPULATE x", "DEBUG POPULATE 1 s -1", "MGET key:0 key:7 key:8 p:2 q:0 r:1",
                 "DBSIZE", "DEBUG RELOAD", "DEBUG CHANGE-REPL-ID", "DEBUG SLEEP 0.01", "DBSIZE"):  # fmt: skip
        twins(*words(line))
    stock, faha = [connection.call("DEBUG", "DIGEST") for connection in twins.connections]
    assert stock == faha


def test_debug_populates_more_than_one_unit_holds(make_server):
    server = make_server(args=[*DEBUG, "--faha.segment-bytes", "1mb", "--faha.pool-bytes", "16mb"]).start()
    client = server.client()
    before = server.info()["committed_lsn"]
    assert client.execute_command("DEBUG POPULATE 50000 k 100")
    assert client.dbsize() == 50_000
    # It commits now and then, so that peers hear of a primary in time: each commit is a batch.
    assert server.info()["committed_lsn"] >= before + 50
    with pytest.raises(redis.ResponseError, match="^NOSPACE "):
        client.execute_command("DEBUG POPULATE 500000 k 100")
    assert client.dbsize() > 50_000 and client.delete("k:1") == 1
    server.kill()
    server.start()
    assert server.client().get("k:49999") == "value:49999".ljust(100, "\0")


def test_keys_stay_where_active_expiry_is_off(make_server):
    server = make_server(args=DEBUG).start()
    client = server.client()
    assert client.execute_command("DEBUG SET-ACTIVE-EXPIRE 0")
    client.set("k", "v", px=1)
    started = time.monotonic()
    while time.monotonic() < started + 0.5:
        assert client.dbsize() == 1
    assert client.execute_command("DEBUG SET-ACTIVE-EXPIRE 1")
    wait_for(lambda: client.dbsize() == 0, what="the key to go")


def test_commands_without_keys_work(twins):
    for line in ("PING", "ECHO x", "PUBLISH c m", "SCRIPT EXISTS abc", "OBJECT HELP", "CLIENT GETNAME", "WAIT 0 0"):
        twins(*words(line))


def test_keys_match_patterns_as_redis_matches_them(twins):
    """Patterns that are odd in every way, on keys of the same few bytes."""
    choices = random.Random(SEED)
    alphabet = ["a", "b", "c", "]", "[", "^", "-", "\\", "*", "?", "\xff"]
    for _ in range(300):
        twins("SET", "".join(choices.choices(alphabet, k=choices.randrange(5))).encode("latin-1"), "v")
    for _ in range(2000):
        pattern = "".join(choices.choices(alphabet + ["*", "[", "]", "a-c"], k=choices.randrange(9))).encode("latin-1")
        for connection in twins.connections:
            connection.send("KEYS", pattern)
        stock, faha = (sorted(connection.read()[1]) for connection in twins.connections)
        assert stock == faha, pattern


def test_scan_tells_every_key_that_stays(servers):
    """Whatever comes and goes meanwhile: the table grows many times over and shrinks again."""
    client, choices = servers[1].client(), random.Random(SEED)
    client.flushall()
    stay = {f"stay:{i}" for i in range(500)}
    client.mset(dict.fromkeys(stay, "v"))
    other = client.connection_pool.make_connection()  # another database's keys are not told
    other.send_command("SELECT", 5)
    other.read_response()
    other.send_command("SET", "elsewhere", "v")
    other.read_response()
    other.disconnect()
    for grows in (True, False, True, False):
        cursor, told, i = 0, set(), 0
        while True:
            cursor, keys = client.scan(cursor, count=choices.randrange(1, 60))
            told.update(keys)
            if i < 100_000:  # more would outrun the scan
                names = [f"goes:{j}" for j in range(i, i + 500)]
                client.mset(dict.fromkeys(names, "v")) if grows else client.delete(*names)
                i += 500
            if cursor == 0:
                break
        assert stay <= told and "elsewhere" not in told
        assert all(key.startswith(("stay:", "goes:")) for key in told)
    assert sorted(client.scan_iter(match="stay:1?")) == sorted(f"stay:1{i}" for i in range(10))
    assert set(client.keys("stay:*")) == stay
    client.delete(*[f"goes:{i}" for i in range(100_000)])


def test_random_keys_are_found_in_a_small_database_beside_a_large_one(servers):
    client = servers[1].client()
    client.flushall()
    for i in range(0, 200_000, 1000):
        client.mset({f"k{j}": "v" for j in range(i, i + 1000)})
    small = {"a", "b", "c"}
    with client.client() as one:
        one.execute_command("SELECT", 1)
        for key in small:
            one.set(key, "v")
        assert {one.randomkey() for _ in range(30)} <= small
        one.set("a", "v", px=1)
        one.delete("b", "c")
        wait_for(lambda: one.randomkey() is None, what="the last key to expire")
        one.execute_command("SELECT", 0)
        assert len({one.randomkey() for _ in range(200)}) > 150
