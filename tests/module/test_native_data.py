"""What FaHA did not write is never removed, overwritten or hidden: it refuses, says where the data are, and what to do."""

import pytest
import redis

from cluster import MODULE, SANITIZED, wait_for
from test_bad_input import refuses_to_start

OFF, ON = ["--appendonly", "no"], ["--appendonly", "yes"]
LIBRARY = "#!lua name=lib\nredis.register_function('answer', function() return 42 end)"
BEFORE_7 = b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$11\r\nfrom before\r\n"


def stock(make_server, args):
    return make_server(faha=False, args=args).start()


def saved(make_server, db):
    """A dump with a key in `db`."""
    server = stock(make_server, OFF)
    server.client(db=db).set("k", "from before")
    server.client().save()
    return server


def dump(make_server):
    return saved(make_server, 0), "dump.rdb holds keys in database 0"


def dump_of_another_database(make_server):
    return saved(make_server, 3), "dump.rdb holds keys in database 3"


def dump_behind_long_strings(make_server):
    """Functions, which are no keys, come before them."""
    server = stock(make_server, OFF)
    server.client().function_load(LIBRARY + "\n--" + "x" * 100_000)
    server.client(db=3).set("k", "from before")
    server.client().save()
    return server, "dump.rdb holds keys in database 3"


def aof(make_server):
    server = stock(make_server, ON)
    server.client(db=3).set("k", "from before")
    return server, "appendonly.aof.1.incr.aof holds writes such as set"


def rewritten(make_server, args):
    server = stock(make_server, ON + args)
    client = server.client(db=3)
    client.set("k", "from before")
    client.bgrewriteaof()
    wait_for(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0 and list(server.folder.glob("*/*.2.base.*")), what="the rewrite")
    return server


def aof_that_begins_with_a_dump(make_server):
    return rewritten(make_server, []), "appendonly.aof.2.base.rdb holds keys in database 3"


def aof_that_begins_with_commands(make_server):
    return rewritten(make_server, ["--aof-use-rdb-preamble", "no"]), "appendonly.aof.2.base.aof holds writes such as set"


def aof_without_its_manifest(make_server):
    server, what = aof(make_server)
    server.kill()
    (server.folder / "appendonlydir/appendonly.aof.manifest").rename(server.folder / "manifest")
    return server, what


def aof_of_one_file(make_server):
    server = make_server(faha=False)
    (server.folder / "appendonly.aof").write_bytes(BEFORE_7)
    return server, "appendonly.aof holds writes such as set"


def damaged_dump(make_server):
    server = saved(make_server, 3)
    server.kill()
    path = server.folder / "dump.rdb"
    path.write_bytes(path.read_bytes()[:60])
    return server, "dump.rdb is damaged and may hold keys"


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "redis.log"}


SOURCES = [
    dump,
    dump_of_another_database,
    dump_behind_long_strings,
    aof,
    aof_that_begins_with_a_dump,
    aof_that_begins_with_commands,
    aof_without_its_manifest,
    aof_of_one_file,
    damaged_dump,
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("args", [OFF, ON], ids=["aof off", "aof on"])
def test_files_with_data(make_server, source, args):
    """Whichever of them Redis would read; and they are as they were."""
    server, what = source(make_server)
    server.kill()
    server.log_path.unlink(missing_ok=True)
    before = contents(server.folder)
    server.faha, server.args = True, args
    line = refuses_to_start(server, "NATIVEDATA")
    assert str(server.folder) in line and what in line and "move the file" in line
    assert contents(server.folder) == before


def test_the_way_out(make_server):
    """The file is moved away, the keys come over by DUMP and RESTORE."""
    server = saved(make_server, 3)
    payload = redis.Redis("127.0.0.1", server.port, db=3).dump("k")
    server.kill()
    (server.folder / "dump.rdb").rename(server.folder / "dump.rdb.before")
    server.faha = True
    server.start()
    assert server.client(db=3).restore("k", 0, payload)
    assert server.client(db=3).get("k") == "from before"


@pytest.mark.parametrize("args", [OFF, ON], ids=["aof off", "aof on"])
def test_files_without_keys_do_no_harm(make_server, args):
    """What Redis writes beside FaHA: dumps and AOFs with functions, and what a crash left of a command."""
    server = stock(make_server, args)
    server.client().function_load(LIBRARY)
    server.client().save()
    server.kill()
    if args == ON:
        with open(server.folder / "appendonlydir/appendonly.aof.1.incr.aof", "ab") as file:
            assert file.tell() > 0, "the function is not there"
            file.write(b"*3\r\n$8\r\nFUNC")
    server.faha, server.args = True, args
    client = server.start().client()
    assert client.fcall("answer", 0) == 42
    wait_for(lambda: server.info()["barrier"] == 1, what="the barrier")
    client.set("k", "v")
    client.save()
    client.shutdown(save=True)
    server.process.wait(timeout=30)
    assert server.start().client().get("k") == "v"


@pytest.mark.parametrize("how", ["incr", "base"])
def test_functions_in_an_aof_that_redis_would_not_load_are_not_overwritten(make_server, how):
    """FaHA turns the AOF on, upon which Redis writes it anew: functions are taken over only if Redis loads them."""
    server = stock(make_server, ON)
    server.client().function_load(LIBRARY)
    if how == "base":
        server.client().bgrewriteaof()
        wait_for(lambda: list(server.folder.glob("*/*.2.base.*")), what="the rewrite")
    server.kill()
    before = {path: path.read_bytes() for path in server.folder.rglob("*") if path.suffix in (".aof", ".rdb")}
    server.faha, server.args = True, OFF
    assert "function" in refuses_to_start(server, "NATIVEDATA")
    assert {path: path.read_bytes() for path in before} == before
    server.args = ON
    server.start()
    wait_for(lambda: "are in the log now" in server.log(), what="the functions to be taken over")
    assert server.client().fcall("answer", 0) == 42


@pytest.mark.skipif(SANITIZED, reason="a stock server cannot load the module")
def test_loading_the_module_into_a_server_with_data(make_server):
    server = stock(make_server, [*OFF, "--enable-module-command", "yes"])
    client = server.client(db=7)
    client.set("k", "from before")
    load = ["MODULE", "LOADEX", MODULE, "CONFIG", "faha.pool-bytes", "64mb", "CONFIG", "faha.segment-bytes", "4mb"]
    with pytest.raises(redis.exceptions.ResponseError):
        client.execute_command(*load)
    assert "faha: NATIVEDATA Redis' own database 7 holds 1 keys" in server.log()
    assert client.get("k") == "from before"
    assert not server.pool_path.exists()
    client.flushall()
    client.execute_command(*load)
    wait_for(lambda: client.set("k", "v"))
    assert server.info()["keys"] == 1


# --- Replication.


def with_data(make_server, port=None):
    """A stock server that would end a replica: it has more databases than that, and keys in the first and the last."""
    stranger = make_server(faha=False, args=["--databases", "32"])
    stranger.port = port or stranger.port
    stranger.start().client().set("theirs", "v")
    return stranger


def survives(server):
    """It lives, has its key, and starts again, with no files in its way."""
    assert server.process.poll() is None, server.log()
    assert server.client().get("mine") == "v" and server.client().set("mine", "v")
    assert server.client().fcall("answer", 0) == 42
    server.kill()
    server.args = OFF
    assert server.start().client().get("mine") == "v"
    assert server.client().dbsize() == 1


@pytest.mark.parametrize("db", [0, 20])
def test_replicaof_a_server_with_data(make_server, db):
    """FaHA asks first: Redis never replicates from there, and the order can be taken back."""
    stranger, server = with_data(make_server), make_server().start()
    stranger.client(db=db).set("theirs", "v")
    client = server.client()
    client.execute_command("REPLICAOF", "127.0.0.1", stranger.port)
    wait_for(lambda: f"127.0.0.1:{stranger.port + 10000}" in server.info()["last_error"], what="the reason")
    assert stranger.client().info("stats")["sync_full"] == 0
    client.execute_command("REPLICAOF", "NO", "ONE")
    wait_for(lambda: server.info()["state"] == "serving", what="the node to serve")
    client.set("mine", "v")
    client.function_load(LIBRARY)
    survives(server)


def test_a_configured_replicaof_of_a_server_with_data(make_server):
    """Redis replicates before FaHA is asked: it is ended, with a line, and leaves nothing behind."""
    stranger, server = with_data(make_server), make_server().start()
    server.client().set("mine", "v")
    server.client().function_load(LIBRARY)
    server.kill()
    server.args = ["--replicaof", "127.0.0.1", str(stranger.port)]
    server.start()
    wait_for(lambda: "faha: NATIVEDATA 127.0.0.1" in server.log() or server.process.poll() is not None, what="the line")
    wait_for(lambda: server.info()["state"] == "serving", what="the node to serve")
    assert f"127.0.0.1:{stranger.port} is no FaHA node: its database 0 holds 1 keys" in server.log()
    assert server.redis_role() == "master"
    assert server.client().get("theirs") is None
    server.client().function_load(LIBRARY, replace=True)
    survives(server)
    assert stranger.client().get("theirs") == "v"


def test_a_stranger_in_the_place_of_the_primary(make_cluster, make_server):
    """A member's server comes back without FaHA, and with data: its backups throw away what they receive."""
    cluster = make_cluster()
    cluster[0].client().set("mine", "v")
    cluster[0].kill()
    stranger = with_data(make_server, cluster[0].port)
    for node in cluster.nodes[1:]:
        wait_for(lambda node=node: "is no FaHA node" in node.log() or node.process.poll() is not None, 60, "the line")
        assert node.process.poll() is None, node.log()
    cluster.promote(cluster[1])
    assert cluster[1].client().get("mine") == "v"
    stranger.kill()
    cluster[0].start()
    cluster.wait_in_sync(cluster[1])
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    primary = wait_for(cluster.primary, what="a primary")
    assert primary.client().get("mine") == "v"


# --- Fewer databases.


def test_fewer_databases_than_hold_keys(make_server):
    server = make_server().start()
    server.client(db=11).set("k", "v")
    server.client(db=0).set("k", "v")
    server.kill()
    server.args = ["--databases", "11"]
    line = refuses_to_start(server, "BADCONFIG")
    assert "databases is 11, but database 11 holds keys" in line and "set databases to 12 or more" in line
    server.args = ["--databases", "12"]
    server.start()
    assert server.client(db=11).get("k") == "v"
    # It is the number by which clients call it that counts.
    server.client().swapdb(11, 3)
    server.kill()
    server.args = ["--databases", "4"]
    server.start()
    assert server.client(db=3).get("k") == "v"
    server.client().swapdb(0, 1)
    server.client(db=3).flushdb()
    server.kill()
    server.args = ["--databases", "2"]
    server.start()
    assert server.client(db=1).get("k") == "v"


def test_a_backup_with_fewer_databases(make_server):
    """It is a copy like any other, but it says that it cannot lead, and does not."""
    primary, backup = make_server().start(), make_server(args=["--databases", "4"]).start()
    backup.client().execute_command("REPLICAOF", "127.0.0.1", primary.port)
    wait_for(lambda: primary.info()["in_sync_backups"] == 1 and primary.info()["members"] == 2, what="the backup")
    wait_for(lambda: backup.redis_role() == "slave" and backup.client().info("replication")["slave_priority"] == 100, what="one that can lead")
    primary.client(db=11).set("k", "v")
    wait_for(lambda: "faha: BADCONFIG databases is 4, but database 11 holds keys" in backup.log(), what="the line")
    assert backup.log().count("BADCONFIG") == 1
    assert backup.client().info("replication")["slave_priority"] == 0
    for order in (["FAHA.PROMOTE", "1000"], ["FAHA.PROMOTE", "FORCE"]):
        with pytest.raises(redis.exceptions.ResponseError):
            backup.client().execute_command(*order)
    primary.client(db=11).set("k", "w")
    primary.kill()
    for order in (["FAHA.PROMOTE", "20000"], ["FAHA.PROMOTE", "FORCE"]):
        with pytest.raises(redis.exceptions.ResponseError, match="BADCONFIG .*set databases to 12 or more"):
            backup.client().execute_command(*order)
    backup.kill()
    assert "set databases to 12" in refuses_again(backup)
    backup.args = []
    backup.start()
    backup.client().execute_command("FAHA.PROMOTE", "FORCE")
    assert backup.client(db=11).get("k") == "w"


def refuses_again(server):
    server.log_path.unlink()
    return refuses_to_start(server, "BADCONFIG")
