"""What clients, Sentinel and other servers see of replication is FaHA's: roles, links, offsets, copies, and who may replicate."""

import contextlib
import signal
import subprocess

import pytest
import redis
from cluster import HOST, wait_for
from resp import Connection, encode


def replication(node):
    with contextlib.closing(node.client()) as client:
        return client.info("replication")


def test_info_and_role_tell_of_faha_s_replication(make_cluster):
    cluster = make_cluster()
    primary, backup, other = cluster.nodes
    for i in range(100):
        primary.client().set(f"k{i}", i)
    told, lsn = replication(primary), primary.info()["last_lsn"]
    assert told["role"] == "master" and told["connected_slaves"] == 2 and told["master_repl_offset"] == lsn
    replicas = {each["port"]: each for key, each in told.items() if key in ("slave0", "slave1")}
    assert set(replicas) == {backup.port, other.port}
    for each in replicas.values():
        assert each["ip"] == HOST and each["state"] == "online" and each["offset"] == lsn and each["lag"] in (0, 1)
    role, offset, listed = primary.client().role()
    assert (role, offset) == ("master", lsn) and sorted(int(port) for _, port, _ in listed) == sorted(replicas)
    told = replication(backup)
    assert (told["role"], told["master_host"], told["master_port"]) == ("slave", HOST, primary.port)
    assert told["master_link_status"] == "up" and told["slave_repl_offset"] == lsn and told["slave_priority"] == 100
    assert told["slave_read_only"] == 1 and "slave0" not in told and told["master_last_io_seconds_ago"] in (0, 1)
    assert backup.client().role() == ["slave", HOST, primary.port, "connected", lsn]
    # One that is gone is not listed; and a backup whose primary is gone says since when.
    other.kill()
    wait_for(lambda: replication(primary)["connected_slaves"] == 1, what="the primary to notice")
    primary.kill()
    wait_for(lambda: replication(backup)["master_link_status"] == "down", what="the backup to notice")
    told = replication(backup)
    assert told["role"] == "slave" and told["master_port"] in (primary.port, other.port)
    wait_for(lambda: replication(backup)["master_link_down_since_seconds"] >= 1, what="the seconds to be counted")
    assert backup.client().role()[3] == "connect"


def test_wait_counts_persistent_copies(make_cluster):
    cluster = make_cluster(args=["--faha.persist-timeout", "300"])
    primary, paused, _ = cluster.nodes
    client = Connection(primary.port)
    assert client.call("SET", "k", "v") == ("+", "OK") and client.call("WAIT", 2, 0) == (":", 2)
    client.send_raw(encode("SET", "k", "w") + encode("WAIT", 2, 0) + encode("GET", "k"))
    assert [client.read() for _ in range(3)] == [("+", "OK"), (":", 2), ("$", "w")]
    paused.signal(signal.SIGSTOP)
    try:
        assert client.call("SET", "k", "x") == ("+", "OK")
        assert client.call("WAIT", 1, 0) == (":", 1)
        assert client.call("WAIT", 2, 50) == (":", 1)  # native: 2, for nothing was replicated that could be lacking
        assert client.call("WAIT", 0, 50) == (":", 1)
        waiting, leaving = Connection(primary.port), Connection(primary.port)
        identity = waiting.call("CLIENT", "ID")[1]
        for each in (waiting, leaving):
            each.send("WAIT", 2, 0)
        wait_for(lambda: primary.client().info("clients")["blocked_clients"] == 2, what="both to wait")
        leaving.socket.close()
        assert client.call("CLIENT", "UNBLOCK", identity) == (":", 1) and waiting.read() == (":", 1)
        wait_for(lambda: primary.client().info("clients")["blocked_clients"] == 0, what="nobody to wait")
        waiting.send("WAIT", 2, 0)
        wait_for(lambda: primary.client().info("clients")["blocked_clients"] == 1, what="it to wait")
        client.send_raw(encode("MULTI") + encode("WAIT", 2, 0) + encode("EXEC"))
        assert [client.read() for _ in range(3)] == [("+", "OK"), ("+", "QUEUED"), ("*", [(":", 1)])]
    finally:
        paused.signal(signal.SIGCONT)
    assert waiting.read() == (":", 2)
    for words in (["x", "0"], ["1", "x"], ["1", "-1"], ["1"], ["1", "0", "0"]):
        assert client.call("WAIT", *words)[0] == "-"
    assert Connection(paused.port).call("WAIT", 1, 0)[1].startswith("ERR WAIT cannot be used with replica")


def test_a_wait_ends_with_the_role(make_cluster):
    cluster = make_cluster(args=["--faha.persist-timeout", "300"])
    primary, heir, paused = cluster.nodes
    paused.signal(signal.SIGSTOP)
    try:
        waiting = Connection(primary.port)
        waiting.call("SET", "k", "v")
        waiting.send("WAIT", 2, 0)
        wait_for(lambda: primary.client().info("clients")["blocked_clients"] == 1, what="it to wait")
        Connection(primary.port).call("FAHA.FAILOVER", "TO", HOST, heir.port)
        with contextlib.suppress(ConnectionError):
            answer = waiting.read()  # Redis unblocks and disconnects whom it cannot serve as a replica
            assert answer in ((":", 1), (":", 0)) or answer[0] == "-" and answer[1].startswith("UNBLOCKED "), answer
    finally:
        paused.signal(signal.SIGCONT)


def test_messages_reach_the_clients_of_backups(make_cluster):
    """Redis' own replication carries them: a backup may replicate, although others may not."""
    cluster = make_cluster()
    wait_for(lambda: all(node.info()["redis_link"] == "up" for node in cluster.nodes[1:]), what="Redis' own links")
    for node in cluster.nodes[1:]:
        with contextlib.closing(node.client()) as client, contextlib.closing(client.pubsub()) as subscriber:
            subscriber.subscribe("news")
            assert subscriber.get_message(timeout=5)["type"] == "subscribe"
            assert cluster[0].client().publish("news", "now") >= 0
            assert subscriber.get_message(timeout=10)["data"] == "now"


@pytest.mark.parametrize("lacks", ["a password", "a right"])
def test_a_link_of_redis_that_may_not_connect_is_told_of_once(make_cluster, lacks):
    """FaHA's own replication needs no password; Redis' would try again at once, thousands of times a second."""
    cluster = make_cluster()
    for node in cluster.nodes:
        with contextlib.closing(node.client()) as client:
            client.acl_setuser("weak", enabled=True, nopass=True, commands=["+ping", "+replconf"])
            if lacks == "a password":
                client.config_set("requirepass", "pw")
            else:
                client.config_set("masteruser", "weak")
                client.config_set("masterauth", "any")
    heir = cluster[1]
    with contextlib.closing(cluster[0].client(password="pw" if lacks == "a password" else None)) as client:
        assert client.execute_command("FAHA.FAILOVER", "TO", HOST, heir.port) == "OK"
    told = "Redis' own replication, which carries what is published, does not connect"
    for node in (cluster[0], cluster[2]):
        wait_for(lambda node=node: told in node.log(), what="the line")
        lines = node.log().splitlines()
        assert len(lines) < 400 and sum(told in line for line in lines) == 1


@pytest.mark.parametrize("diskless", ["no", "yes"])
def test_a_stock_replica_is_refused_and_keeps_its_keys(make_cluster, make_server, diskless):
    cluster = make_cluster(args=["--repl-diskless-sync", diskless, "--repl-diskless-sync-delay", "0"])
    primary = cluster[0]
    stock = make_server(faha=False, args=["--repl-diskless-load", "swapdb"]).start()
    stock.client().set("theirs", "v")
    stock.client().execute_command("REPLICAOF", HOST, primary.port)
    wait_for(lambda: stock.log().count("UNSUPPORTED this server holds FaHA's keys") >= 4, what="the refusals")
    # Redis tries again once a second, not at once.
    assert len(stock.log().splitlines()) < 300
    # Also while backups of ours synchronise, so that it may ask.
    for _ in range(3):
        cluster[1].client().execute_command("CLIENT", "KILL", "TYPE", "MASTER")
        wait_for(lambda: cluster[1].info()["redis_link"] == "up", what="Redis' own link")
    assert stock.client().get("theirs") == "v" and stock.client().info("replication")["master_link_status"] == "down"
    told = replication(primary)
    assert told["connected_slaves"] == 2 and str(stock.port) not in str(told)
    with contextlib.closing(primary.client()) as client:
        assert client.execute_command("CLIENT", "LIST", "TYPE", "REPLICA").count("\n") <= 2


def test_a_stranger_s_synchronisation_beside_a_backup_s_is_cut_off(make_cluster):
    """One that slips in while a backup is expected is gone before it was sent anything that replaces its data."""
    cluster = make_cluster()
    primary, port = cluster[0], cluster[1].port
    backup, stranger = Connection(primary.port), Connection(primary.port)
    assert backup.call("REPLCONF", "listening-port", port) == ("+", "OK")
    kind, line = stranger.call("REPLCONF", "listening-port", 1)
    assert kind == "-" and line.startswith("UNSUPPORTED ") and "load FaHA there first" in line
    stranger.send("PSYNC", "?", "-1")
    received = b""
    with contextlib.suppress(ConnectionError):
        while True:
            received = stranger.peek()
    assert not received.partition(b"\r\n")[2], received  # a word of its synchronisation, and nothing of a data set
    assert backup.call("PING") == ("+", "PONG")


def test_a_dump_by_replication_is_refused(make_server, folder):
    server = make_server().start()
    server.client().set("k", "v")
    done = subprocess.run(["redis-cli", "-p", str(server.port), "--rdb", str(folder / "dump")], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "UNSUPPORTED" in done.stdout + done.stderr
    assert not (folder / "dump").exists() or not (folder / "dump").read_bytes()
    for command, start in ((["SYNC"], "UNSUPPORTED "), (["PSYNC", "?", "-1"], "NOMASTERLINK UNSUPPORTED ")):
        kind, line = Connection(server.port).call(*command)
        assert kind == "-" and line.startswith(start) and "redis-cli --rdb" in line


# --- Orders.


def test_an_order_that_redis_takes_for_a_no_op_is_carried_out(make_cluster):
    """All were killed and two are back: Redis believes that each is a primary, and was never told anything else."""
    cluster = make_cluster(args=["--faha.lease", "20000"])
    for node in cluster.nodes:
        node.kill()
    first, second = cluster.nodes[1:]
    first.start(), second.start()
    assert first.redis_role() == "master" and first.role() == "slave"
    assert first.client().execute_command("REPLICAOF", "NO", "ONE")
    wait_for(lambda: first.info()["state"] == "serving", 60, "the one that was told to lead")
    wait_for(lambda: second.role() == "slave" and replication(second)["master_port"] == first.port, what="the other to follow")
    assert first.role() == "master"


def test_a_role_is_shown_once_it_is_won(make_cluster):
    cluster = make_cluster()
    cluster[0].kill()
    cluster[1].kill()
    node = cluster[2]
    assert node.client().execute_command("REPLICAOF", "NO", "ONE")
    wait_for(lambda: node.info()["state"] == "electing", what="the campaign")
    assert node.role() == "slave" and node.redis_role() == "slave" and node.client().role()[0] == "slave"
    cluster[1].start()
    wait_for(lambda: node.info()["state"] == "serving" or cluster[1].info()["state"] == "serving", what="a primary")
    wait_for(lambda: node.role() == "master" and node.redis_role() == "master", what="the one with the order")


def test_replicaof_on_a_primary_hands_over(make_cluster):
    cluster = make_cluster()
    old, heir, _ = cluster.nodes
    old.client().set("k", "v")
    assert old.client().execute_command("REPLICAOF", HOST, heir.port)
    wait_for(lambda: heir.info()["state"] == "serving", what="the member that was named")
    cluster.wait_in_sync(heir)
    assert heir.client().get("k") == "v" and "did not take over" not in old.log()


def test_replicaof_of_another_member_changes_nothing_while_the_primary_lives(make_cluster):
    cluster = make_cluster()
    assert cluster[1].client().execute_command("REPLICAOF", HOST, cluster[2].port)
    cluster[0].client().set("k", "v")
    assert cluster[0].client().wait(2, 10000) == 2
    assert replication(cluster[1])["master_port"] == cluster[0].port
    with pytest.raises(redis.exceptions.ReadOnlyError):
        cluster[1].client().set("k", "w")


# --- Reads at backups.


def test_backups_serve_reads_where_they_may(make_cluster):
    cluster = make_cluster(args=["--faha.backup-reads", "yes"])
    primary, backup, _ = cluster.nodes
    client = primary.client()
    client.mset({f"k{i}": i for i in range(100)})
    client.set("gone", "v", px=50)
    client.set("last", "v")
    reader = Connection(backup.port)
    wait_for(lambda: reader.call("GET", "last") == ("$", "v"), what="the last write to be seen")
    assert reader.call("DBSIZE")[1] in (101, 102) and reader.call("MGET", "k1", "none") == ("*", [("$", "1"), ("$", None)])
    assert len(reader.call("KEYS", "k*")[1]) == 100 and reader.call("EVAL_RO", "return redis.call('GET', KEYS[1])", 1, "k7") == ("$", "7")
    reader.send_raw(encode("MULTI") + encode("GET", "k1") + encode("STRLEN", "k10") + encode("EXEC"))
    assert [reader.read() for _ in range(4)][3] == ("*", [("$", "1"), (":", 2)])
    for write in (["SET", "k", "v"], ["DEL", "k1"], ["GETDEL", "k1"], ["EXPIRE", "k1", "9"], ["EVAL", "return redis.call('SET', 'k', 'v')", 0]):
        assert "READONLY" in reader.call(*write)[1], write
    wait_for(lambda: reader.call("GET", "gone") == ("$", None), what="the time to come")
    assert int(backup.info()["read_staleness_ms"]) <= 1000 and primary.info()["read_staleness_ms"] == ""
    primary.signal(signal.SIGSTOP)
    try:
        wait_for(lambda: reader.call("GET", "k1")[1].startswith("READONLY NOTPRIMARY"), what="the lease to end")
        assert backup.info()["read_staleness_ms"] == ""
    finally:
        primary.signal(signal.SIGCONT)
    wait_for(lambda: reader.call("GET", "k1") == ("$", "1"), what="the primary to be heard")
    # By a backup that has all of a log again only.
    backup.kill()
    backup.start()
    wait_for(lambda: Connection(backup.port).call("GET", "k1") == ("$", "1"), what="the restarted backup")


# --- Names.


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "127.0.0.7"])
def test_a_member_may_be_called_by_another_name(make_cluster, name):
    """Sentinel may know it by one that it does not announce, and is shown that one: otherwise it would order it again for ever."""
    cluster = make_cluster()
    first, second, third = cluster.nodes
    with contextlib.closing(second.client()) as client:
        assert client.execute_command("REPLICAOF", name, first.port) == "OK"
    told = replication(second)
    assert (told["master_host"], told["master_port"]) == (name, first.port) and told["master_link_status"] == "up"
    # A primary hands over to a member by whatever name.
    with contextlib.closing(first.client()) as client:
        assert client.execute_command("REPLICAOF", name, third.port) == "OK"
    cluster.wait_in_sync(third)
    with contextlib.closing(third.client()) as client:
        assert client.execute_command("FAHA.FAILOVER", "TO", name, first.port) == "OK"
    cluster.wait_in_sync(first)
    # The third one, which served a moment ago, is still disconnecting its clients.
    assert replication(second)["master_host"] == name


def test_a_node_joins_by_a_host_name(make_server):
    primary, backup = make_server().start(), make_server().start()
    primary.client().set("k", "v")
    assert backup.client().execute_command("REPLICAOF", "localhost", primary.port) == "OK"
    wait_for(lambda: primary.info()["in_sync_backups"] == 1, what="the backup")
    wait_for(lambda: backup.info()["redis_link"] == "up", what="Redis' own link")
    assert replication(backup)["master_host"] == "localhost"


def test_what_redis_announces_faha_announces(make_cluster, folder):
    cluster = make_cluster(args=["--faha.bind", "0.0.0.0", "--faha.secret", "s" * 20, "--replica-announce-ip", "127.0.0.3"])
    told = replication(cluster[0])
    assert {told["slave0"]["ip"], told["slave1"]["ip"]} == {"127.0.0.3"}
    assert replication(cluster[1])["master_host"] == HOST  # as it was called
    wait_for(lambda: all(node.info()["redis_link"] == "up" for node in cluster.nodes[1:]), what="Redis' own links")
