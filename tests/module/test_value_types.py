"""Values that are no strings: what is common to all types.  They are made by RESTORE of what stock Redis has dumped."""

import shutil
import subprocess

import pytest

from conftest import DEBUG
from resp import Connection
from test_check import check
from test_snapshot import file_of
from twins import words

FAR = 4102444800000  # a date in 2100, in milliseconds
MAKE = {
    "hash": ["HSET k f v", "HSET k f v g 17 '' empty long " + "x" * 100],
    "set": ["SADD k 1 2 3", "SADD k a 1 '' " + "y" * 100],
    "zset": ["ZADD k 1 a 1 b -inf c 3.25 '' 1e300 z"],
    "list": ["RPUSH k c a b a ''", "RPUSH k 10 9 8"],
}
ALL = [(kind, line) for kind, lines in MAKE.items() for line in lines]


@pytest.fixture(params=ALL, ids=[f"{kind}{len(line)}" for kind, line in ALL])
def typed(request, twins):
    """Both have the value under 'k'; the name of its type."""
    kind, line = request.param
    stock, faha = twins.connections
    stock.call(*words(line))
    payload = stock.call("DUMP", "k")[1].encode("latin-1")
    assert faha.call("RESTORE", "k", 0, payload) == ("+", "OK")
    yield kind
    twins("FLUSHALL")


def same_contents(twins, *keys):
    """The digest says more than any one reading command, and is of every type."""
    return twins("DEBUG", "DIGEST-VALUE", *keys)


def test_what_is_restored_is_the_same(twins, typed):
    assert twins("TYPE", "k") == ("+", typed)
    same_contents(twins, "k")
    twins("DEBUG", "DIGEST")
    for line in ("OBJECT ENCODING k", "OBJECT REFCOUNT k", "EXISTS k", "TTL k", "TOUCH k", "DBSIZE", "RANDOMKEY", "KEYS *"):
        twins(*words(line))
    for name in ("hash", "set", "zset", "list", "string", "stream", "ZSET", "none", ""):
        twins("SCAN", 0, "TYPE", name)


def test_generic_commands_keep_the_value(twins, typed):
    for line in ("COPY k copy", "RENAME copy other", "COPY k other", "COPY k other REPLACE", "EXPIRE k 1000", "PERSIST k", f"PEXPIREAT k {FAR}", "PTTL k",
                 "COPY k timed", "PEXPIRETIME timed", "MOVE timed 3", "RENAMENX other k", "RENAMENX other again", "TYPE again", "SWAPDB 0 2", "DBSIZE",
                 "SWAPDB 0 2", "SELECT 3", "TYPE timed", "PEXPIRETIME timed", "MOVE timed 0", "SELECT 0", "TYPE timed", "TYPE k"):  # fmt: skip
        twins(*words(line))
        same_contents(twins, "k", "copy", "other", "timed", "again")
    for line in ("UNLINK timed again", "GETDEL k", "SET k string", "TYPE k", "GET k"):
        twins(*words(line))


def test_commands_of_strings_refuse_it_and_change_nothing(twins, typed):
    twins("SET", "string", "10")
    for line in (
        "GET k", "GETSET k v", "GETDEL k", "GETEX k EX 10", "GETEX k PERSIST", "GETRANGE k 0 -1", "SUBSTR k 0 1", "SETRANGE k 1 v", "SETRANGE k 0 ''",
        "APPEND k v", "STRLEN k", "INCR k", "DECR k", "INCRBY k 5", "INCRBY k x", "DECRBY k 2", "INCRBYFLOAT k 1", "INCRBYFLOAT k x", "SET k v GET",
        "SET k v NX GET", "SET k v NX", "SETNX k v", "MSETNX k v other v", "MGET k string", "SETBIT k 1 1", "SETBIT k x 1", "GETBIT k 1", "BITCOUNT k",
        "BITCOUNT k 0 x", "BITPOS k 1", "BITPOS k 2", "BITOP AND to k string", "BITOP NOT to k", "BITFIELD k GET u8 0",
        "BITFIELD k SET u8 0 1", "BITFIELD_RO k GET u8 0", "LCS k string", "PFADD k a", "PFADD k", "PFCOUNT k", "PFMERGE k k", "PFMERGE to k", "TYPE k",
    ):  # fmt: skip
        twins(*words(line))
        if twins("TYPE", "k") != ("+", typed):
            twins("DEL", "to")
            pytest.fail(f"{line} has changed the type")
        same_contents(twins, "k", "string", "to")
        twins("DEL", "to")
    for line in ("SET k v XX", "TYPE k"):
        twins(*words(line))


def test_wrong_types_in_transactions_and_scripts(twins, typed):
    for line in ("MULTI", "INCR k", "SET after 1", "EXEC", "GET after"):
        twins(*words(line))
    twins("EVAL", "return redis.pcall('incr', KEYS[1])", 1, "k")
    twins("EVAL", "redis.call('set', KEYS[2], 'v'); return redis.pcall('append', KEYS[1], 'x')", 2, "k", "written")
    twins("GET", "written")


def test_what_is_looked_at_is_not_changed(twins, typed):
    """A client that watches the key can go on."""
    for line in ("OBJECT ENCODING k", "DUMP k", "MEMORY USAGE k SAMPLES 0", "DEBUG OBJECT k", "SORT k ALPHA", "SORT k", "LCS k k", "RESTORE k 0 x", "PFCOUNT k", "PFADD k a"):
        twins("WATCH", "k")
        for connection in twins.connections:
            connection.call(*words(line))
        for step in ("MULTI", "EXISTS k", "EXEC"):
            assert twins(*words(step))[1] is not None, line


def test_events_and_misses(twins, typed):
    for connection in twins.connections:
        connection.call("CONFIG", "SET", "notify-keyspace-events", "AKEmn")
    listeners = [Connection(port) for port in twins.ports]
    try:
        for listener in listeners:
            listener.call("PSUBSCRIBE", "__key*")
        for line in ("GET k", "GET none", "COPY k c", "RENAME c d", "EXPIRE d 1000", "PERSIST d", "SORT k ALPHA STORE s", "DEL d", "APPEND k x", "SET k v"):
            twins(*words(line))
        twins("PUBLISH", "__key_end", "")
        seen = []
        for listener in listeners:
            seen.append([])
            while not (reply := listener.read())[1][2] == ("$", "__key_end"):
                seen[-1].append(reply)
        assert seen[0] == seen[1]
    finally:
        for listener in listeners:
            listener.close()
        for connection in twins.connections:
            connection.call("CONFIG", "SET", "notify-keyspace-events", "")


SORTS = [
    "SORT k", "SORT k DESC", "SORT k ALPHA", "SORT k ALPHA DESC LIMIT 1 2", "SORT k BY w_*", "SORT k BY w_* DESC GET # GET w_*", "SORT k BY h_*->f ALPHA GET h_*->f",
    "SORT k ALPHA LIMIT -5 100", "SORT k ALPHA LIMIT 100 1", "SORT k ALPHA LIMIT 1 -1", "SORT k GET h_*-> ALPHA",
    "SORT k BY w_* GET none STORE to", "SORT k ALPHA STORE k2", "TYPE k2", "SORT none STORE k2", "EXISTS k2", "SORT k LIMIT 1", "SORT k BY", "SORT k STORE", "SORT k x",
    "SORT_RO k ALPHA", "SORT_RO k STORE to", "SORT k ALPHA STORE string", "TYPE string",
]  # fmt: skip


def test_sort(twins, typed):
    twins("SET", "string", "v")
    for i, name in enumerate(("a", "b", "c", "1", "2", "3", "8", "9", "10", "")):
        twins("SET", f"w_{name}", str(10 - i % 4))
    stock, faha = twins.connections
    stock.call("HSET", "h_a", "f", "5")
    faha.call("RESTORE", "h_a", 0, stock.call("DUMP", "h_a")[1].encode("latin-1"))
    for line in SORTS:
        twins(*words(line))
        same_contents(twins, "k", "to", "k2", "string")
    if typed in ("list", "zset"):
        for line in ("SORT k BY nosort", "SORT k BY nosort DESC", "SORT k BY nosort DESC LIMIT 1 2", "SORT k BY nosort GET # STORE to"):
            twins(*words(line))
            same_contents(twins, "to")
    if typed == "set":
        twins(*words("SORT k BY nosort STORE to"))
        same_contents(twins, "to")
        twins("EVAL", "return redis.call('sort', KEYS[1], 'by', 'nosort')", 1, "k")


def test_dumps_and_pools_hold_every_type(make_server, twins):
    """A dump that stock Redis loads, and what faha-check saves, are the same data."""
    faha = make_server(args=DEBUG).start()
    stock = twins.connections[0]
    with_faha = Connection(faha.port)
    for number, (_, line) in enumerate(ALL):
        stock.call(*words(line.replace(" k ", f" k{number} ", 1)))
        payload = stock.call("DUMP", f"k{number}")[1].encode("latin-1")
        ttl = FAR if number % 2 else 0
        if ttl:
            stock.call("PEXPIREAT", f"k{number}", FAR)
        assert with_faha.call("RESTORE", f"k{number}", ttl, payload, "ABSTTL") == ("+", "OK")
    digest = stock.call("DEBUG", "DIGEST")
    assert with_faha.call("DEBUG", "DIGEST") == digest
    assert with_faha.call("SAVE") == ("+", "OK")
    loader = make_server(faha=False, args=["--appendonly", "no", *DEBUG])
    shutil.copy(file_of(faha), loader.folder / "dump.rdb")
    assert Connection(loader.start().port).call("DEBUG", "DIGEST") == digest
    faha.kill()
    saved = faha.folder / "saved"
    assert check(faha.pool_path, "--extract", saved)[0] == 0
    stock.call("FLUSHALL")
    with open(saved, "rb") as commands:
        done = subprocess.run(["redis-cli", "-p", str(twins.ports[0]), "--pipe"], stdin=commands, capture_output=True, timeout=60, check=True)
    assert b"errors: 0" in done.stdout
    assert stock.call("DEBUG", "DIGEST") == digest
