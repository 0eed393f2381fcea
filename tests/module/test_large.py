"""Collections whose elements are records of their own: they become large and small again, are copied, renamed, dumped, given to
backups and restored, and DEBUG DIGEST says that they are what stock Redis has."""

import os
import pathlib
import random
import subprocess

import pytest
import redis

from cluster import HOST, MODULE, Server, wait_for
from resp import Connection

CHECK = os.environ.get("FAHA_CHECK", str(pathlib.Path(MODULE).with_name("faha-check")))
DEBUG = ["--enable-debug-command", "yes"]
SMALL = ["--faha.segment-bytes", "1mb", "--faha.pool-bytes", "16mb"]


def digest(server):
    return server.client().execute_command("DEBUG", "DIGEST")


def large(server):
    info = server.info()
    return info["collections"], info["collection_elements"]


def fill(client, size=1000):
    """One of each type, with elements of all kinds of bytes."""
    pick = random.Random(size)
    names = [pick.randbytes(pick.randrange(1, 40)) + str(i).encode() for i in range(size)]
    client.hset("hash", mapping={name: pick.randbytes(pick.randrange(100)) for name in names})
    client.sadd("set", *names)
    client.zadd("sorted", {name: pick.choice([-1.5, 0, 7, i, 1e300]) for i, name in enumerate(names)})
    client.rpush("list", *names)
    return names


def test_they_grow_and_shrink(make_server):
    """A collection is packed up to the limits, and stays large until its key is gone."""
    server = make_server().start()
    client = server.client()
    client.sadd("s", *range(128))
    client.hset("h", "f", "x" * 400)
    assert large(server) == (0, 0)
    client.sadd("s", 128)
    client.hset("h", "g", "y" * 200)
    assert large(server) == (2, 131)
    client.srem("s", *range(60))
    assert large(server) == (2, 71) and client.scard("s") == 69
    client.srem("s", *range(60, 129))
    client.delete("h")
    wait_for(lambda: large(server) == (0, 0), what="both to be taken down")
    client.sadd("s", *range(10))
    assert large(server) == (0, 0)
    client.config_set("faha.packed-elements", 5)
    client.sadd("s", "one more")
    assert large(server) == (1, 11)


def test_what_is_left_is_packed_again_where_that_is_free(make_server):
    server = make_server().start()
    client = server.client()
    client.rpush("l", *range(1000))
    client.zadd("z", {str(i): i for i in range(1000)})
    assert client.ltrim("l", 300, 309) and client.lrange("l", 0, -1) == [str(i) for i in range(300, 310)]
    assert client.zremrangebyrank("z", 5, -1) == 995 and client.zrange("z", 0, -1) == list("01234")
    wait_for(lambda: large(server) == (0, 0), what="the rest to be taken down")
    client.sadd("s", *range(1000))
    client.hset("h", mapping=dict.fromkeys(range(1000), "v"))
    assert len(client.spop("s", 990)) == 990 and client.scard("s") == 10
    assert client.hdel("h", *range(3, 2000), *range(3, 100)) == 997 and client.hgetall("h") == dict.fromkeys("012", "v")
    client.zadd("z", {str(i): i for i in range(1000)})
    assert client.zrem("z", *range(995), "none", 0, 1) == 995 and client.zrange("z", 0, -1) == [str(i) for i in range(995, 1000)]
    wait_for(lambda: large(server) == (0, 0), what="the rest to be taken down")
    # More than half is left: the others are erased.
    client.rpush("l", *range(1000))
    assert client.lpop("l", 400)[-1] == "389" and client.llen("l") == 610 and large(server) == (1, 610)


@pytest.fixture
def pair(folder):
    stock = Server(folder / "stock", faha=False, args=DEBUG)
    faha = Server(folder / "faha", args=DEBUG)
    stock.start()
    faha.start()
    yield stock, faha
    stock.kill()
    faha.kill()


def test_every_command_on_keys(pair):
    clients = [server.client(decode_responses=False) for server in pair]
    for client in clients:
        fill(client)
        for name in ("hash", "set", "sorted", "list"):
            assert client.copy(name, "copy of " + name) and client.copy(name, name, destination_db=3)
            assert client.rename(name, "new " + name) and client.renamenx("new " + name, "newer " + name)
            assert client.move("newer " + name, 5) and not client.exists(name)
            assert client.pexpireat("copy of " + name, 4102444800000) and client.persist("copy of " + name)
            client.restore("restored " + name, 0, client.dump("copy of " + name))
            assert client.type("restored " + name) == client.type("copy of " + name)
        client.swapdb(3, 4)
        client.sort("copy of list", alpha=True, store="sorted list")
        client.sort("copy of set", alpha=True, desc=True, start=100, num=500, store="sorted set")
        client.sunionstore("copy of set", "copy of set", "restored set")
        client.sdiffstore("nothing", "copy of set", "restored set")
        client.zunionstore("of both", ["copy of sorted", "copy of set"])
        client.zrangestore("range", "copy of sorted", 10, 700)
        # What is of another type takes its place, and it another one's.
        client.set("restored hash", "a string")
        client.rename("restored list", "restored hash")
        client.execute_command("SPOP", "restored set", 999)
        client.delete("restored set")
    assert digest(pair[0]) == digest(pair[1])
    for client in clients:
        client.flushdb()
        client.flushall()
    assert digest(pair[0]) == digest(pair[1])
    wait_for(lambda: large(pair[1]) == (0, 0), what="all to be taken down")


def test_a_copy_has_elements_of_its_own(make_server):
    client = make_server().start().client()
    client.hset("h", mapping={f"f{i}": i for i in range(300)})
    client.copy("h", "copy")
    client.hset("h", "f1", "changed")
    client.hdel("h", "f2")
    assert client.hget("copy", "f1") == "1" and client.hlen("copy") == 300
    client.delete("h")
    assert client.hlen("copy") == 300 and client.hget("copy", "f299") == "299"


@pytest.mark.parametrize("end", ["kill", "term"])
def test_they_survive(make_server, end):
    server = make_server(args=DEBUG).start()
    client = server.client(decode_responses=False)
    names = fill(client)
    client.hdel("hash", *names[:100])
    client.lrem("list", 0, names[500])
    client.linsert("list", "BEFORE", names[600], "inserted")
    client.zincrby("sorted", 5, names[7])
    client.rename("set", "renamed")
    before = digest(server), large(server)
    if end == "kill":
        server.kill()
    else:
        client.shutdown()
        server.process.wait()
    server.start()
    assert (digest(server), large(server)) == before


def test_backups_have_the_same(make_cluster):
    """Also those that were given the whole log, and after another node has become the primary."""
    cluster = make_cluster(args=[*SMALL, *DEBUG])
    client = cluster[0].client(decode_responses=False)
    names = fill(client)
    cluster[2].kill()
    for i in range(1, 31):  # more than the pool has: the log is cleaned meanwhile
        client.hset("hash", mapping={name: random.randbytes(300) for name in names})
        client.lpush("list", i)
        client.ltrim("list", 0, 900)
        client.zadd("sorted", {name: i for name in names[: 10 * i]})
    cluster[2].start()
    cluster.wait_in_sync(cluster[0])
    before = digest(cluster[0])
    assert cluster[0].info()["cleaned_segments"] > 0
    for primary, heir in ((cluster[0], cluster[2]), (cluster[2], cluster[1])):
        primary.client().execute_command("FAHA.FAILOVER", "TO", HOST, heir.port)
        cluster.wait_in_sync(heir)
        assert digest(heir) == before and large(heir) == (4, 3901)


def load(folder, name, args, feed):
    """A stock server with what `feed` gives it."""
    stock = Server(folder / name, faha=False, args=[*DEBUG, *args])
    stock.start()
    try:
        feed(stock)
        return digest(stock)
    finally:
        stock.kill()


def test_a_snapshot_and_what_is_extracted_are_the_same(make_server, folder):
    server = make_server(args=DEBUG).start()
    client = server.client(decode_responses=False)
    fill(client)
    fill(server.client(db=3, decode_responses=False), 200)
    client.pexpireat("hash", 4102444800000)
    client.sadd("small", "a", "b")
    client.set("string", "s")
    before = digest(server)
    for save in ("SAVE", "BGSAVE"):
        client.execute_command(save)
        wait_for(lambda: client.info("persistence")["rdb_bgsave_in_progress"] == 0, what="the snapshot to end")
        assert client.info("persistence")["rdb_last_bgsave_status"] == "ok"
        dump = server.folder / "faha-dump.rdb"
        stock = folder / ("stock " + save)
        stock.mkdir()
        dump.rename(stock / "dump.rdb")
        assert load(folder, "stock " + save, ["--appendonly", "no", "--dbfilename", "dump.rdb"], lambda _: None) == before
    server.kill()
    commands = folder / "commands"
    subprocess.run([CHECK, server.pool_path, "--extract", commands], check=True, stdout=subprocess.DEVNULL)

    def feed(stock):
        with commands.open("rb") as file:
            subprocess.run(["redis-cli", "-p", str(stock.port), "--pipe"], stdin=file, check=True, stdout=subprocess.DEVNULL)

    assert load(folder, "extracted", [], feed) == before


def test_a_snapshot_is_of_one_moment(make_server):
    """While every element is written again and again."""
    server = make_server(args=[*DEBUG, "--faha.segment-bytes", "1mb"]).start()
    client = server.client()
    client.hset("h", mapping={f"f{i}": 0 for i in range(20_000)})
    client.execute_command("BGSAVE")
    for value in range(1, 6):
        client.eval("for i = 0, 19999 do redis.call('HSET', KEYS[1], 'f' .. i, ARGV[1]) end", 1, "h", value)
    wait_for(lambda: client.info("persistence")["rdb_bgsave_in_progress"] == 0, what="the snapshot to end")
    assert client.info("persistence")["rdb_last_bgsave_status"] == "ok"
    stock = Server(server.folder / "stock", faha=False, args=["--appendonly", "no", "--dbfilename", "dump.rdb"])
    stock.folder.mkdir(exist_ok=True)
    (server.folder / "faha-dump.rdb").rename(stock.folder / "dump.rdb")
    stock.start()
    try:
        values = set(stock.client().hvals("h"))
        assert len(values) == 1 and stock.client().hlen("h") == 20_000
    finally:
        stock.kill()


def test_no_room_changes_nothing(make_server):
    """What would not fit is refused before anything is written, also where it is many records."""
    server = make_server(args=[*SMALL, *DEBUG]).start()
    client, raw = server.client(), Connection(server.port)
    client.sadd("a", *(f"{i:0300}" for i in range(9000)))
    client.sadd("b", *(f"other {i:0300}" for i in range(9000)))
    client.rpush("l", *range(200))
    before = digest(server)
    too_much = [["SUNIONSTORE", "a", "a", "b"], ["COPY", "a", "c"], ["SADD", "c", *(f"third {i:0300}" for i in range(20_000))],
                ["EVAL", "return redis.call('COPY', 'b', 'c')", 0], ["RESTORE", "c", "0", client.execute_command("DUMP", "a", NEVER_DECODE=[])]]  # fmt: skip
    for call in too_much:
        reply = raw.call(*call)
        assert reply[0] == "-" and "NOSPACE" in reply[1], (call[0], reply)
        assert digest(server) == before
    element = "x" * (1 << 20)
    for call in (["HSET", "h", "f", element], ["SADD", "a", element], ["LPUSH", "l", element], ["LINSERT", "l", "BEFORE", "5", element], ["ZADD", "z", "1", element], ["LSET", "l", "0", element]):
        reply = raw.call(*call)
        assert reply[0] == "-" and reply[1].startswith("TOOLARGE "), (call[0], reply)
    assert digest(server) == before


def test_a_full_pool_has_room_for_less(make_server):
    """Also where the records of so many deletes, one for each element that goes, would not fit."""
    count, last = 25_000, 24_999
    server = make_server(args=[*SMALL, *DEBUG]).start()
    client, raw = server.client(), Connection(server.port)
    adders = (lambda i: ("RPUSH", "l", f"{i:030}"), lambda i: ("SADD", "s", f"{i:030}"), lambda i: ("HSET", "h", f"f{i}", f"{i:030}"), lambda i: ("ZADD", "z", i, f"{i:030}"))
    for add in adders:
        pipeline = client.pipeline(transaction=False)
        for i in range(count):
            pipeline.execute_command(*add(i))
        pipeline.execute()
    fillers = (f"fill:{i}" for i in range(100_000))

    def fill():
        """What has gone makes room, so the pool is filled again before each command."""
        assert any(raw.call("SET", name, "v" * 1000)[1].startswith("NOSPACE ") for name in fillers)

    fill()
    assert raw.call("RPUSH", "l", "x" * 1000)[1].startswith("NOSPACE ")
    assert client.ltrim("l", -5, -1) and client.lrange("l", 0, -1) == [f"{i:030}" for i in range(count - 5, count)]
    fill()
    assert len(client.spop("s", count - 10)) == count - 10 and client.scard("s") == 10
    fill()
    assert client.hdel("h", *(f"f{i}" for i in range(count - 10))) == count - 10 and client.hlen("h") == 10
    fill()
    assert client.zremrangebyrank("z", 0, 1400) == 1401 and client.zcard("z") == count - 1401
    fill()
    assert client.zrem("z", *(f"{i:030}" for i in range(1401, last))) == last - 1401 and client.zrange("z", 0, -1) == [f"{last:030}"]
    assert client.srem("s", *client.smembers("s")) == 10 and client.exists("s") == 0


def test_a_scan_misses_nothing_that_stays(make_server):
    """Elements go meanwhile, most of them at once, and what is left may be small or not."""
    server = make_server().start()
    client = server.client()
    for left in (5, 100, 300):
        stays = {f"stays{i}" for i in range(left)}
        for removals in range(1, 6):
            for key in ("h", "s", "z"):
                goes = [f"goes{i}" for i in range(1000)]
                scan = {"h": client.hscan, "s": client.sscan, "z": client.zscan}[key]
                client.delete(key)
                for name in [*goes, *stays]:
                    {"h": lambda: client.hset("h", name, "v"), "s": lambda: client.sadd("s", name), "z": lambda: client.zadd("z", {name: int(name in stays)})}[key]()
                found, cursor, rounds = set(), 0, 0
                while rounds == 0 or cursor != 0:
                    cursor, part = scan(key, cursor)
                    found |= {name if isinstance(name, str) else name[0] for name in part}
                    rounds += 1
                    if rounds == removals:
                        {"h": lambda: client.hdel("h", *goes), "s": lambda: client.srem("s", *goes), "z": lambda: client.zremrangebyscore("z", 0, 0)}[key]()
                assert stays <= found, (left, removals, key)


STORES = {
    "s": [["SUNIONSTORE", "s", "s", "extra"], ["SDIFFSTORE", "s", "s", "extra"], ["SINTERSTORE", "s", "s"]],
    "z": [["ZUNIONSTORE", "z", 2, "z", "extra"], ["ZRANGESTORE", "z", "z", 0, -1]],
    "h": [["COPY", "h", "copy"], ["COPY", "copy", "h", "REPLACE"]],
}


@pytest.mark.parametrize("key", STORES)
def test_a_scan_misses_nothing_while_the_elements_become_those_of_another_collection(make_server, key):
    client = make_server().start().client()
    names = [f"element{i}" for i in range(2000)]
    client.hset("h", mapping=dict.fromkeys(names, "v"))
    client.sadd("s", *names)
    client.zadd("z", dict.fromkeys(names, 1))
    found, cursor = set(), None
    while cursor != 0:
        cursor, part = {"h": client.hscan, "s": client.sscan, "z": client.zscan}[key](key, cursor or 0, count=100)
        found |= {name if isinstance(name, str) else name[0] for name in part}
        for command in STORES[key]:
            client.execute_command(*command)
    assert found == set(names)


def test_the_event_loop_goes_on_while_they_are_taken_down(make_server):
    server = make_server(args=["--faha.pool-bytes", "256mb"]).start()
    client = server.client()
    for i in range(4):
        client.eval("for i = 1, 100000 do redis.call('SADD', KEYS[1], i) end", 1, f"s{i}")
    client.delete("s0")
    client.expire("s1", -1)
    client.set("s2", "a string")
    client.flushdb()
    assert client.dbsize() == 0 and large(server)[1] > 0, "nothing is left to be taken down by and by"
    wait_for(lambda: large(server) == (0, 0), what="all to be taken down")


def test_an_element_is_never_lost_nor_doubled_between_lists(make_server):
    """RPOPLPUSH on large lists, killed in the middle of many."""
    server = make_server().start()
    client = server.client()
    client.rpush("from", *range(2000))
    pipe = client.pipeline(transaction=False)
    for _ in range(1000):
        pipe.rpoplpush("from", "to")
    pipe.execute()
    done = Connection(server.port)
    for _ in range(500):
        done.send("RPOPLPUSH", "from", "to")
    server.kill()
    server.start()
    client = server.client()
    left, moved = client.lrange("from", 0, -1), client.lrange("to", 0, -1)
    assert left + moved == [str(i) for i in range(2000)] and len(moved) >= 1000


def test_types(make_server):
    client = make_server().start().client()
    fill(client)
    wrong = [["GET", "hash"], ["HGET", "set", "f"], ["SADD", "list", "m"], ["LPUSH", "sorted", "e"], ["ZADD", "hash", "1", "m"], ["INCR", "list"], ["SETBIT", "set", "0", "1"], ["BLPOP", "hash", "1"], ["PFCOUNT", "list"]]
    for call in wrong:
        with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
            client.execute_command(*call)
    assert client.strlen("new") == 0 and [client.type(key) for key in ("hash", "set", "sorted", "list")] == ["hash", "set", "zset", "list"]
    assert {client.object("encoding", key) for key in ("hash", "set")} == {"hashtable"} and client.object("encoding", "sorted") == "skiplist" and client.object("encoding", "list") == "quicklist"
    assert client.memory_usage("hash") > 10_000
