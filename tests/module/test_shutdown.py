"""A server that is told to end does end: also while Redis writes its first AOF, when it refuses and forgets the order."""

import signal

import pytest
from cluster import wait_for
from resp import Connection, encode

REFUSED = "Writing initial AOF, can't exit"


def barrier_was_turned_off(server):
    """The module turns the AOF on again once, and then leaves it as the operator wants it."""
    with server.client() as client:
        client.config_set("appendonly", "no")
        wait_for(lambda: server.info()["barrier"] == 1, what="the barrier")
        client.config_set("appendonly", "no")


def stop(server):
    server.signal(signal.SIGSTOP)
    status = f"/proc/{server.process.pid}/stat"
    wait_for(lambda: open(status).read().rsplit(")", 1)[1].split()[0] in "Tt", what="the process to stop")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_a_signal_that_redis_refuses(make_server, number):
    server = make_server().start()
    barrier_was_turned_off(server)
    client = Connection(server.port)
    client.call("SET", "k", "v")
    stop(server)
    # When it goes on, the signal is noted first, then the AOF begins, and then Redis' cron judges the signal.
    client.send_raw(encode("CONFIG", "SET", "appendonly", "yes"))
    server.signal(number)
    server.signal(signal.SIGCONT)
    wait_for(lambda: REFUSED in server.log(), what="Redis to refuse")
    assert server.process.wait(30) == 0
    server.process = None
    server.start()
    assert server.client().get("k") == "v"


def test_a_shutdown_that_redis_refuses_is_its_clients_to_repeat(make_server):
    """The command has an answer, so nobody repeats it; nor is a signal remembered that was called off."""
    server = make_server().start()
    barrier_was_turned_off(server)
    client = Connection(server.port)
    client.send_raw(encode("CONFIG", "SET", "appendonly", "yes") + encode("SHUTDOWN"))
    assert client.read() == ("+", "OK")
    assert client.read() == ("-", "ERR Errors trying to SHUTDOWN. Check logs.")
    wait_for(lambda: server.info()["barrier"] == 1, what="the AOF to be written")
    assert "it is asked again" not in server.log()
    assert Connection(server.port).call("PING") == ("+", "PONG")
