"""Other modules beside FaHA: what they call is served, what they replicate is not done twice, what they hide is told."""

import pathlib
import subprocess

import pytest
import redis

from cluster import ROOT, wait_for


@pytest.fixture
def server(folder, make_server):
    library = folder / "other.so"
    source = pathlib.Path(__file__).with_name("other_module.c")
    header = ROOT / "build" / "redis"
    subprocess.run(["gcc", "-O1", "-w", "-shared", "-fPIC", f"-I{header}", "-o", str(library), str(source)], check=True)
    return make_server(args=["--loadmodule", str(library), "--enable-module-command", "local"]).start()


def test_what_another_module_replicates_is_not_carried_out_again(server):
    for expected in (1, 2, 3):
        assert server.client().execute_command("OTHER.INCR", "n") == expected
        server.kill()
        server.start()
        assert server.client().get("n") == str(expected)
    assert "NATIVEDATA the server's AOF holds a command of another module, which calls incr" in server.log()


@pytest.mark.parametrize("command", ["PFADD h a b", "RESTORE", "SORT none STORE target"])
def test_what_another_module_calls_upon_an_event_is_served(server, command):
    client = server.client()
    client.set("source", "v")
    client.set("target", "v")
    dump = client.dump("source")
    client.execute_command("OTHER.LISTEN")
    if command == "RESTORE":
        client.restore("copy", 0, dump)
    else:
        client.execute_command(*command.split())
    assert client.get("heard") is not None
    assert server.native_keys() == 0, "in the native keyspace"


def test_keys_that_another_module_creates_are_told_of(server):
    client = server.client()
    client.select(3)
    assert client.execute_command("OTHER.OPEN", "hidden", "v") == "OK"
    told = "NATIVEDATA another module (loaded besides: other) has written past FaHA into Redis' own keyspace, which holds 1 keys"
    wait_for(lambda: told in server.log(), what="the log to tell")
    assert client.dbsize() == 0 and client.get("hidden") is None


def test_a_module_that_is_unloaded_leaves_no_rules(folder, server):
    """Its commands are unknown then, and whether they declare keys is judged anew when they come back."""
    client = server.client()
    for arguments, refusal in [((), None), (("keyed",), "UNSUPPORTED 'other.open'"), ((), None)]:
        client.execute_command("MODULE", "UNLOAD", "other")
        with pytest.raises(redis.exceptions.ResponseError, match="unknown command 'OTHER.OPEN'"):
            client.execute_command("OTHER.OPEN", "hidden", "v")
        assert client.execute_command("MODULE", "LOAD", str(folder / "other.so"), *arguments) == "OK"
        if refusal:
            with pytest.raises(redis.exceptions.ResponseError, match=refusal):
                client.execute_command("OTHER.OPEN", "hidden", "v")
        else:
            assert client.execute_command("OTHER.OPEN", "hidden", "v") == "OK"
