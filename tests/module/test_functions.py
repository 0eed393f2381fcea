"""Functions are data: what was loaded is called wherever the primary is, and what was refused is nowhere."""

import os
import pathlib
import secrets
import signal
import subprocess

import pytest
import redis

from cluster import HOST, MODULE, wait_for
from resp import Connection, encode

CHECK = os.environ.get("FAHA_CHECK", str(pathlib.Path(MODULE).with_name("faha-check")))


def library(name, answer):
    return f"#!lua name={name}\nredis.register_function('{name}', function(keys) return redis.call('SET', keys[1], '{answer}') and '{answer}' end)"


def test_functions_outlast_failovers_restarts_and_flushes(make_cluster):
    cluster = make_cluster()
    client = cluster[0].client()
    assert client.function_load(library("a", 1)) == "a" and client.function_load(library("b", 2)) == "b"
    assert client.fcall("a", 1, "k") == "1"
    cluster.wait_in_sync(cluster[0])
    assert client.execute_command("FAHA.FAILOVER", "TO", HOST, cluster[1].port) == "OK"
    assert cluster[1].client().fcall("b", 1, "k") == "2", "at once"
    cluster.wait_in_sync(cluster[1])
    client = cluster[1].client()
    assert client.function_delete("a") and client.function_load(library("b", 3), replace=True) == "b"
    client.flushall()
    assert client.dbsize() == 0 and client.fcall("b", 1, "k") == "3"
    cluster[1].kill()
    cluster.promote(cluster[2])
    client = cluster[2].client()
    assert client.fcall("b", 1, "k") == "3"
    with pytest.raises(redis.exceptions.ResponseError, match="Function not found"):
        client.fcall("a", 1, "k")
    # A whole cluster that was down has them, too; and one who was away has what there is, not what there was.
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    primary = wait_for(cluster.primary, what="a primary")
    cluster.wait_in_sync(primary)
    assert primary.client().fcall("b", 1, "k") == "3"
    assert primary.client().function_flush() and primary.client().execute_command("FUNCTION", "LIST") == []
    heir = next(node for node in cluster.nodes if node is not primary)
    assert primary.client().execute_command("FAHA.FAILOVER", "TO", HOST, heir.port) == "OK"
    assert heir.client().execute_command("FUNCTION", "LIST") == []


def test_functions_that_were_there_before_are_taken_over_and_extracted(make_server, folder):
    stock = make_server(faha=False, args=["--dbfilename", "functions.rdb", "--appendonly", "no"])
    stock.start()
    stock.client().function_load(library("old", 1))
    assert stock.client().save()
    server = make_server(args=["--dir", str(stock.folder), "--dbfilename", "functions.rdb", "--appendonly", "no"]).start()
    wait_for(lambda: "functions that the server had are in the log now" in server.log(), what="them to be taken over")
    assert server.client().fcall("old", 1, "k") == "1"
    server.kill()
    out = folder / "extracted"
    subprocess.run([CHECK, "--extract", str(out), str(server.pool_path)], check=True, stdout=subprocess.DEVNULL)
    assert b"SELECT\r\n$5\r\n65534" not in out.read_bytes()
    fresh = make_server(faha=False).start()
    subprocess.run(["redis-cli", "-p", str(fresh.port), "--pipe"], stdin=out.open("rb"), check=True, stdout=subprocess.DEVNULL)
    assert fresh.client().fcall("old", 1, "k") == "1" and fresh.client().dbsize() == 1


def test_what_is_not_in_the_log_is_not_in_the_server(make_cluster):
    cluster = make_cluster()
    client = cluster[0].client()
    client.function_load(library("kept", 1))
    with pytest.raises(redis.exceptions.ResponseError, match="already exists"):
        client.function_load(library("kept", 2))
    cluster.wait_in_sync(cluster[0])
    with pytest.raises(redis.exceptions.ReadOnlyError):
        cluster[1].client().function_load(library("refused", 1))
    # Larger than a record may be.
    big = library("big", 1) + "\n--" + secrets.token_hex(9 << 20)  # the dump is compressed
    with pytest.raises(redis.exceptions.ResponseError, match="TOOLARGE"):
        client.function_load(big)
    assert "big" not in str(client.execute_command("FUNCTION", "LIST"))
    assert client.fcall("kept", 1, "k") == "1"
    # In a transaction it is there for what follows, and goes or stays with all of it.
    pipe = client.pipeline(transaction=True)
    pipe.execute_command("FUNCTION", "LOAD", library("both", 4))
    pipe.execute_command("FCALL", "both", 1, "k")
    assert pipe.execute() == ["both", "4"]
    # A primary that lost its majority may have told nobody; when it is deposed it has what the others have.
    cluster[1].kill()
    cluster[2].kill()
    with pytest.raises(redis.exceptions.RedisError):
        client.function_load(library("lost", 1))
    cluster[1].start()
    cluster[2].start()
    primary = wait_for(cluster.primary, what="a primary")
    cluster.wait_in_sync(primary)
    libraries = lambda node: {entry[1] for entry in node.client().execute_command("FUNCTION", "LIST")}
    assert {"kept", "both"} <= libraries(primary)
    wait_for(lambda: all(libraries(node) == libraries(primary) for node in cluster.nodes), what="the same everywhere")


def test_functions_are_those_of_the_log_from_the_first_call_on(make_server):
    """Redis loads those of a dump that it wrote itself; the log knows better, and no client may come before it."""
    server = make_server(args=["--appendonly", "no"]).start()
    for turn in range(3):
        client = server.client()
        client.function_load("#!lua name=kept\nredis.register_function('version', function() return 'old' end)", replace=True)
        client.function_load("#!lua name=gone\nredis.register_function('gone', function() return redis.call('SET', 'x', 'v') end)", replace=True)
        client.save()
        client.function_load("#!lua name=kept\nredis.register_function('version', function() return 'new' end)", replace=True)
        client.function_delete("gone")
        server.kill()
        server.spawn()
        # As soon as it listens, and whatever the server does first.
        connection = wait_for(lambda: Connection(server.port), what="the server to listen")
        connection.send_raw((encode("FCALL", "gone", 0) + encode("FCALL", "version", 0)) * 200 + encode("FUNCTION", "LIST"))
        answers = [connection.read() for _ in range(401)]
        served = [each for each in answers if not str(each[1]).startswith("LOADING")]
        assert all(each[1].startswith("ERR Function not found") for each in served[:-1] if each[0] == "-"), served[:4]
        assert "old" not in str(served) and ("+", "OK") not in served and "gone" not in str(served[-1])
        assert server.client().get("x") is None


@pytest.mark.parametrize("end", ["killed", "shut down"])
def test_a_slow_script_is_whole_whatever_others_send_meanwhile(make_cluster, end):
    """Redis shows their commands to the module before it refuses them: nothing may commit the half that was written."""
    cluster = make_cluster(args=["--busy-reply-threshold", "10", "--enable-debug-command", "yes"])
    client = cluster[0].client()
    client.mset({"a": "old", "b": "old"})
    client.function_load("#!lua name=lib\nredis.register_function('f', function() return 1 end)")
    slow = Connection(cluster[0].port)
    loop = "local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 20 do end"
    slow.send("EVAL", f"redis.call('SET', 'a', 'new') {loop} redis.call('SET', 'b', 'new')", 0)
    other = Connection(cluster[0].port)
    wait_for(lambda: other.call("PING")[1].startswith("BUSY"), what="the server to be busy")
    calls = [["EVAL", "return 1", 0], ["EVALSHA", "0" * 40, 0], ["FCALL", "f", 0], ["FUNCTION", "LIST"], ["FUNCTION", "STATS"],
             ["FUNCTION", "LOAD", "x"], ["DEBUG", "SLEEP", 0], ["SCRIPT", "KILL"], ["SAVE"], ["BGSAVE"], ["MULTI"], ["EXEC"], ["DISCARD"],
             ["WATCH", "a"], ["UNWATCH"], ["SET", "c", "v"], ["GET", "a"], ["CONFIG", "SET", "appendfsync", "no"], ["CONFIG", "GET", "dir"],
             ["SHUTDOWN", "ABORT"], ["FAHA.STATUS"], ["FAHA.FAILOVER"], ["REPLICAOF", "NO", "ONE"], ["WAIT", 0, 0], ["PUBLISH", "c", "m"]]  # fmt: skip
    for call in calls:
        other.send(*call)
    for call in calls:
        other.read()
    if end == "killed":
        cluster[0].kill()
    else:
        other.send("SHUTDOWN", "NOSAVE")
        assert cluster[0].process.wait(30) == 0
        cluster[0].kill()
    for backup in cluster[1:]:
        backup.kill()
        backup.start()
    cluster.promote(cluster[1])
    assert cluster[1].client().mget("a", "b") == ["old", "old"]
    # Nor does the node itself keep half of it.
    cluster[0].start()
    cluster.wait_in_sync(cluster[1])


def test_functions_are_told_only_when_they_are_committed(make_cluster):
    cluster = make_cluster()
    for backup in cluster[1:]:
        backup.signal(signal.SIGSTOP)
    try:
        writer = Connection(cluster[0].port)
        writer.send("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 1 end)")
        with pytest.raises(ConnectionError):
            writer.read()
        for call in (["FCALL", "f", 0], ["FCALL_RO", "f", 0], ["FUNCTION", "LIST"], ["FUNCTION", "DUMP"]):
            kind, text = Connection(cluster[0].port).call(*call)
            assert kind == "-" and "NOQUORUM" in text, f"{call}: {kind}{text}"
    finally:
        for backup in cluster[1:]:
            backup.signal(signal.SIGCONT)
    wait_for(lambda: cluster[0].info()["state"] == "serving", what="the primary to serve again")
    assert cluster[0].client().fcall("f", 0) == 1
