"""What depends on the server that loads the module: run with redis-server, and with FAHA_SERVER naming another."""

import pytest
import redis

from cluster import server_version, wait_for


def test_acl_categories_are_those_of_the_built_in_commands(make_server):
    server = make_server().start()
    admin = server.client()
    admin.set("k", "v")
    admin.execute_command(*"ACL SETUSER reader on nopass -@all +@read +@connection ~*".split())
    admin.execute_command(*"ACL SETUSER named on nopass -@all +faha.get +@connection ~*".split())
    named = server.client(username="named", password="any")
    assert named.get("k") == "v"
    with pytest.raises(redis.exceptions.NoPermissionError):
        named.set("k", "w")

    reader = server.client(username="reader", password="any")
    assert reader.get("k") == "v" and reader.mget("k", "none") == ["v", None]
    for refused in ("SET k w", "DEL k", "INCR n", "FLUSHALL", "GETEX k"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            reader.execute_command(*refused.split())
    if server_version(admin) < (7, 2):  # a module's command can have no category there, but the rights follow all the same
        return
    built_in = {name: set(entry) for name, entry in categories(admin, ["get", "set", "mset", "bitcount", "pfadd", "object|freq"]).items()}
    ours = categories(admin, ["faha.get", "faha.set", "faha.mset", "faha.bitcount", "faha.pfadd", "faha.object.freq"])
    for (name, expected), given in zip(built_in.items(), ours.values()):
        assert expected <= set(given), f"{name}: {expected - set(given)} is missing"


def categories(client, names):
    connection = client.connection_pool.get_connection("COMMAND")
    connection.send_command("COMMAND", "INFO", *names)
    entries = connection.read_response()
    client.connection_pool.release(connection)
    return {name: entry[6] for name, entry in zip(names, entries)}


def test_a_write_behind_a_blocked_command(make_cluster):
    """The pipeline of a client that waited is run at another point of the loop from 7.2 on."""
    cluster = make_cluster()
    client = cluster[0].client()
    with client.pipeline(transaction=False) as pipeline:
        pipeline.execute_command("CLIENT", "PAUSE", "50", "WRITE")
        for i in range(100):
            pipeline.set(f"k{i}", i)
        assert pipeline.execute()[1:] == [True] * 100
    for backup in cluster.nodes[1:]:
        wait_for(lambda: backup.info()["keys"] == 100, what="the backups to have all")


def test_everyday_commands(make_server):
    server = make_server().start()
    client = server.client()
    assert client.set("a", "1", ex=100) and client.incr("a") == 2 and client.ttl("a") > 90
    assert client.mset({"b": "x", "c": "y"}) and client.mget("a", "b", "none") == ["2", "x", None]
    with client.pipeline(transaction=True) as pipeline:
        pipeline.append("b", "z").strlen("b").getrange("b", 0, 0)
        assert pipeline.execute() == [2, 2, "x"]
    assert client.eval("return redis.call('get', KEYS[1])", 1, "b") == "xz"
    assert sorted(client.scan_iter()) == ["a", "b", "c"] and client.dbsize() == 3
    assert client.pfadd("h", "1", "2") == 1 and client.pfcount("h") == 2
    assert client.rename("b", "d") and client.copy("d", "e") and client.delete("c", "d") == 2
    with pytest.raises(redis.ResponseError, match="^UNSUPPORTED"):
        client.xadd("x", {"f": "v"})
    with client.pipeline(transaction=True) as pipeline, pytest.raises(redis.ResponseError, match="unknown command"):
        pipeline.set("half", "1").xadd("x", {"f": "v"}).execute()
    assert client.exists("half") == 0
    if client.info("server")["redis_version"] >= "7.2":
        assert client.execute_command("WAITAOF", 1, 0, 0) == [1, 0]
    else:
        with pytest.raises(redis.ResponseError, match="unknown command"):
            client.execute_command("WAITAOF", 1, 0, 0)
    server.kill()
    server.start()
    assert server.client().mget("a", "e") == ["2", "xz"] and server.client().pfcount("h") == 2
