"""Hashes and sets answer, and tell subscribers, as those of stock Redis."""

import random

import pytest
import redis

from conftest import DEBUG
from resp import Connection
from twins import try_arities, words

PAIRS = {"HGETALL", "HSCAN", "HRANDFIELD"}
UNORDERED = {"HKEYS", "HVALS", "SMEMBERS", "SINTER", "SUNION", "SDIFF", "SSCAN", "SRANDMEMBER", "SPOP", *PAIRS}


def plain(reply, name, args):
    """The reply with its elements in an order of their own."""
    kind, value = reply
    if kind not in "*~%" or not value:
        return reply
    if name in ("HSCAN", "SSCAN"):
        return kind, [value[0], plain(value[1], "HGETALL" if name == "HSCAN" else "SMEMBERS", ())]
    flat = kind == "*" and name in PAIRS and (name == "HGETALL" or args[-1].upper() == "WITHVALUES")
    if flat and value[0][0] == "$":
        return kind, sorted(zip(value[::2], value[1::2]), key=str)
    return kind, sorted(value, key=str)


def same(twins, *args):
    """As a call of `twins`, of replies whose order is not defined."""
    name = str(args[0]).upper()
    if name not in UNORDERED:
        return twins(*args)
    for connection in twins.connections:
        connection.send(*args)
    stock, faha = (plain(connection.read(), name, args) for connection in twins.connections)
    assert stock == faha, f"{args}\nstock: {str(stock)[:500]}\nFaHA:  {str(faha)[:500]}"
    return faha


MAX, MIN = 2**63 - 1, -(2**63)
HASH_LINES = f"""
HSET h a 1|HSET h a 2 b 3|HSET h c 1 c 2|HGET h c|HLEN h|HSET h a|HSET h a 1 b|HSET h|HMSET h d 4 e 5|HMSET h d|HMSET h d 1 e
HMSET h d 1|HGETALL h|HKEYS h|HVALS h|HGET h a|HGET h none|HGET none a|HMGET h a none b a|HMGET none a b|HMGET h|HGETALL none
HKEYS none|HVALS none|HLEN none|HSTRLEN h a|HSTRLEN h none|HSTRLEN none a|HEXISTS h a|HEXISTS h none|HEXISTS none a
HSETNX h a 9|HSETNX h n 9|HGET h n|HSETNX new f v|HGETALL new|HDEL h none|HDEL none a|HDEL h a a b none|HGETALL h
HDEL new f g|EXISTS new|TYPE h|HSET h '' ''|HGET h ''|HSTRLEN h ''|HDEL h ''|HSET '' f v|HGET '' f|HDEL '' f
HINCRBY h i 5|HINCRBY h i -7|HINCRBY h i 0|HINCRBY newer i 1|HINCRBY h i abc|HINCRBY h i 1.5|HINCRBY h i ''|HINCRBY h i ' 1'
HINCRBY h i +1|HINCRBY h i 01|HINCRBY h i {MAX}|HINCRBY h i {MAX}|HINCRBY h j {MIN}|HINCRBY h j -1|HINCRBY h i {MAX}0
HSET h text abc blank ' ' zero 01 minus -0 big {MAX}0|HINCRBY h text 1|HINCRBY h blank 1|HINCRBY h zero 1|HINCRBY h minus 1
HINCRBY h big 1|HINCRBYFLOAT h f 1.5|HINCRBYFLOAT h f -0.25|HINCRBYFLOAT h f 1e3|HINCRBYFLOAT h f 5.0e3|HINCRBYFLOAT h g 0
HINCRBYFLOAT newest f 3|HINCRBYFLOAT h f abc|HINCRBYFLOAT h f ''|HINCRBYFLOAT h f nan|HINCRBYFLOAT h f inf|HINCRBYFLOAT h f -inf
HINCRBYFLOAT h f ' 1'|HINCRBYFLOAT h f '1 '|HINCRBYFLOAT h f 0x10|HINCRBYFLOAT h text 1|HINCRBYFLOAT h blank 1|HINCRBYFLOAT h big 1
HSET h infinite inf none nan huge 1e4931|HINCRBYFLOAT h infinite 1|HINCRBYFLOAT h none 1|HINCRBYFLOAT h huge 1e4932
HINCRBYFLOAT h huge 1e4933|HINCRBYFLOAT h g 1e4933|HINCRBYFLOAT h tiny 1e-20|HINCRBYFLOAT h tiny 3.3333333333333333333
HGETALL h|HSCAN h 0 COUNT 1000|HSCAN h 0 MATCH *i* COUNT 1000|HSCAN h 0 match [a-f] count 100|HSCAN h 0 COUNT 0|HSCAN h 0 COUNT -1
HSCAN h 0 COUNT x|HSCAN h 0 COUNT|HSCAN h 0 MATCH|HSCAN h 0 TYPE string|HSCAN h 0 NOVALUES|HSCAN h x|HSCAN h -x|HSCAN h '' COUNT 1000|HSCAN h ' 0'
HSCAN h 99999999999999999999|HSCAN none x|HSCAN none 0 nonsense|HSCAN none 0 COUNT 0|HSCAN none 5|HSCAN s x|HSCAN s 0 nonsense|HSCAN h 0 COUNT {MAX}
DEL h|HSET h a 1 b 2 c 3|HRANDFIELD none|HRANDFIELD none 3|HRANDFIELD none -3 WITHVALUES|HRANDFIELD h 0|HRANDFIELD h 0 WITHVALUES
HRANDFIELD h 3|HRANDFIELD h 100|HRANDFIELD h 3 WITHVALUES|HRANDFIELD h 100 withvalues|HRANDFIELD h x|HRANDFIELD h x y z|HRANDFIELD h {MIN}
HRANDFIELD h 1 VALUES|HRANDFIELD h 1 WITHVALUES x|HRANDFIELD h {MAX}|HRANDFIELD h {MAX} WITHVALUES|HRANDFIELD h -{MAX} WITHVALUES
HRANDFIELD h {MAX // 2} WITHVALUES|HRANDFIELD h {MAX // 2 + 1} WITHVALUES|HRANDFIELD h 1.5|HRANDFIELD s|HRANDFIELD s 3|HRANDFIELD s x
HSET one f v|HRANDFIELD one|HRANDFIELD one 1|HRANDFIELD one -3|HRANDFIELD one -2 WITHVALUES|HRANDFIELD one 1 WITHVALUES
EXPIRE one 1000|HSET one g w|TTL one|HINCRBY one n 1|TTL one|HDEL one g|TTL one|HDEL one f n|TTL one
"""
SET_LINES = f"""
SADD s a|SADD s a|SADD s a b b c|SCARD s|SADD s|SMEMBERS s|SMEMBERS none|SCARD none|SISMEMBER s a|SISMEMBER s x|SISMEMBER none a
SMISMEMBER s a x b a|SMISMEMBER none a b|SMISMEMBER s|SREM s x|SREM none x|SREM s a a b x|SMEMBERS s|SREM s c d|EXISTS s|SREM s
SADD s '' 1 2 01 -0 1.0|SISMEMBER s ''|SREM s ''|SMEMBERS s|SADD '' m|SMEMBERS ''|SREM '' m
SADD numbers 1 2 3 {MAX} {MIN} {MAX}0|SMEMBERS numbers|SREM numbers 2|SISMEMBER numbers {MAX}
SMOVE s t 1|SMEMBERS s|SMEMBERS t|SMOVE s t none|SMOVE none t 1|SMOVE none x 1|SMOVE none h 1|SMOVE s h none|SMOVE s h 2|SMOVE h s 2|SMOVE h h 2
SMOVE x s 2|SMOVE s s 2|SMOVE s s none|SADD s dup|SADD t dup|SMOVE s t dup|SMEMBERS s|SMEMBERS t|SADD last m|SMOVE last t m|EXISTS last
SADD last m|SMOVE last fresh m|SMEMBERS fresh|EXISTS last|SMOVE s t
DEL s|SADD s a b c d|SPOP none|SPOP none 3|SPOP s 0|SPOP none 0|SPOP s x|SPOP s -1|SPOP s {MIN}|SPOP s {MAX}0|SPOP none x|SPOP h x|SPOP s 1 2
SPOP none 1 2|SPOP h|SPOP h 3|SPOP s 4|EXISTS s|SADD s a b c d|SPOP s {MAX}|EXISTS s|SADD s only|SPOP s|EXISTS s|SADD s only|SPOP s 1
SADD s a b c d|SRANDMEMBER none|SRANDMEMBER none 3|SRANDMEMBER none -3|SRANDMEMBER s 0|SRANDMEMBER s 4|SRANDMEMBER s 100|SRANDMEMBER s {MAX}
SRANDMEMBER s x|SRANDMEMBER s {MIN}|SRANDMEMBER s 1 2|SRANDMEMBER none x|SRANDMEMBER h|SRANDMEMBER h 3|SRANDMEMBER h x|SADD one m
SRANDMEMBER one|SRANDMEMBER one 1|SRANDMEMBER one -3
SSCAN s 0|SSCAN s 0 MATCH a|SSCAN s 0 MATCH [bc] COUNT 100|SSCAN s 0 COUNT 0|SSCAN s 0 COUNT x|SSCAN s 0 COUNT|SSCAN s x|SSCAN none x
SSCAN none 0 nonsense|SSCAN h x|SSCAN h 0 nonsense|SSCAN s 0 TYPE set|SSCAN s
DEL t|SADD t b c x|SADD u c x y|SINTER s|SINTER s t|SINTER s t u|SINTER s none|SINTER none|SINTER none none|SINTER s s|SINTER s t s t|SINTER
SINTER s h|SINTER none h|SINTER h none|SINTER h|SUNION s|SUNION s t u|SUNION s none|SUNION none none|SUNION s s|SUNION s h|SUNION none h|SUNION h
SDIFF s|SDIFF s t|SDIFF s t u|SDIFF s none|SDIFF none s|SDIFF s s|SDIFF s t s|SDIFF s h|SDIFF none h|SDIFF h s|SDIFF t s u|SDIFF none none
SINTERCARD 1 s|SINTERCARD 2 s t|SINTERCARD 3 s t u|SINTERCARD 2 s none|SINTERCARD 2 s h|SINTERCARD 2 none h|SINTERCARD 2 s t LIMIT 1
SINTERCARD 2 s t LIMIT 0|SINTERCARD 2 s t LIMIT 9|SINTERCARD 2 s t LIMIT -1|SINTERCARD 2 s t LIMIT x|SINTERCARD 2 s t LIMIT|SINTERCARD 2 s t x
SINTERCARD 2 s t limit 9 LIMIT 1|SINTERCARD 2 s t LIMIT 1 x|SINTERCARD 0 s|SINTERCARD -1 s|SINTERCARD x s|SINTERCARD 1.5 s|SINTERCARD 3 s t
SINTERCARD {MAX} s|SINTERCARD {MAX}0 s|SINTERCARD 1|SINTERCARD 1 s t|SINTERCARD 2 h h LIMIT x|SINTERCARD 0 h LIMIT x|SINTERCARD 1 h
SINTERSTORE d s t|SMEMBERS d|SINTERSTORE d s none|EXISTS d|SINTERSTORE d none|SINTERSTORE d s h|SINTERSTORE d none h|SINTERSTORE d
SUNIONSTORE d s t|SMEMBERS d|SUNIONSTORE d s|SUNIONSTORE d none|EXISTS d|SUNIONSTORE d none none|SUNIONSTORE d s h|SUNIONSTORE s s t u|SMEMBERS s
SDIFFSTORE d s t|SMEMBERS d|SDIFFSTORE d s s|EXISTS d|SDIFFSTORE d none s|SDIFFSTORE d s h|SDIFFSTORE s s t|SMEMBERS s
SET x v|SUNIONSTORE x s t|SMEMBERS x|SET x v|SINTERSTORE x s none|EXISTS x|SET x v|SDIFFSTORE x s h|GET x|DEL x
SADD e m|EXPIRE e 1000|SADD e n|TTL e|SREM e n|TTL e|SPOP e 0|TTL e|SUNIONSTORE e s|TTL e|EXPIRE e 1000|SINTERSTORE e none|TTL e
"""
TABLES = {"hashes": HASH_LINES, "sets": SET_LINES}


def lines_of(table):
    return [line for line in table.replace("\n", "|").split("|") if line.strip()]


def prepare(twins, table):
    twins("FLUSHALL")
    # In the table of one kind, the other kind's name is a key of the wrong type.
    twins(*words("SADD s m" if table == "hashes" else "HSET h f v"))


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("table", TABLES)
def test_calls(twins, table, protocol):
    for connection in twins.connections:
        connection.call("HELLO", protocol)
    prepare(twins, table)
    for line in lines_of(TABLES[table]):
        same(twins, *words(line))


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("table", TABLES)
def test_calls_in_scripts_and_transactions(twins, table, protocol):
    for connection in twins.connections:
        connection.call("HELLO", protocol)
    prepare(twins, table)
    script = "local r = redis.pcall(unpack(ARGV)) if type(r) == 'table' and r.err then return {'error', r.err} end return r"
    for line in lines_of(TABLES[table]):
        args = words(line)
        if args[0] in UNORDERED:
            continue
        twins("EVAL", script, 0, *args)
        twins("MULTI")
        twins(*args)
        twins(*words("SCARD s"))
        twins("EXEC")
    # Within RESP3, a script sees maps and sets.
    for line in ("DEL k", "HSET k f v", "HGETALL k", "HRANDFIELD k 1 WITHVALUES", "DEL k", "SADD k m", "SMEMBERS k", "SPOP k 1", "SPOP k 1", "SUNION k"):
        for setting in (2, 3):
            body = f"redis.setresp({setting}) return redis.call(unpack(ARGV))"
            twins("EVAL", body, 0, *words(line))


COMMANDS = """hset hsetnx hmset hget hmget hgetall hkeys hvals hlen hstrlen hexists hdel hincrby hincrbyfloat hrandfield hscan sadd srem smove
sismember smismember smembers scard spop srandmember sscan sinter sintercard sinterstore sunion sunionstore sdiff sdiffstore""".split()


@pytest.mark.parametrize("command", COMMANDS)
def test_arity_and_wrong_types(twins, command):
    twins("SET", "string", "v")
    try_arities(twins, command)
    for wrong in ("string", "hash", "set"):
        for line in ("DEL hash set", "HSET hash 1 1", "SADD set 1"):
            twins(*words(line))
        for rest in ([], ["1"], ["1", "1"], ["1", "string"], ["string", "1"]):
            same(twins, command, wrong, *rest)
    twins("GET", "string")


def described(connection, command):
    entry = connection.call("COMMAND", "INFO", command)[1][0][1]
    flags = {flag[1] for flag in entry[2][1]} - {"module"}
    return entry[1], entry[3:6], flags - {"movablekeys"}, [] if command.endswith("sintercard") else entry[8][1]


@pytest.mark.parametrize("command", COMMANDS)
def test_descriptions(servers, twins, command):
    stock, faha = twins.connections
    assert described(faha, f"faha.{command}") == described(stock, command)


def test_the_keys_of_sintercard(twins):
    connection = twins.connections[1]
    keys = lambda *args: connection.call("COMMAND", "GETKEYS", "faha.sintercard", *args)  # noqa: E731
    assert keys("2", "a", "b", "LIMIT", "1") == ("*", [("$", "a"), ("$", "b")])
    for wrong in (("3", "a", "b"), ("x", "a", "b"), ("-1", "a"), ("0", "a")):
        assert keys(*wrong)[0] == "-"


BYTES = [b"", b"\x00", b"\r\n", bytes(range(256)), b"x" * 63, b"x" * 64, b"y" * 5000, b"z" * 70_000, "é".encode()]


@pytest.mark.parametrize("protocol", [2, 3])
def test_binary_names_and_values_of_every_size(twins, protocol):
    for connection in twins.connections:
        connection.call("HELLO", protocol)
    for key in BYTES[:4]:
        for text in BYTES:
            twins("HSET", b"h" + key, text, text[::-1])
            twins("HGET", b"h" + key, text)
            twins("HSTRLEN", b"h" + key, text)
            twins("SADD", b"s" + key, text, text + text)
            twins("SISMEMBER", b"s" + key, text)
        same(twins, "HGETALL", b"h" + key)
        same(twins, "HSCAN", b"h" + key, 0, "MATCH", b"\x00", "COUNT", 1000)
        same(twins, "SSCAN", b"s" + key, 0, "MATCH", b"*\x00*", "COUNT", 1000)
        same(twins, "SMEMBERS", b"s" + key)
        twins("HMGET", b"h" + key, *BYTES)
        twins("SMISMEMBER", b"s" + key, *BYTES)
        twins("HDEL", b"h" + key, *BYTES[::2])
        twins("SREM", b"s" + key, *BYTES[::2])
        same(twins, "HGETALL", b"h" + key)
        same(twins, "SUNION", b"s" + key, b"s")


EVENTS = """
SET string v|HSET h f v|HSET h f v|HSET h g w|HSETNX h f v|HSETNX h i 1|HSETNX new f v|HMSET newer f v|HINCRBY h i 1|HINCRBY newest i 1
HINCRBY h f 1|HINCRBYFLOAT h i 1.5|HINCRBYFLOAT newest2 i 1|HDEL h none|HDEL none f|HDEL h f none|HDEL h g i|HDEL new f f|HGET none f|HMGET none f
HGETALL none|HKEYS none|HVALS none|HLEN none|HSTRLEN none f|HEXISTS none f|HRANDFIELD none|HRANDFIELD none 2|HSCAN none 0|HSCAN none x
HGET string f|HSET string f v|HDEL string f|HINCRBY none2 f x|HINCRBYFLOAT none2 f x
SADD s a|SADD s a|SADD s a b|SREM s none|SREM none a|SREM s a a|SREM s b|SADD s a b c|SMOVE s t a|SMOVE s t a|SMOVE s s b|SMOVE none t a|SADD t b
SMOVE s t b|SMOVE s t c|SMOVE none none2 a|SPOP none|SPOP none 1|SPOP t 0|SPOP t 3|SADD t a|SPOP t|SADD t a b|SPOP t 5|SISMEMBER none a|SMISMEMBER none a
SMEMBERS none|SCARD none|SRANDMEMBER none|SRANDMEMBER none 1|SSCAN none 0|SINTER none none2|SUNION none none2|SDIFF none none2|SINTERCARD 2 none none2
SADD s a b|SADD t b c|SINTERSTORE d s t|SINTERSTORE d s t|SINTERSTORE d s none|SINTERSTORE d s none|SUNIONSTORE d s t|SUNIONSTORE d s none
SUNIONSTORE d none|SUNIONSTORE d none|SDIFFSTORE d s t|SDIFFSTORE d s s|SDIFFSTORE d none s|SUNIONSTORE string s|SDIFF s string none
SUNIONSTORE d none string none2|SINTERSTORE string none|SUNIONSTORE s s t|SDIFFSTORE s s s
"""


def test_events(twins):
    listener = twins.another()
    twins("CONFIG", "SET", "notify-keyspace-events", "KEAmn")
    listener("PSUBSCRIBE", "__key*__:*")
    for line in lines_of(EVENTS):
        same(twins, *words(line))
        twins("SET", "end", line)
        while listener.read("an event of " + line)[1][-1][1] != "end":
            pass
    twins("CONFIG", "SET", "notify-keyspace-events", "")


def test_watches(twins):
    other = twins.another()
    changes = ["HSET h f v", "HSET h f v", "HSETNX h n 1", "HDEL h f", "HINCRBY h i 1", "HINCRBYFLOAT h i 1", "SADD s n", "SREM s a", "SPOP s 2", "SPOP s 1"]
    changes += ["SMOVE s t a", "SMOVE t s b", "SINTERSTORE s t", "SUNIONSTORE h t", "SDIFFSTORE s none"]
    others = ["HSETNX h f v", "HDEL h none", "HDEL string f", "HINCRBY h text 1", "HGETALL h", "SADD s a", "SREM s x", "SPOP s 0", "SMOVE s t x"]
    others += ["SMOVE s s a", "SADD h x", "SMEMBERS s", "SINTERSTORE unrelated s", "SUNIONSTORE s h"]
    for change in [*changes, *others]:
        for line in ("FLUSHALL", "HSET h f v i 1 text t", "SADD s a b", "SADD t b", "SET string v", "WATCH h s none"):
            twins(*words(line))
        same(other, *words(change)) if "SPOP" not in change else [c.call(*words(change)) for c in other.connections]
        twins("MULTI")
        twins("SET", "done", change)
        twins("EXEC")


def test_expired_keys(twins):
    for connection in twins.connections:
        connection.call("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    listener = twins.another()
    twins("CONFIG", "SET", "notify-keyspace-events", "KEAmn")
    listener("PSUBSCRIBE", "__key*__:*")
    lines = ["SUNION a b a", "SINTERSTORE d a b", "SDIFF live a none b", "SMOVE a b x", "SMOVE live b x", "SUNIONSTORE d live a live b", "SADD a y"]
    lines += ["SPOP a", "SPOP b 5", "SINTERCARD 3 live a b", "SDIFFSTORE live live a b", "HGET a f", "HSET a f v", "HDEL a f", "SMISMEMBER a x"]
    lines += ["SSCAN a 0 nonsense", "HINCRBY a f 1", "SUNION b string a", "SUNION live live a b live"]
    for line in lines:
        twins("FLUSHALL")
        for setup in ("SADD a x y", "SADD b x", "SADD live x z", "SET string v", "PEXPIRE a 60", "PEXPIRE b 60"):
            twins(*words(setup))
        for connection in twins.connections:
            connection.call("DEBUG", "SLEEP", "0.08")
        same(twins, *words(line))
        for key in ("a", "b", "d", "live"):
            twins("EXISTS", key)
        twins("SET", "end", line)
        while listener.read("an event of " + line)[1][-1][1] != "end":
            pass
    twins("CONFIG", "SET", "notify-keyspace-events", "")
    for connection in twins.connections:
        connection.call("DEBUG", "SET-ACTIVE-EXPIRE", "1")


def random_elements(twins, *args):
    """FaHA's reply; stock Redis' has the same shape."""
    stock, faha = (connection.call(*args) for connection in twins.connections)
    assert stock[0] == faha[0] and len(stock[1]) == len(faha[1]), args
    assert [element[0] for element in stock[1]] == [element[0] for element in faha[1]]
    return faha[1]


@pytest.mark.parametrize("size", [1, 5, 100, 600])
@pytest.mark.parametrize("protocol", [2, 3])
def test_random_elements(twins, size, protocol):
    for connection in twins.connections:
        connection.call("HELLO", protocol)
    members = [f"m{i}" for i in range(size)]
    twins("SADD", "s", *members)
    twins("HSET", "h", *[part for member in members for part in (member, "v" + member)])
    for count in (1, 2, 3, size // 20, size // 2, size - 1, size, size + 5, -1, -3, -2 * size):
        drawn = [element[1] for element in random_elements(twins, "SRANDMEMBER", "s", count)]
        assert set(drawn) <= set(members) and (count < 0 or len(set(drawn)) == len(drawn))
        fields = [element[1] for element in random_elements(twins, "HRANDFIELD", "h", count)]
        assert set(fields) <= set(members) and (count < 0 or len(set(fields)) == len(fields))
        pairs = random_elements(twins, "HRANDFIELD", "h", count, "WITHVALUES")
        if protocol == 2:
            pairs = [("*", list(pair)) for pair in zip(pairs[::2], pairs[1::2])]
        assert all("v" + field[1] == value[1] for _, (field, value) in pairs)
    for command, key in (("SRANDMEMBER", "s"), ("HRANDFIELD", "h")):
        assert twins.connections[1].call(command, key)[1] in members
    left = set(members)
    while left:
        count = random.randrange(1, size + 2)
        popped = random_elements(twins, "SPOP", "s", count)
        assert {element[1] for element in popped} <= left and len(popped) == min(count, len(left))
        left -= {element[1] for element in popped}
        faha = twins.connections[1].call("SMEMBERS", "s")
        assert {element[1] for element in faha[1]} == left
        twins("SCARD", "s")


def test_each_element_is_drawn_as_often(servers):
    client = servers[1].client()
    client.delete("s")
    client.sadd("s", *range(100))
    for count, rounds in ((1, 4000), (5, 800), (50, 80), (-5, 800)):
        drawn = [0] * 100
        for _ in range(rounds):
            for member in client.srandmember("s", count):
                drawn[int(member)] += 1
        # Of about 40 (standard deviation 6) each.
        assert min(drawn) > 8 and max(drawn) < 80, (count, drawn)


@pytest.mark.parametrize("seed", range(2))
def test_algebra_of_random_sets(twins, seed):
    pick = random.Random(seed)
    for i in range(8):
        members = [pick.randrange(200) for _ in range(pick.choice([0, 1, 10, 100, 300]))]
        if members:
            twins("SADD", f"k{i}", *members)
    for _ in range(300):
        keys = [f"k{pick.randrange(9)}" for _ in range(pick.randrange(1, 5))]
        operation = pick.choice(["SINTER", "SUNION", "SDIFF"])
        same(twins, operation, *keys)
        if pick.random() < 0.3:
            twins(operation + "STORE", "d", *keys)
            same(twins, "SMEMBERS", "d")
        twins("SINTERCARD", len(keys), *keys, *pick.choice([[], ["LIMIT", pick.randrange(30)]]))


def test_what_is_too_large_changes_nothing(make_server):
    server = make_server(args=[*DEBUG, "--faha.segment-bytes", "1mb", "--faha.pool-bytes", "16mb"]).start()
    client = server.client()
    client.hset("h", "f", "v")
    client.sadd("s", "m", "n")
    large = "x" * (1 << 20)
    calls = [["HSET", "h", "g", large], ["HMSET", "h", "f", "w", "g", large], ["HSETNX", "h", "g", large], ["SADD", "s", "a", large]]
    for args in calls:
        reply = server.client().execute_command("EVAL", "local r = redis.pcall(unpack(ARGV)) return r.err", 0, *args)
        assert "TOOLARGE" in reply, reply
    assert client.hgetall("h") == {"f": "v"} and client.smembers("s") == {"m", "n"}
    # A collection may exceed a segment, if no element does.
    half = ["y" * 600_000, "z" * 600_000]
    for i in (0, 1):
        client.sadd(f"half{i}", half[i])
    assert client.sunionstore("s", "half0", "half1") == 2 and client.smembers("s") == set(half)
    assert client.smove("half0", "half1", half[0]) and client.smembers("half1") == set(half) and client.exists("half0") == 0


def test_a_full_collection_takes_what_does_not_make_it_larger(make_server):
    """Until all members know feature level 4, a collection is one record."""
    client = make_server(args=["--faha.feature-level", "3"]).start().client()
    names = [f"n{i}" for i in range(4096)]
    client.hset("h", mapping=dict.fromkeys(names, "1"))
    client.sadd("s", *names)
    client.sadd("moved", "n1")
    client.zadd("z", dict.fromkeys(names, 1))
    client.rpush("l", *names)
    assert client.hset("h", mapping={"n1": "2", "n2": "3"}) == 0 and client.hincrby("h", "n1", 5) == 7 and client.hincrbyfloat("h", "n2", 0.5) == 3.5
    assert client.sadd("s", "n1", "n2", "n1") == 0 and client.smove("moved", "s", "n1")
    assert client.zadd("z", {"n1": 5, "n2": 6}) == 0 and client.zincrby("z", 2, "n1") == 7
    assert client.lset("l", 1, "x") and client.rpoplpush("l", "l") == "n4095" and client.lmove("l", "l", "LEFT", "RIGHT") == "n4095"
    assert client.sadd("same", *["a"] * 20_000) == 1
    for refused in (["HSET", "h", "n1", "9", "more", "1"], ["HINCRBY", "h", "more", 1], ["SADD", "s", "n1", "more"], ["ZADD", "z", 1, "more"],
                    ["RPUSH", "l", "more"], ["LINSERT", "l", "BEFORE", "x", "more"], ["LMOVE", "l2", "l", "LEFT", "LEFT"], ["SMOVE", "s2", "s", "more"]):
        client.rpush("l2", "more")
        client.sadd("s2", "more")
        with pytest.raises(redis.exceptions.ResponseError, match="TOOLARGE"):
            client.execute_command(*refused)
    assert client.hget("h", "n1") == "7" and client.hlen("h") == client.scard("s") == client.zcard("z") == client.llen("l") == 4096
    assert client.sismember("s2", "more") and client.lindex("l2", 0) == "more"


def test_they_survive_a_restart(make_server):
    server = make_server().start()
    client = server.client()
    client.hset("h", mapping={"f": "v", "g": "w"})
    client.sadd("s", "a", "b")
    client.hdel("h", "g")
    server.kill()
    server.start()
    client = server.client()
    assert client.hgetall("h") == {"f": "v"} and client.smembers("s") == {"a", "b"}


def test_a_client_that_asks_for_more_than_it_can_take_is_left(make_server):
    """Redis disconnects it when its output buffer is full, and the command ends with that, not after 2^63 elements."""
    server = make_server().start()
    client = server.client()
    client.config_set("client-output-buffer-limit", "normal 1000000 0 0")
    client.hset("h", "f", "v")
    client.sadd("s", "a")
    client.zadd("z", {"a": 1})
    for command in ["HRANDFIELD", "h"], ["SRANDMEMBER", "s"], ["ZRANDMEMBER", "z"]:
        greedy = Connection(server.port)
        greedy.send(*command, -(2**63 - 1))
        with pytest.raises(ConnectionError):
            greedy.read()
        assert client.ping()
