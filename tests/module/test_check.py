"""faha-check on the pools of real servers: what it counts, dumps and saves is what the server held."""

import json
import os
import pathlib
import random
import subprocess

import pytest

from cluster import MODULE, wait_for

CHECK = os.environ.get("FAHA_CHECK", str(pathlib.Path(MODULE).with_name("faha-check")))
FAR = 4102444800000  # a date in 2100, in milliseconds
DATABASES = (0, 1, 7, 15)


def check(pool, *options):
    """The exit code, and what it printed; the pool is as it was."""
    before = pool.read_bytes()
    done = subprocess.run([CHECK, str(pool), *map(str, options)], capture_output=True, timeout=120)
    assert pool.read_bytes() == before, "the pool was changed"
    return done.returncode, done.stdout.decode("ascii"), done.stderr.decode("ascii")


def fill(server):
    """Of everything something; what must be there in the end, as {(db, key): (value, deadline)}."""
    pick = random.Random(3)
    keys = {}
    for db in DATABASES:
        client = server.client(db=db, decode_responses=False)
        for i in range(300):
            key, value = pick.randbytes(pick.randrange(1, 30)), pick.randbytes(pick.randrange(3000))
            deadline = FAR + i if i % 3 == 0 else None
            client.set(key, value, pxat=deadline)
            keys[db, key] = value, deadline
        mine = [key for at, key in keys if at == db]
        for key in pick.sample(mine, 60):
            client.delete(key)
            del keys[db, key]
        with client.pipeline(transaction=True) as unit:  # larger than a batch
            for i in range(40):
                unit.set(b"unit %d" % i, b"u" * 5000)
                keys[db, b"unit %d" % i] = b"u" * 5000, None
            unit.delete(b"unit 0")
            del keys[db, b"unit 0"]
            unit.execute()
    server.client(db=7).flushdb()
    keys = {at: entry for at, entry in keys.items() if at[0] != 7}
    client = server.client(db=7, decode_responses=False)
    client.set("after the flush", "v")
    keys[7, b"after the flush"] = b"v", None
    return keys


def contents(server):
    keys = {}
    for db in range(16):
        client = server.client(db=db, decode_responses=False)
        for key in client.keys("*"):
            deadline = client.execute_command("PEXPIRETIME", key)
            keys[db, key] = client.get(key), None if deadline == -1 else deadline
    return keys


def load(server, file):
    """As an operator does it."""
    with open(file, "rb") as commands:
        done = subprocess.run(
            ["redis-cli", "-p", str(server.port), "--pipe"], stdin=commands, capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0 and "errors: 0" in done.stdout, done


@pytest.fixture
def filled(make_server):
    server = make_server().start()
    keys = fill(server)
    server.kill()
    return server, keys


def test_a_sound_pool(filled, make_server):
    server, keys = filled
    code, out, err = check(server.pool_path)
    assert (code, err) == (0, "") and "verdict: clean\n" in out
    for db in DATABASES:
        assert f"keys, db {db}: {sum(at == db for at, _ in keys)}\n" in out
    assert f"keys: {len(keys)}\n" in out
    saved = server.folder / "keys"
    code, out, _ = check(server.pool_path, "--extract", saved)
    assert code == 0 and f"extracted: {len(keys)} keys to {saved}\n" in out
    stock = make_server(faha=False).start()
    load(stock, saved)
    assert contents(stock) == keys
    # And into another FaHA, whose pool then holds the same.
    other = make_server().start()
    load(other, saved)
    other.kill()
    code, out, _ = check(other.pool_path)
    assert code == 0 and f"keys: {len(keys)}\n" in out


def test_a_dump_is_the_history(filled):
    server, keys = filled
    code, out, _ = check(server.pool_path, "--dump", "--json")
    assert code == 0
    replayed = {}
    last = 0
    for line in map(json.loads, out.splitlines()):
        assert line["in_log"] and line["lsn"] in (last, last + 1)
        last = line["lsn"]
        if line["type"] != "record":
            continue
        at = line["db"], line["key"].encode("latin-1")
        if line["kind"] == "put":
            replayed[at] = line["value"].encode("latin-1"), line["expire_at"]
        elif line["kind"] == "delete":
            del replayed[at]
        elif line["kind"] == "flush":
            replayed = {key: entry for key, entry in replayed.items() if line["db"] not in ("all", key[0])}
    assert replayed == keys
    code, human, _ = check(server.pool_path, "--dump")
    assert code == 0 and len(human.splitlines()) == len(out.splitlines())
    code, some, _ = check(server.pool_path, "--dump", "--key", "after the flush", "--db", 7)
    assert code == 0 and some.splitlines()[-1].endswith('put db 7 key "after the flush" value "v"')


def test_a_damaged_pool(filled, make_server):
    server, keys = filled
    pool = bytearray(server.pool_path.read_bytes())
    client_batches = [json.loads(line) for line in check(server.pool_path, "--dump", "--json")[1].splitlines()]
    written = {}  # LSN -> what was put there, and nowhere else
    for line in client_batches:
        if line["type"] == "record" and line["kind"] == "put" and line["value"]:
            written.setdefault(line["lsn"], []).append((line["db"], line["key"].encode("latin-1")))
    lost = [at for at, (value, _) in keys.items() if at[0] == 0 and len(value) > 1000][:3]
    for at in lost:
        place = pool.index(at[1] + keys[at][0])
        pool[place + len(at[1]) + len(keys[at][0]) // 2] ^= 0xFF
    damaged = {at for group in written.values() if set(group) & set(lost) for at in group}
    server.pool_path.write_bytes(pool)

    saved = server.folder / "keys"
    code, out, _ = check(server.pool_path, "--extract", saved)
    assert code == 4 and "damage: CORRUPT" in out and "verdict: DAMAGED" in out
    assert out.count("as its header tells) is damaged") == len(lost)
    stock = make_server(faha=False).start()
    load(stock, saved)
    there = contents(stock)
    rest = {at: entry for at, entry in keys.items() if at not in damaged}
    assert {at: entry for at, entry in there.items() if at in rest} == rest
    assert not set(lost) & set(there)

    server.log_path.unlink()
    server.spawn()
    assert server.process.wait(timeout=30) != 0
    server.process = None
    assert "CORRUPT" in server.log() and "faha-check --extract" in server.log()


def test_a_pool_in_use(make_server):
    server = make_server().start()
    server.client().set("k", "v")
    code, out, err = check(server.pool_path)
    assert (code, out) == (8, "") and "POOLINUSE" in err and str(server.process.pid) in err
    assert server.client().set("k", "w"), "the server goes on"


def test_a_copy_without_write_permission(filled):
    """By somebody who may not write it: whom root plays, for root may."""
    server, _ = filled
    copy = server.folder / "copy"
    copy.write_bytes(server.pool_path.read_bytes())
    copy.chmod(0o444)
    somebody = {}
    if os.getuid() == 0:
        somebody = {"user": 65534, "group": 65534, "extra_groups": []}
        for folder in (server.folder, server.folder.parent):
            folder.chmod(0o755)
    try:
        assert subprocess.run([CHECK, str(copy)], capture_output=True, **somebody).returncode == 0
    except PermissionError:
        pytest.skip("the build is in a folder that only root reads")


def test_a_medium_that_cannot_be_read(filled):
    """The kernel says so with a SIGBUS, also where a file has been cut short since it was mapped."""
    server, _ = filled
    copy = server.folder / "cut"
    copy.write_bytes(server.pool_path.read_bytes())
    process = subprocess.Popen([CHECK, str(copy), "--dump", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: process.stdout.read(1) == b"{", what="the dump, which is larger than a pipe, to begin")
    os.truncate(copy, 8192)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 8 and err.startswith(b"faha-check: IOERROR "), (process.returncode, err)
    assert b"cannot be read at byte" in err
