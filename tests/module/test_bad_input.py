"""What is damaged, full, misconfigured or hostile gets one line with a stable code; server and data are unharmed."""

import contextlib
import os
import socket
import struct
import subprocess

import pytest
import redis

from cluster import PORT_OFFSET, SANITIZED, wait_for
from resp import Connection

MB = 1 << 20
SUPERBLOCKS = (0, 4096)
TABLE, DATA = 8192, 2 * MB


def written(server, count=200):
    """A started server with `count` keys in as many batches, and then killed."""
    client = server.start().client()
    for i in range(count):
        client.set(f"k{i}", f"v{i}")
    server.kill()
    return server


def damage(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def refuses_to_start(server, code):
    """The server ends; its log has one line with `code`, which is returned, and the pool is as it was."""
    before = server.pool_path.read_bytes() if server.pool_path.exists() else None
    server.spawn()
    assert server.process.wait(timeout=30) != 0
    server.process = None
    lines = [line for line in server.log().splitlines() if f"faha: {code} " in line]
    assert len(lines) == 1, server.log()
    assert before is None or server.pool_path.read_bytes() == before, "the pool was changed"
    return lines[0]


def starts_with_all(server, count=200):
    client = server.start().client()
    assert client.mget([f"k{i}" for i in range(count)]) == [f"v{i}" for i in range(count)]
    return client


# --- Pools.


def test_one_damaged_superblock_is_survived(make_server):
    for copy in SUPERBLOCKS:
        server = written(make_server())
        damage(server.pool_path, copy + 40, b"\xff" * 8)
        starts_with_all(server)


@pytest.mark.parametrize("what, offset", [("checksum", 504), ("magic", 0), ("log key", 232), ("source", 104)])
def test_two_damaged_superblocks(make_server, what, offset):
    server = written(make_server())
    for copy in SUPERBLOCKS:
        damage(server.pool_path, copy + offset, b"\xff" * 8)
    refuses_to_start(server, "BADPOOL")


def test_a_pool_of_another_version(make_server):
    server = written(make_server())
    for copy in SUPERBLOCKS:
        damage(server.pool_path, copy + 8, struct.pack("<I", 99))
    assert "99" in refuses_to_start(server, "POOLVERSION")


def test_a_file_that_is_no_pool(make_server):
    server = make_server()
    server.pool_path.write_bytes(os.urandom(4 * MB))
    refuses_to_start(server, "BADPOOL")


def test_a_damaged_committed_batch(make_server):
    server = written(make_server())
    pool = server.pool_path.read_bytes()
    damage(server.pool_path, pool.index(b"k100v100"), b"\0")
    assert "peers" in refuses_to_start(server, "CORRUPT")


def test_a_damaged_table_entry_is_repaired(make_server):
    server = written(make_server())
    damage(server.pool_path, TABLE + 24, b"\xff" * 8)
    starts_with_all(server)
    assert "table entry of segment 0 is damaged" in server.log()
    server.kill()
    server.log_path.unlink()
    starts_with_all(server)
    assert "damaged" not in server.log()


def test_a_truncated_pool(make_server):
    server = written(make_server())
    for size in (DATA + MB, 5000, 100):
        os.truncate(server.pool_path, size)
        server.log_path.unlink()
        server.spawn()
        assert server.process.wait(timeout=30) != 0
        server.process = None
        assert any(f"faha: {code} " in server.log() for code in ("POOLSIZE", "BADPOOL")), server.log()
        assert server.pool_path.stat().st_size == size, "the pool was changed"


def test_a_pool_in_use(make_server):
    first, second = written(make_server()), make_server()
    client = starts_with_all(first)
    second.args += ["--faha.pool-path", str(first.pool_path)]
    refuses_to_start(second, "POOLINUSE")
    assert client.set("k0", "still here")


def test_a_pool_that_no_disk_holds(make_server):
    refuses_to_start(make_server(args=["--faha.pool-bytes", "100000gb"]), "NOSPACE")


def test_a_file_system_that_is_full(make_server, tmp_path):
    """Space is taken when the pool is made, not when it is written: no acknowledged write ever meets a full disk."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", tmp_path]).returncode != 0:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        server = make_server(args=["--faha.pool-path", str(tmp_path / "faha.pool")])
        refuses_to_start(server, "NOSPACE")
        server.args += ["--faha.pool-bytes", "12mb", "--faha.segment-bytes", "1mb"]
        server.start()
        assert server.client().set("k", "v")
        (tmp_path / "the rest").write_bytes(b"x" * (int(os.statvfs(tmp_path).f_bavail) * 4096))
        for i in range(5):
            server.client().set(f"k{i}", "x" * 500_000)
        server.kill()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# --- Values and room.


def test_a_value_over_the_limit(make_server):
    server = make_server(args=["--faha.segment-bytes", "1mb", "--faha.pool-bytes", "16mb"]).start()
    client = server.client()
    client.set("k", "old")
    for call in (
        ["SET", "k", "x" * MB],
        ["SET", "k" * MB, "x"],
        ["APPEND", "k", "x" * MB],
        ["MSET", "a", "1", "k", "x" * MB, "b", "2"],
        ["MSETNX", "a", "1", "kk", "x" * MB, "b", "2"],
        ["SETEX", "k", "100", "x" * MB],
    ):
        with pytest.raises(redis.exceptions.ResponseError, match="TOOLARGE .*faha.segment-bytes"):
            client.execute_command(*call)
        assert client.mget("k", "a", "b") == ["old", None, None], "half of it happened"
    limit = MB - 2000
    assert client.set("k", "x" * limit) and client.strlen("k") == limit


def test_a_full_pool(make_cluster):
    """Writes get NOSPACE, all or nothing; reads and deletes go on; a restart and a promotion work, and keep all."""
    cluster = make_cluster(args=["--faha.segment-bytes", "1mb", "--faha.pool-bytes", "8mb"])
    client = cluster[0].client()
    value, count = "x" * 10_000, 0
    with pytest.raises(redis.exceptions.ResponseError, match="NOSPACE the pool is full"):
        for count in range(100_000):
            client.set(f"k{count}", value)
    with pytest.raises(redis.exceptions.ResponseError, match="NOSPACE"):
        client.mset({f"m{i}": value for i in range(20)})
    with pytest.raises(redis.exceptions.ResponseError, match="NOSPACE"):
        client.incrby("n", 5) and client.set("n", value)
    assert client.exists(*(f"m{i}" for i in range(20))) == 0
    assert client.get(f"k{count - 1}") == value
    assert client.dbsize() in (count, count + 1)
    assert client.delete("k0") == 1
    assert client.get("k0") is None
    script = "redis.call('DEL', 'k1') return redis.call('SET', 'big', string.rep('x', 900000))"
    with pytest.raises(redis.exceptions.ResponseError, match="NOSPACE"):
        client.eval(script, 0)
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    cluster.wait_in_sync(cluster[0])
    assert cluster[0].client().mget("k0", "k1", "k2") == [None, None, value]
    cluster[0].kill()
    cluster.promote(cluster[1])
    assert cluster[1].client().get(f"k{count - 1}") == value
    assert cluster[1].client().delete("k2") == 1


def test_a_full_pool_can_be_deleted_empty_and_says_so_when_even_that_ends(make_server):
    server = make_server(args=["--faha.segment-bytes", "1mb", "--faha.pool-bytes", "8mb"]).start()
    client = server.client()
    with pytest.raises(redis.exceptions.ResponseError, match="NOSPACE"):
        for i in range(100_000):
            client.set(f"k{i}", "x" * 1000)
    assert client.flushall()
    assert client.dbsize() == 0
    server.kill()
    server.start()
    assert server.client().dbsize() == 0


# --- Options.


@pytest.mark.parametrize(
    "option",
    [
        ["--faha.segment-bytes", "12345"],
        ["--faha.pool-bytes", "100kb"],
        ["--faha.pool-bytes", "abc"],
        ["--faha.lease", "1"],
        ["--faha.persistence-domain", "wishful"],
        ["--faha.bind", "0.0.0.0"],
        ["--faha.port", "70000"],
        ["--faha.port-offset", "60000"],
        ["--faha.min-acks", "-1"],
        ["--faha.announce-host", "a b"],
        ["--faha.pool-path", ""],
        ["--cluster-enabled", "yes"],
    ],
    ids=lambda option: " ".join(option),
)
def test_a_bad_option(make_server, option):
    server = make_server(args=option).spawn()
    assert server.process.wait(timeout=30) != 0
    server.process = None
    assert option[0].removeprefix("--") in server.log(), server.log()
    assert "faha: BADCONFIG " in server.log() or "faha: POOLSIZE " in server.log(), server.log()


@pytest.mark.parametrize("size", ["1mb", "6mb"])
def test_a_pool_that_is_too_small_is_not_made(make_server, size):
    server = make_server(args=["--faha.pool-bytes", size])
    assert f"raise faha.pool-bytes to {22 << 20} at least" in refuses_to_start(server, "POOLSIZE")
    assert not server.pool_path.exists()
    server.args[1] = "64mb"
    assert server.start().client().set("k", "v")


def test_options_at_run_time(make_server):
    server = make_server().start()
    client = server.client()
    for name, value in (("faha.persist-timeout", "500"), ("faha.min-acks", "1"), ("faha.batch-bytes", "4096"), ("faha.batch-depth", "2")):
        assert client.config_set(name, value)
        assert client.config_get(name)[name] == value
    for name, value in (("faha.persist-timeout", "0"), ("faha.min-acks", "x"), ("faha.batch-depth", "0"), ("faha.pool-bytes", "1gb"), ("faha.lease", "5000")):
        before = client.config_get(name)
        with pytest.raises(redis.exceptions.ResponseError):
            client.config_set(name, value)
        assert client.config_get(name) == before
    assert len(client.config_get("faha.*")) >= 12
    assert client.set("k", "v")


def test_a_dump_of_former_days_is_not_hidden(make_server):
    stock = make_server(faha=False, args=["--appendonly", "no"]).start()
    stock.client().set("k", "from before")
    stock.client().save()
    stock.kill()
    stock.faha = True
    stock.args = ["--appendonly", "no"]
    refuses_to_start(stock, "NATIVEDATA")
    assert (stock.folder / "dump.rdb").exists()


# --- Peers.


def checksum_is_wrong():
    return struct.pack("<IHHII", 0x41486146, 1, 4, 0, 12345) + b"abcd"


GARBAGE = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a Redis command": b"*1\r\n$4\r\nPING\r\n",
    "random bytes": bytes(range(255, 0, -1)) * 100,
    "a wrong version": struct.pack("<IHHII", 0x41486146, 99, 4, 0, 12345) + b"abcd",
    "a wrong checksum": checksum_is_wrong(),
    "a huge head": struct.pack("<IHHII", 0x41486146, 1, 65535, 0, 0),
    "a huge body": struct.pack("<IHHII", 0x41486146, 1, 4, 0xFFFFFFFF, 0) + b"abcd",
    "half a frame": struct.pack("<IHHII", 0x41486146, 1, 4, 100, 0)[:9],
    "nothing": b"",
}


def test_garbage_on_the_replication_port(make_cluster):
    cluster = make_cluster()
    client = cluster[0].client()
    for node in cluster.nodes:
        for what, data in GARBAGE.items():
            with socket.create_connection(("127.0.0.1", node.port + PORT_OFFSET), timeout=30) as peer:
                # It may hang up before it has heard all.
                with contextlib.suppress(OSError):
                    peer.sendall(data)
                    peer.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    assert peer.recv(1) == b"", f"an answer to {what}"
            assert client.set("k", what) and client.get("k") == what
    log = cluster[0].log()
    assert "PROTOCOL" in log and "PEERVERSION" in log
    cluster.wait_in_sync(cluster[0])


def test_many_silent_connections_do_no_harm(make_cluster):
    cluster = make_cluster()
    peers = [socket.create_connection(("127.0.0.1", cluster[0].port + PORT_OFFSET)) for _ in range(300)]
    assert cluster[0].client().set("k", "v")
    cluster[1].kill()
    cluster[1].start()
    cluster.wait_in_sync(cluster[0])
    for peer in peers:
        peer.close()


def test_replicaof_something_that_is_no_faha(make_server):
    """An empty node asks and waits; the order can be taken back."""
    stock, server = make_server(faha=False).start(), make_server().start()
    client = server.client()
    for port in (stock.port, 1):
        client.execute_command("REPLICAOF", "127.0.0.1", port)
        with pytest.raises(redis.exceptions.RedisError):
            client.set("k", "w")
        wait_for(lambda: f"127.0.0.1:{port + PORT_OFFSET}" in server.info()["last_error"], what="the reason")
        told = client.info("replication")
        assert (told["role"], told["master_port"], told["master_link_status"]) == ("slave", port, "down")
    client.execute_command("REPLICAOF", "NO", "ONE")
    wait_for(lambda: server.info()["state"] == "serving")
    assert client.set("k", "w") and client.get("k") == "w"


@pytest.mark.parametrize("faha", [True, False])
def test_a_node_that_leads_with_data_of_its_own_is_no_backup_of_others(make_server, faha):
    """The order is refused, and the node goes on serving."""
    other, server = make_server(faha=faha).start(), make_server().start()
    other.client().set("whose", other.port)
    client = server.client()
    client.set("whose", server.port)
    for command, port in (("REPLICAOF", other.port), ("SLAVEOF", 1)):
        with pytest.raises(redis.exceptions.ResponseError, match="^CLUSTERID .*no member of it.*move its pool away"):
            client.execute_command(command, "127.0.0.1", port)
    assert client.set("k", "v") and client.get("whose") == str(server.port)
    assert client.role()[0] == b"master" or client.role()[0] == "master"
    for host, port in (("127.0.0.1", "x"), ("127.0.0.1", "70000"), ("127.0.0.1", "-1"), ("no", "two")):
        with pytest.raises(redis.exceptions.ResponseError, match="integer|Invalid master port"):
            client.execute_command("REPLICAOF", host, port)
    assert client.set("k", "w")


def test_a_pool_too_small_for_its_cluster(make_server):
    first = make_server(args=["--faha.pool-bytes", "64mb"]).start()
    second = make_server(args=["--faha.pool-bytes", "32mb"]).start()
    second.client().execute_command("REPLICAOF", "127.0.0.1", first.port)
    wait_for(lambda: "POOLSIZE" in second.info()["last_error"], what="the refusal")
    assert first.client().set("k", "v")


# --- Commands of our own.


def test_arguments_of_our_own_commands(make_server):
    connection = Connection(make_server().start().port)
    for args in (
        ["FAHA.PROMOTE", "x"], ["FAHA.PROMOTE", "-1"], ["FAHA.PROMOTE", "1", "2"], ["FAHA.FAILOVER", "TO"],
        ["FAHA.FAILOVER", "TO", "127.0.0.1", "x"], ["FAHA.FAILOVER", "TO", "127.0.0.1", "70000"], ["FAHA.STATUS", "x"],
        ["FAHA.FAILOVER"], ["FAHA.FORGET"], ["FAHA.FORGET", "x", "0"], ["FAHA.FORGET", "x", "7001"], ["FAHA.NOSUCH"],
    ):  # fmt: skip
        kind, text = connection.call(*args)
        assert kind == "-" and len(text.split()) > 2, (args, text)
    connection.call("MULTI")
    assert connection.call("FAHA.PROMOTE")[0] == "-" and connection.call("EXEC")[0] == "-"
    assert connection.call("SET", "k", "v") == ("+", "OK")


def limited(server, limits):
    """The server starts under `limits` of the shell."""
    command = server.command
    server.command = lambda: ["bash", "-c", f'ulimit {limits} && exec "$@"', "server", *command()]
    return server


def test_too_few_open_files_are_a_warning(make_server):
    server = limited(make_server(), "-n 10100").start()
    assert "BADCONFIG the limit of 10100 open files leaves few for peers beside 10000 clients: raise it to 10192" in server.log()
    assert "open files" not in make_server().start().log()


def test_arguments_behind_the_module_are_refused(make_server):
    server = make_server()
    command = server.command()
    at = command.index("--loadmodule") + 2
    server.command = lambda: [*command[:at], "faha.pool-bytes", "16mb", *command[at:]]
    assert "'faha.pool-bytes' is one" in refuses_to_start(server, "BADCONFIG")


@pytest.mark.skipif(SANITIZED, reason="the sanitizer itself needs more address space than that")
def test_an_address_space_that_cannot_hold_the_pool(make_server):
    assert "bytes of address space cannot hold a pool of" in refuses_to_start(limited(make_server(args=["--faha.pool-bytes", "256mb"]), "-v 450000"), "BADCONFIG")
