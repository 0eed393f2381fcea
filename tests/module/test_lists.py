"""Lists: the replies, errors and keyspace events of stock Redis, one by one, in transactions and in scripts."""

import random
import time

import pytest

from resp import Connection
from twins import words

BIG, SMALL = 2**63 - 1, -(2**63)
NUMBERS = ["0", "1", "2", "3", "-1", "-2", "-3", "-4", "5", "-100", "100", str(BIG), str(SMALL), str(BIG + 1), "abc", "''", "1.5", "+1", "' 1'",
           "01", "-0", "nan", "inf"]  # fmt: skip
RANGES = [(a, b) for a in NUMBERS for b in ("0", "2", "-1", "-3", "100", str(SMALL), "x")]


def fresh(line, start="RPUSH l a b c a"):
    """`line` on a list of its own, and what it leaves there."""
    return ["DEL l m", start, line, "LRANGE l 0 -1", "LRANGE m 0 -1"]


def every(*calls):
    return [line for call in calls for line in fresh(call)]


NO_LISTS = [
    "LPUSH {} a", "RPUSH {} a b", "LPUSHX {} a", "RPUSHX {} a", "LPOP {}", "RPOP {}", "LPOP {} 0", "RPOP {} 1", "LPOP {} 3", "LPOP {} -1", "LPOP {} x",
    "LPOP {} 1 1", "RPOP {} 1 1", "LLEN {}", "LINDEX {} 0", "LINDEX {} x", "LSET {} 0 v", "LSET {} x v", "LRANGE {} 0 -1", "LRANGE {} x -1",
    "LRANGE {} 0 x", "LTRIM {} 0 -1", "LTRIM {} 1 0", "LTRIM {} x 0", "LTRIM {} 0 x", "LREM {} 0 a", "LREM {} x a", "LINSERT {} BEFORE a b",
    "LINSERT {} AFTER a b", "LINSERT {} x a b", "LPOS {} a", "LPOS {} a RANK 0", "LPOS {} a COUNT 0", "LPOS {} a COUNT 1 RANK 2", "LPOS {} a MAXLEN -1",
    "LMOVE {} m LEFT RIGHT", "LMOVE {} m x RIGHT", "LMOVE {} m LEFT x", "LMOVE {} {} LEFT LEFT", "RPOPLPUSH {} m", "RPOPLPUSH {} {}", "LMPOP 1 {} LEFT",
    "LMPOP 2 {} {} RIGHT COUNT 2", "LMPOP 2 none {} LEFT", "LMPOP 0 {} LEFT", "LMPOP 1 {} x",
]  # fmt: skip

SESSIONS = {
    "push": [
        "LPUSH l a", "LPUSH l b c d", "RPUSH l e", "RPUSH l f g h", "LRANGE l 0 -1", "LLEN l", "RPUSHX l i", "LPUSHX l j k", "LPUSHX none a b",
        "RPUSHX none a", "EXISTS none", "LRANGE l 0 -1", "LPUSH l a a a", "LLEN l", "RPUSH m ''", "RPUSH m '' ''", "LRANGE m 0 -1", "TYPE l", "LPUSH l",
        "LPUSH", "RPUSHX l", "lpush L x", "LLEN L", "RPUSH '' x", "LRANGE '' 0 -1", "RPUSH n 1 -1 01 9223372036854775807 9223372036854775808 1.0 ' 1'",
        "LRANGE n 0 -1",
    ],
    "pop": [
        *every("LPOP l", "RPOP l", "LPOP l 0", "RPOP l 0", "LPOP l 1", "RPOP l 1", "LPOP l 2", "RPOP l 3", "LPOP l 4", "RPOP l 4", "LPOP l 100", "RPOP l 100"),
        *every(*(f"{name} l {number}" for name in ("LPOP", "RPOP") for number in NUMBERS)), "LPOP", "RPOP", "LPOP l 1 2", "RPOP l 1 2",
        "RPUSH one x", "LPOP one", "EXISTS one", "LPOP one", "RPUSH one x", "RPOP one 1", "LPOP one 1", "LPOP none 0", "RPOP none 0", "RPOP none",
    ],
    "look": [
        "RPUSH l a b c a", *(f"LINDEX l {number}" for number in NUMBERS), *(f"LRANGE l {a} {b}" for a, b in RANGES), "LINDEX l", "LINDEX l 0 0", "LRANGE l 0",
        "LRANGE l 0 1 2", "LLEN l l", "LLEN", "LINDEX none 0", "LRANGE none 0 -1", "LLEN none", "LRANGE none x 0",
    ],
    "set": [*every(*(f"LSET l {number} new" for number in NUMBERS), "LSET l 0 a", "LSET l 1 ''", "LSET l 1 longer-than-before"), "LSET l 0", "LSET l 0 a b"],
    "trim": [*every(*(f"LTRIM l {a} {b}" for a, b in RANGES)), "LTRIM l 0", "LTRIM l 0 1 2", "DEL l", "RPUSH l a", "LTRIM l 1 -1", "EXISTS l", "LTRIM l 0 -1"],
    "remove": [
        *(line for what in ("a", "b", "none", "''") for number in NUMBERS for line in fresh(f"LREM l {number} {what}", "RPUSH l a a b a c a a b")),
        *fresh("LREM l 0 a", "RPUSH l a a a"), *fresh("LREM l -2 a", "RPUSH l a a a"), *fresh("LREM l 2 a", "RPUSH l a a"), "EXISTS l", "LREM l 0",
        "LREM l 0 a b", *fresh("LREM l 0 1", "RPUSH l 1 01 1.0 1"), *fresh("LREM l 0 ''", "RPUSH l '' a ''"),
    ],
    "insert": [
        *every("LINSERT l BEFORE a x", "LINSERT l AFTER a x", "LINSERT l before c x", "LINSERT l AfTeR c x", "LINSERT l BEFORE none x", "LINSERT l AFTER '' x",
               "LINSERT l x a x", "LINSERT l AFTER a ''", "LINSERT l '' a x"),
        "LINSERT l BEFORE a", "LINSERT l BEFORE a b c", "LINSERT none BEFORE a b", "LINSERT none x a b", "EXISTS none",
    ],
    "pos": [
        "RPUSH l a b c 1 2 3 c c a 1 c", *(f"LPOS l {what}" for what in ("a", "c", "1", "01", "none", "''")),
        *(f"LPOS l c {option} {number}" for option in ("RANK", "COUNT", "MAXLEN") for number in [*NUMBERS, "4", "-5", "11", "12"]),
        *(f"LPOS l c RANK {rank} COUNT {count} MAXLEN {maxlen}" for rank in ("1", "2", "-1", "-2", "5", "-9", str(SMALL), str(BIG))
          for count in ("0", "1", "2", str(BIG)) for maxlen in ("0", "3", "6", "11", str(BIG))),
        "LPOS l c RANK", "LPOS l c COUNT", "LPOS l c MAXLEN", "LPOS l c x 1", "LPOS l c RANK 0 x", "LPOS l c x RANK 0", "LPOS l c COUNT 1 COUNT 2",
        "LPOS l c RANK 1 RANK -1", "LPOS l c rank 2 count 2", "LPOS l", "LPOS l c COUNT -1 RANK 0", "LPOS l c RANK 0 COUNT -1", "LPOS none a",
        "LPOS none a COUNT 0", "LPOS none a COUNT 1", "LPOS none a RANK 0", "LPOS none a MAXLEN x", "LPOS none a x",
    ],
    "move": [
        *(line for a in ("LEFT", "RIGHT", "left", "x", "''") for b in ("LEFT", "RIGHT", "rIgHt", "up") for start in ("RPUSH l a", "RPUSH l a b c")
          for way in (f"LMOVE l m {a} {b}", f"LMOVE l l {a} {b}") for line in [*fresh(way, start), way, "LRANGE l 0 -1", "LRANGE m 0 -1", way]),
        *(line for start in ("RPUSH l a", "RPUSH l a b c", "RPUSH m a") for way in ("RPOPLPUSH l m", "RPOPLPUSH l l", "RPOPLPUSH m l")
          for line in [*fresh(way, start), way, "LRANGE l 0 -1", "LRANGE m 0 -1", way]),
        "LMOVE l m LEFT", "LMOVE l m LEFT RIGHT x", "RPOPLPUSH l", "RPOPLPUSH l m n", "DEL l m", "SET s v", "RPUSH l a b", "LMOVE l s LEFT RIGHT", "RPOPLPUSH l s",
        "LMOVE s l LEFT RIGHT", "RPOPLPUSH s s", "LMOVE none s LEFT LEFT", "RPOPLPUSH none s", "LRANGE l 0 -1", "GET s", "LMOVE l s x LEFT", "LMOVE s s LEFT x",
    ],
    "several": [
        *(line for rest in ("1 l LEFT", "1 l RIGHT", "1 l LEFT COUNT 2", "1 l RIGHT COUNT 3", "1 l left count 4", "2 none l LEFT COUNT 100", "2 l none RIGHT",
                            "3 none l l LEFT", "2 l l RIGHT", "1 none LEFT", "2 none no LEFT COUNT 2", "1 l x", "1 l LEFT x", "1 l LEFT COUNT", "1 l LEFT COUNT 0",
                            "1 l LEFT COUNT -1", "1 l LEFT COUNT x", "1 l LEFT COUNT 1 COUNT 2", "1 l LEFT COUNT 0 COUNT 2", "1 l LEFT COUNT 1 x", "1 l LEFT x 1",
                            "2 l LEFT", "3 l LEFT COUNT 1", "1 l m LEFT", "0 l LEFT", "-1 l LEFT", "x l LEFT", "1.5 l LEFT", "'' l LEFT", "2 l LEFT RIGHT",
                            "2 none LEFT RIGHT", f"{BIG} l LEFT", f"{BIG - 1} l LEFT", f"{SMALL} l LEFT", f"{BIG + 1} l LEFT", f"1 l LEFT COUNT {BIG}",
                            f"1 l LEFT COUNT {BIG + 1}", "1 s LEFT", "2 s l LEFT", "2 l s LEFT", "2 none s LEFT", "1 LEFT", "1", "1 l", "")
          for line in ["DEL l", "SET s v", "RPUSH l a b c a", f"LMPOP {rest}", "LRANGE l 0 -1"]),
    ],
    "missing": [line.format(*["none"] * 2) for line in NO_LISTS],
    "another type": ["SET s v", *(line.format("s", "s") for line in NO_LISTS), "GET s", "EXISTS m"],
    "string commands": ["RPUSH l a", "GET l", "APPEND l x", "INCR l", "GETRANGE l 0 1", "MGET l", "SETNX l v", "SET l v GET", "STRLEN l", "GETDEL l", "LLEN l",
                        "SET l v", "LLEN l", "DEL l", "RPUSH l a", "SET l v XX", "GET l", "DEL l", "RPUSH l b", "LRANGE l 0 -1"],  # fmt: skip
    "expiry": [
        "RPUSH l a b c", "EXPIRE l 100", "RPUSH l d", "TTL l", "LPOP l", "TTL l", "LSET l 0 x", "TTL l", "LTRIM l 0 1", "TTL l", "LREM l 0 x", "TTL l",
        "LINSERT l BEFORE c y", "TTL l", "LMOVE l m LEFT LEFT", "TTL l", "TTL m", "LMOVE l l LEFT LEFT", "TTL l", "LPOP l", "TTL l", "RPUSH l new", "TTL l",
        "EXPIRE m 50", "LMOVE l m LEFT LEFT", "TTL m", "RPUSH l a", "PEXPIREAT l 1", "LLEN l", "RPUSH l again", "LRANGE l 0 -1", "TTL l",
    ],
}  # fmt: skip


def one_by_one(twins, args):
    twins(*args)


def in_a_transaction(twins, args):
    twins("MULTI")
    twins(*args)
    twins("EXEC")


def in_a_script(twins, args):
    script = "local r = redis.pcall(unpack(ARGV)) if type(r) == 'table' and r.err then return {'error', r.err} end return r"
    twins("EVAL", script, 0, *args)


def listen(twins):
    listener = twins.another()
    twins("CONFIG", "SET", "notify-keyspace-events", "KEAmn")
    listener("PSUBSCRIBE", "__key*__:*")
    return listener


def compare_events(twins, listener):
    """Those of the calls so far."""
    twins("SET", "the end", "x")
    count = 0
    while listener.read("a notification")[1][-1][1] != "the end":
        count += 1
    twins("CONFIG", "SET", "notify-keyspace-events", "")
    return count


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("way", [one_by_one, in_a_transaction, in_a_script])
@pytest.mark.parametrize("name", SESSIONS)
def test_session(twins, name, way, protocol):
    for connection in twins.connections:
        connection.call("HELLO", protocol)
    listener = listen(twins)
    for line in SESSIONS[name]:
        way(twins, words(line))
    assert compare_events(twins, listener) > 0 or name == "missing"


def test_binary_elements_of_every_size(twins):
    everything = bytes(range(256))
    elements = [everything, b"", b"\0", b"\r\n", b"\xff" * 63, b"x" * 64, b"y" * 300, b"z" * 5000, b"w" * 70000]
    twins("RPUSH", everything, *elements)
    twins("LPUSH", everything, *elements)
    twins("LRANGE", everything, 0, -1)
    for element in elements:
        twins("LPOS", everything, element, "COUNT", 0)
        twins("LINSERT", everything, "AFTER", element, element[::-1])
        twins("LSET", everything, -1, element)
        twins("LREM", everything, -1, element)
        twins("LMOVE", everything, b"\0", "LEFT", "RIGHT")
    twins("LRANGE", everything, 0, -1)
    twins("LRANGE", b"\0", 0, -1)
    twins("LMPOP", 1, everything, "RIGHT", "COUNT", 5)
    twins("LPOP", everything, 100)
    twins("EXISTS", everything)


def test_expired_lists_are_gone(twins):
    listener = listen(twins)
    calls = [line.format("gone", "gone") for line in NO_LISTS]
    twins("DEBUG", "SET-ACTIVE-EXPIRE", "0")  # otherwise each server finds the last one when it likes
    try:
        for line in calls:
            twins("DEL", "gone", "m")
            twins("RPUSH", "gone", "a", "b")
            twins("PEXPIRE", "gone", 60)
            time.sleep(0.08)
            twins(*words(line))
        twins("EXISTS", "gone")
        assert compare_events(twins, listener) > len(calls)
    finally:
        twins("DEBUG", "SET-ACTIVE-EXPIRE", "1")


def test_watches(twins):
    """A call that changes nothing is no change, except where it is one for Redis."""
    other = twins.another()
    changes = ["LPUSH l x", "LPUSHX l x", "LPUSHX none x", "LPOP l", "LPOP l 0", "RPOP l 5", "LSET l 0 a", "LSET l 9 a", "LTRIM l 0 -1", "LTRIM l 0 0",
               "LREM l 0 none", "LREM l 0 a", "LINSERT l BEFORE none x", "LINSERT l BEFORE a x", "LMOVE l l LEFT RIGHT", "LMOVE l m LEFT RIGHT",
               "LMOVE m l LEFT RIGHT", "LMPOP 1 l LEFT", "LMPOP 1 none LEFT", "LRANGE l 0 -1", "LPOS l a", "LLEN l", "LINDEX l 0"]  # fmt: skip
    changed = 0
    for change in changes:
        for key in ("l", "m", "none"):
            twins("DEL", "l", "m", "none")
            twins("RPUSH", "l", "a", "b")
            twins("WATCH", key)
            other(*words(change))
            twins("MULTI")
            changed += twins("EXEC") == ("*", None)
    assert changed > 10


def test_client_side_caches(twins):
    reader = twins.another()
    for connection in reader.connections:
        connection.call("HELLO", 3)
    reader("CLIENT", "TRACKING", "ON")
    for change in ["LPUSH l x", "LPOP l", "LSET l 0 x", "LTRIM l 0 0", "LREM l 0 a", "LINSERT l AFTER a x", "LMOVE l m LEFT LEFT", "RPOPLPUSH l l", "LMPOP 1 l LEFT"]:
        twins("DEL", "l", "m")
        twins("RPUSH", "l", "a", "b")
        reader("LRANGE", "l", 0, -1)
        twins(*words(change))
        assert reader.read(f"invalidation by {change}")[0] == ">", change
        reader("LRANGE", "l", 0, -1)
        twins("DEL", "l")
        reader.read("invalidation by DEL")


def test_hits_and_misses(twins):
    def counts():
        texts = [connection.call("INFO", "stats")[1] for connection in twins.connections]
        return [[line for text_line in text.splitlines() if (line := text_line).startswith("keyspace_")] for text in texts]

    for connection in twins.connections:
        connection.call("CONFIG", "RESETSTAT")
    for line in ["RPUSH l a b c", *(line.format(key, key) for key in ("l", "none") for line in NO_LISTS), "DEL l none m"]:
        twins(*words(line))
    twins("SET", "s", "v")
    for line in NO_LISTS:
        twins(*words(line.format("s", "s")))
    stock, faha = counts()
    assert stock == faha


def test_keys_and_rights(twins, servers):
    for line in ("LMPOP 2 a b LEFT", "LMPOP 2x a b LEFT", "LMOVE a b LEFT RIGHT", "RPOPLPUSH a b", "LPOS a b RANK 1"):
        twins("COMMAND", "GETKEYS", *words(line))
    for line in ("ACL SETUSER some on nopass +@all ~all* %R~read* %W~write*", "AUTH some x"):
        twins(*words(line))
    denied = 0
    for line in ("LPUSH {} a", "RPUSH {} a", "LPUSHX {} a", "RPUSHX {} a", "LPOP {}", "RPOP {}", "LLEN {}", "LINDEX {} 0", "LSET {} 0 a", "LRANGE {} 0 -1",
                 "LTRIM {} 0 0", "LREM {} 0 a", "LINSERT {} AFTER a a", "LPOS {} a", "LMOVE {} all LEFT LEFT", "LMOVE all {} LEFT LEFT", "RPOPLPUSH {} all",
                 "RPOPLPUSH all {}", "LMPOP 1 {} LEFT", "LMPOP 2 all:2 {} LEFT", "LMPOP 2 {} all:2 RIGHT COUNT 2"):  # fmt: skip
        for key in ("all:1", "read", "write", "none"):
            args = words(line.format(key))
            denied += twins(*args)[1] is not None and "NOPERM" in str(twins(*args)[1])
            quoted = ",".join(f'"{arg}"' for arg in args)
            twins("EVAL", f"local r = redis.pcall({quoted}) return type(r) == 'table' and r.err and r.err:find('NOPERM') or 0", 0)
    assert denied > 40
    for connection in twins.connections:
        connection.call("AUTH", "default", "")
        connection.call("ACL", "DELUSER", "some")


def test_long_lists(twins):
    """Some thousands of elements, changed at random."""
    choose = random.Random(5)
    elements = [f"element {i % 700}" for i in range(3000)]
    twins("RPUSH", "l", *elements)
    for _ in range(200):
        a, b = choose.randrange(-3100, 3100), choose.randrange(-3100, 3100)
        element = f"element {choose.randrange(800)}"
        twins(*choose.choice([
            ["LRANGE", "l", a, b], ["LINDEX", "l", a], ["LSET", "l", a, element], ["LREM", "l", choose.randrange(-3, 4), element],
            ["LINSERT", "l", "BEFORE", element, "x"], ["LPOS", "l", element, "COUNT", 0, "RANK", choose.choice([1, -1, 2])],
            ["LPOP", "l", choose.randrange(5)], ["RPOP", "l", choose.randrange(5)], ["LMOVE", "l", "m", "LEFT", "RIGHT"],
            ["RPUSH", "l", *elements[:choose.randrange(1, 20)]], ["LMPOP", 2, "none", "l", "RIGHT", "COUNT", 3], ["LTRIM", "l", 1, -2],
        ]))  # fmt: skip
    twins("LRANGE", "l", 0, -1)
    twins("LRANGE", "m", 0, -1)


def test_lists_survive(make_server):
    server = make_server().start()
    client = server.client()
    client.rpush("l", "a", "b", "c")
    client.lpop("l")
    client.lmove("l", "m", "LEFT", "LEFT")
    client.rpush("gone", "x")
    client.rpop("gone")
    server.kill()
    client = server.start().client()
    assert client.lrange("l", 0, -1) == ["c"] and client.lrange("m", 0, -1) == ["b"] and client.exists("gone") == 0


def test_no_room(make_server):
    """What finds no room changes nothing; what empties a list needs none."""
    server = make_server(args=["--faha.segment-bytes", "1mb", "--faha.pool-bytes", "16mb"]).start()
    client = server.client()
    for key, elements in (("many", ["a", "b", "a"]), ("one", ["x"]), ("target", ["y"]), ("trimmed", ["a", "b"]), ("big", ["z" * 500_000]), ("large", range(1000))):
        client.rpush(key, *elements)
    refused = Connection(server.port)
    too_large = ["RPUSH big " + "z" * 1_100_000, "LSET big 0 " + "z" * 1_100_000, "LINSERT big BEFORE " + "z" * 500_000 + " " + "z" * 1_100_000, "RPUSH new " + "z" * 1_100_000]
    for line in too_large:
        assert refused.call(*line.split())[1].startswith("TOOLARGE "), line[:30]
    assert client.llen("big") == 1 and client.exists("new") == 0
    for size in (100_000, 1000, 10, 0):
        for i in range(100_000):
            if refused.call("SET", f"fill:{size}:{i}", "v" * size)[0] == "-":
                break
    lists = ("many", "one", "target", "large")
    before = [client.lrange(key, 0, -1) for key in lists]
    for line in ("LPUSH many x", "RPUSH new x", "RPUSHX many x", "LSET many 0 x", "LINSERT many AFTER a x", "LPUSH large x", "LSET large 0 x", "LINSERT large AFTER 500 x",
                 "LMOVE many target LEFT LEFT", "LMOVE one target LEFT LEFT", "LMOVE many many LEFT RIGHT", "LMOVE large large LEFT RIGHT", "COPY large new"):  # fmt: skip
        assert refused.call(*words(line))[1].startswith("NOSPACE "), line
    assert before == [client.lrange(key, 0, -1) for key in lists] and client.exists("new") == 0
    # What makes a list smaller needs no more room than a delete.
    assert client.lpop("large", 100) == [str(i) for i in range(100)] and client.lrem("large", 1, "500") == 1 and client.rpop("large") == "999"
    assert client.ltrim("large", 0, 9) and client.lrange("large", 0, -1) == [str(i) for i in range(100, 110)]
    assert client.lpop("many") == "a" and client.lpos("many", "b") == 0 and client.lrem("many", 0, "none") == 0 and client.lpop("none") is None
    assert client.lpop("one") == "x" and client.ltrim("trimmed", 1, 0) and client.lrem("target", 0, "y") == 1
    assert client.exists("one", "trimmed", "target") == 0
    assert client.execute_command("LMPOP", 2, "one", "many", "LEFT", "COUNT", 9) == ["many", ["b", "a"]]
