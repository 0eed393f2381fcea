"""Orders that take time, FAHA.PROMOTE and FAHA.FAILOVER, and Redis' role, which FaHA keeps like its own."""

import contextlib
import signal
import threading

import pytest
import redis
from cluster import HOST, free_port, wait_for
from resp import Connection, encode


def wait_blocked(node, count=1):
    def blocked():
        with contextlib.closing(node.client()) as client:
            return client.info("clients")["blocked_clients"] == count

    wait_for(blocked, what="the order to be waited for")


@pytest.fixture
def alone(make_cluster):
    """A backup whose peers are gone: no majority will promise it anything."""
    cluster = make_cluster()
    cluster[0].kill()
    cluster[1].kill()
    return cluster, cluster[2]


ROLE_CHANGES = {
    "replicaof": lambda port: encode("REPLICAOF", HOST, port),
    # As Sentinel does.
    "transaction": lambda port: encode("MULTI") + encode("SLAVEOF", HOST, port) + encode("EXEC"),
}


@pytest.mark.parametrize("change", ROLE_CHANGES)
def test_a_promotion_that_a_change_of_roles_interrupts(alone, change):
    """Redis tells clients that are blocked when it becomes a replica -UNBLOCKED, and hangs up."""
    cluster, node = alone
    waiting = Connection(node.port)
    waiting.send("FAHA.PROMOTE", 60_000)
    wait_blocked(node)
    Connection(node.port).send_raw(ROLE_CHANGES[change](cluster[1].port))
    kind, line = waiting.read()
    assert kind == "-" and line.startswith("NOPROMISE ") and "FAHA.STATUS" in line
    assert waiting.call("PING") == ("+", "PONG")
    wait_for(lambda: node.client().info("replication")["master_port"] == cluster[1].port, what="the change of roles")


def test_a_promotion_whose_client_is_unblocked_or_goes_away(alone):
    cluster, node = alone
    waiting, leaving = Connection(node.port), Connection(node.port)
    identity = waiting.call("CLIENT", "ID")[1]
    waiting.send("FAHA.PROMOTE", 60_000)
    wait_blocked(node)
    assert Connection(node.port).call("CLIENT", "UNBLOCK", identity) == (":", 1)
    kind, line = waiting.read()
    assert kind == "-" and line.startswith("NOPROMISE ")
    # The same client again: the first order ends now, for the second has taken its place, and is answered no more.
    waiting.send("FAHA.PROMOTE", 60_000)
    wait_blocked(node)
    leaving.send("FAHA.PROMOTE", 60_000)
    kind, line = waiting.read()
    assert kind == "-" and "another attempt has taken its place" in line
    leaving.close()
    wait_blocked(node, 0)
    # Its order is carried out all the same, and then nobody is there to be told.
    cluster[0].start()
    wait_for(lambda: node.info()["state"] == "serving" or cluster[0].info()["state"] == "serving", what="a primary")
    assert waiting.call("PING") == ("+", "PONG")


def test_a_promotion_takes_the_place_of_redis_order(alone):
    """Redis' order to lead is kept for a while, but not against a later order."""
    _, node = alone
    client = Connection(node.port)
    assert client.call("REPLICAOF", "NO", "ONE") == ("+", "OK")
    kind, line = client.call("FAHA.PROMOTE", 1000)
    assert kind == "-" and line.startswith("NOPROMISE ") and "another attempt" not in line


def test_a_promotion_takes_the_place_of_an_order_to_follow(make_cluster):
    """FaHA is found where this node was told to look, while the promotion is under way: nobody is followed for that."""
    cluster = make_cluster(args=["--faha.lease", "2000"])
    for node in cluster:
        node.kill()
    cluster[2].port = free_port()
    for node in cluster[1:]:
        node.start()
    client = Connection(cluster[1].port)
    client.send_raw(encode("REPLICAOF", HOST, cluster[2].port) + encode("FAHA.PROMOTE", 20_000))
    assert [client.read(), client.read()] == [("+", "OK"), ("+", "OK")], cluster[1].log()
    wait_for(lambda: cluster[1].info()["state"] == "serving", what="a majority")


def test_orders_that_wait_are_refused_in_a_transaction(make_cluster):
    cluster = make_cluster()
    for order in ("FAHA.PROMOTE", "FAHA.FAILOVER"):
        client = Connection(cluster[0].port)
        client.call("MULTI")
        kind, line = client.call(order)
        assert kind == "-" and "wait for peers: they cannot be in a transaction" in line
        assert client.call("EXEC")[1].startswith("EXECABORT ")
        kind, line = client.call("EVAL", f"return redis.pcall('{order}')", 0)
        assert kind == "-" and "script" in line
    assert cluster[0].info()["state"] == "serving"


def test_who_hears_of_a_hand_over_finds_the_role_changed(make_cluster):
    cluster = make_cluster()
    client = Connection(cluster[0].port)
    client.send_raw(encode("FAHA.FAILOVER", "TO", HOST, cluster[1].port) + encode("ROLE"))
    assert client.read() == ("+", "OK")
    assert client.read()[1][0] == ("$", "slave")


def test_who_orders_a_hand_over_is_answered_whoever_else_is_dropped(make_cluster):
    """The clients of the turn in which the role goes are dropped; the one that ordered it hears of it."""
    cluster = make_cluster()
    stop = threading.Event()

    def use(node, index):
        while not stop.is_set():
            with contextlib.suppress(redis.exceptions.RedisError):
                node.client().set(f"k{index}", "v")

    users = [threading.Thread(target=use, args=(node, index)) for index, node in enumerate(cluster.nodes * 3)]
    for user in users:
        user.start()
    try:
        for turn in range(15):
            primary, heir = (cluster[(turn + step) % 3] for step in range(2))
            cluster.wait_in_sync(primary)
            assert Connection(primary.port).call("FAHA.FAILOVER", "TO", HOST, heir.port) == ("+", "OK")
    finally:
        stop.set()
        for user in users:
            user.join()


def test_redis_own_failover_is_refused(make_cluster):
    """It waits for offsets that say nothing of the data, and pauses every client meanwhile."""
    cluster = make_cluster()
    kind, line = Connection(cluster[0].port).call("FAILOVER", "TO", HOST, cluster[1].port)
    assert kind == "-" and line.startswith("UNSUPPORTED ") and "FAHA.FAILOVER" in line
    assert cluster[0].info()["state"] == "serving"


def test_an_order_to_lead_outlasts_the_election_of_another(make_cluster):
    """The old primary is back within its lease and is elected again.  Who was told to lead meanwhile, and of whom Sentinel
    tells clients, takes over from it."""
    cluster = make_cluster(args=["--faha.lease", "2000"])
    old, heir, _ = cluster.nodes
    old.kill()
    heir.client().execute_command("REPLICAOF", "NO", "ONE")
    # Both would ask for the next epoch as the lease ends; the heir is held up, so the old one is elected.
    heir.signal(signal.SIGSTOP)
    old.start()
    wait_for(lambda: old.info()["state"] == "serving", what="the old one to be elected")
    heir.signal(signal.SIGCONT)
    wait_for(lambda: heir.info()["state"] == "serving", what="the heir to serve")
    cluster.wait_in_sync(heir)


@pytest.mark.parametrize("order", [["FAHA.FAILOVER"], ["FAHA.FORGET", "127.0.0.1", "{port}"]], ids=["failover", "forget"])
def test_an_order_does_not_hide_a_failed_commit_from_its_turn(make_cluster, order):
    """Both backups hang, and one packet has a write, a read and the order: the commit that the order waits for fails, and nothing of the
    turn may be told."""
    cluster = make_cluster()
    client = cluster[0].client()
    client.set("k", "v")
    for backup in cluster[1:]:
        backup.signal(signal.SIGSTOP)
    try:
        connection = Connection(cluster[0].port)
        call = [word.format(port=cluster[1].port) for word in order]
        connection.send_raw(encode("SET", "k", "later") + encode("GET", "k") + encode(*call))
        with pytest.raises(ConnectionError):
            connection.read()
    finally:
        for backup in cluster[1:]:
            backup.signal(signal.SIGCONT)
