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


def test_a_full_disk_does_not_keep_a_server_from_its_end(make_server):
    """Redis cannot write its own file, which is empty."""
    server = make_server(args=["--dbfilename", "n" * 256]).start()  # too long a name: it cannot be written
    with server.client() as client:
        client.set("k", "v")
        client.config_set("save", "3600 1")
    server.signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    assert "can't exit" in server.log()
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


def test_a_primary_hands_over_before_it_ends(make_cluster):
    cluster = make_cluster()
    old = cluster[0]
    old.client().set("k", "v")
    old.signal(signal.SIGTERM)
    assert old.process.wait(30) == 0
    assert "handed over first" in old.log() and "no longer primary" in old.log()
    old.process = None
    heir = wait_for(cluster.primary, what="the heir")
    assert heir is not old and heir.client().get("k") == "v" and heir.client().set("k", "w")


def test_a_backup_that_hangs_does_not_hold_up_the_end(make_cluster):
    """Redis waits for its replicas, for as long as shutdown-timeout says, though they lack nothing."""
    cluster = make_cluster(args=["--shutdown-timeout", "3600", "--faha.persist-timeout", "300"])
    old, paused, heir = cluster.nodes
    wait_for(lambda: all(node.info()["redis_link"] == "up" for node in (paused, heir)), what="Redis' own links")
    paused.signal(signal.SIGSTOP)
    try:
        old.client().publish("channel", "so that the one that hangs lags")
        old.client().set("k", "v")
        old.signal(signal.SIGTERM)
        assert old.process.wait(30) == 0
        old.process = None
        wait_for(lambda: heir.info()["role"] == "primary", what="the heir")
    finally:
        paused.signal(signal.SIGCONT)
    wait_for(lambda: heir.info()["state"] == "serving", what="a majority")
    assert heir.client().get("k") == "v"
    # The same for the command, which hands over to nobody.
    wait_for(lambda: paused.info()["redis_link"] == "up", what="Redis' own link")
    paused.signal(signal.SIGSTOP)
    try:
        heir.client().publish("channel", "so that the one that hangs lags")
        Connection(heir.port).send("SHUTDOWN")
        assert heir.process.wait(30) == 0
        heir.process = None
    finally:
        paused.signal(signal.SIGCONT)


def test_a_shutdown_does_not_wait_for_replicas_that_come_again(make_cluster):
    """What they are sent natively is not acknowledged yet, and those that Redis waits for are back at once."""
    cluster = make_cluster(args=["--shutdown-timeout", "3600"])
    primary, *backups = cluster.nodes
    wait_for(lambda: all(node.info()["redis_link"] == "up" for node in backups), what="Redis' own links")
    client = Connection(primary.port)
    client.send_raw(encode("PUBLISH", "channel", "message") + encode("SHUTDOWN"))
    assert primary.process.wait(30) == 0
    primary.process = None
    log = primary.log()
    waited = log.partition("Waiting for replicas before shutting down")[2]
    assert waited and "asks for synchronization" not in waited, waited


def test_a_primary_that_nobody_can_follow_ends_all_the_same(make_cluster):
    cluster = make_cluster(args=["--faha.persist-timeout", "300"])
    for node in cluster.nodes[1:]:
        node.signal(signal.SIGSTOP)
    try:
        cluster[0].signal(signal.SIGTERM)
        assert cluster[0].process.wait(30) == 0
        cluster[0].process = None
    finally:
        for node in cluster.nodes[1:]:
            node.signal(signal.SIGCONT)
