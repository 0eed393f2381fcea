"""Members that are gone: forgotten, left behind by force, without their pools, slow, or one too few."""

import contextlib
import signal
import socket
import threading

import pytest
import redis
from cluster import HOST, free_port, wait_for


def write(node, key="k", value="v"):
    with contextlib.closing(node.client(retry_on_error=[])) as client:
        return client.set(key, value)


def read(node, key="k"):
    with contextlib.closing(node.client(retry_on_error=[])) as client:
        return client.get(key)


def forget(primary, member):
    with contextlib.closing(primary.client()) as client:
        return client.execute_command("FAHA.FORGET", member.place.host, member.port)


def force(node):
    with contextlib.closing(node.client()) as client:
        assert client.execute_command("FAHA.PROMOTE", "FORCE") == "OK"


def forget_the_dead(primary, member):
    """Once the primary has noticed that it is dead."""

    def attempt():
        with contextlib.suppress(redis.exceptions.ResponseError):
            return forget(primary, member)

    assert wait_for(attempt, what="the primary to forget a member") == "OK"


def test_a_dead_member_is_forgotten_and_the_majority_is_of_the_rest(make_cluster):
    cluster = make_cluster(size=4)
    primary, gone, other = cluster[0], cluster[3], cluster[2]
    with pytest.raises(redis.exceptions.ResponseError, match="UNAVAILABLE .* is connected and would join again"):
        forget(primary, gone)
    gone.kill()
    forget_the_dead(primary, gone)
    assert primary.info()["members"] == 3
    with pytest.raises(redis.exceptions.ResponseError, match="UNAVAILABLE .* is no member"):
        forget(primary, gone)
    # Two of four would be no majority.
    other.kill()
    for i in range(100):
        assert write(primary, f"k{i}")
    # Nobody tells it, when it returns, that it was forgotten: it knows the members, follows them and becomes one again.
    gone.start()
    other.start()
    cluster.wait_in_sync(primary)
    wait_for(lambda: gone.info()["keys"] == 100, what="the forgotten node to have all keys again")


@pytest.mark.parametrize("size", [2, 3])
def test_the_survivor_is_forced_and_the_others_follow_it(make_cluster, size):
    cluster = make_cluster(size=size)
    write(cluster[0], "before", "1")
    survivor, lost = cluster[size - 1], cluster.nodes[: size - 1]
    for node in lost:
        node.kill()
    with pytest.raises(redis.exceptions.ResponseError, match="NOPROMISE"):
        with contextlib.closing(survivor.client()) as client:
            client.execute_command("FAHA.PROMOTE", 2000)
    force(survivor)
    assert f"forced to lead a cluster of this node alone: {size - 1} members leave it" in survivor.log()
    assert survivor.info()["members"] == 1
    assert read(survivor, "before") == "1" and write(survivor, "after", "2")
    for node in lost:
        node.start()
    cluster.wait_in_sync(survivor)
    lost[0].kill()
    if size == 3:  # and it is a cluster that survives one again
        assert read(survivor, "after") == "2" and write(survivor)
        survivor.kill()
        lost[0].start()
        cluster.promote(lost[0])
        assert read(lost[0], "before") == "1" and read(lost[0], "after") == "2"


def forked(node):
    return node.info()["last_error"].startswith("FORKED")


def test_who_holds_writes_that_a_forced_node_lacks_keeps_them_and_does_not_lead(make_cluster):
    cluster = make_cluster()
    behind, ahead = cluster[2], cluster.nodes[:2]
    write(cluster[0], "both", "1")
    behind.kill()
    for i in range(100):
        write(cluster[0], f"lacks{i}")
    # Known as committed on the other one, too, not only persistent there.
    wait_for(lambda: cluster[1].info()["keys"] == 101, what="the backup to have applied all")
    for node in ahead:
        node.kill()
    behind.start()
    force(behind)
    assert read(behind, "both") == "1" and read(behind, "lacks99") is None
    write(behind, "forced", "1")
    for node in ahead:
        node.start()
        wait_for(lambda: forked(node), what="the node to be refused")
        assert node.info()["state"] != "serving" and node.info()["keys"] in (100, 101)
        with pytest.raises(redis.exceptions.RedisError):
            read(node, "both")
    info = behind.info()
    assert info["state"] == "serving" and info["members"] == 1 and read(behind, "forced") == "1"
    # They are a majority of the members of before, and nobody else is there.
    behind.kill()
    ahead[0].kill()
    ahead[0].start()
    for node in ahead:
        with pytest.raises(redis.exceptions.ResponseError, match="FORKED"):
            node.client().execute_command("FAHA.PROMOTE", "2000")
    assert forked(ahead[0]) and ahead[0].info()["state"] != "serving"
    # Unless that is what is wanted.
    force(ahead[0])
    assert read(ahead[0], "lacks99") == "v" and read(ahead[0], "both") == "1" and read(ahead[0], "forced") is None


def test_the_last_write_that_a_forced_node_lacks_is_kept_as_well(make_cluster):
    """Nothing in the log says that it was committed."""
    cluster = make_cluster()
    behind, holder = cluster[2], cluster[1]
    write(cluster[0], "both", "1")
    behind.kill()
    write(cluster[0], "last", "1")
    for node in cluster.nodes[:2]:
        node.kill()
    behind.start()
    force(behind)
    write(behind, "forced", "1")
    holder.start()
    wait_for(lambda: forked(holder), what="the node to be refused")
    behind.kill()
    force(holder)
    assert read(holder, "last") == "1"


def test_two_parts_that_both_serve_find_out_and_the_forced_one_goes_on(make_cluster):
    cluster = make_cluster()
    alone, others = cluster[2], cluster.nodes[:2]
    write(cluster[0], "both", "1")
    for node in others:
        node.kill()
    force(alone)
    write(alone, "forced", "1")
    alone.kill()
    for node in others:
        node.start()
    leader = wait_for(lambda: next((node for node in others if node.info()["state"] == "serving"), None), what="the others to serve")
    write(leader, "behind its back", "1")
    alone.start()
    for node in others:
        wait_for(lambda: forked(node), what="the two parts to meet")
    assert alone.info()["state"] == "serving" and read(alone, "forced") == "1"


def test_a_backup_that_is_back_is_reached_again_at_once(make_cluster):
    """While it was away the primary has dialled it in vain."""
    cluster = make_cluster()
    primary, backup = cluster[0], cluster[1]
    for _ in range(2):
        backup.kill()
        wait_for(lambda: primary.info()["in_sync_backups"] == 1, what="the primary to miss it")
        backup.start()
        cluster.wait_in_sync(primary)
        with contextlib.closing(primary.client()) as client:
            assert client.execute_command("FAHA.FAILOVER", "TO", backup.place.host, backup.port) == "OK"
        cluster.wait_in_sync(backup)
        primary, backup = backup, primary


def test_two_nodes_that_are_both_forced_find_out(make_cluster):
    """Neither has the other among its members."""
    cluster = make_cluster()
    first, second, third = cluster.nodes
    write(first, "both", "1")
    for node in cluster.nodes:
        node.kill()
    for node, key in ((first, "first"), (second, "second")):
        node.start()
        force(node)
        write(node, key, "1")
        node.kill()
    for node in (first, second):
        node.start()
    ahead, behind = sorted((first, second), key=lambda node: -node.info()["epoch"])
    wait_for(lambda: forked(behind), what="the two parts to meet")
    assert ahead.info()["state"] == "serving" and behind.info()["state"] != "serving"
    names = {f"{node.place.host}:{node.port}" for node in (behind, third)}
    assert set(ahead.info()["left_out"].split()) == names
    third.start()
    wait_for(lambda: third.info()["state"] == "following", what="the third to follow")
    wait_for(lambda: ahead.info()["left_out"] == f"{behind.place.host}:{behind.port}", what="the third to be a member again")
    behind.kill()
    assert forget(ahead, behind) == "OK" and ahead.info()["left_out"] == ""


@pytest.mark.parametrize("order", [["FAHA.PROMOTE"], ["FAHA.PROMOTE", "FORCE"]], ids=["promote", "force"])
def test_an_empty_node_that_has_not_joined_yet_is_not_promoted(make_cluster, order):
    cluster = make_cluster()
    primary, without = cluster[0], cluster[2]
    write(primary, "k", "v")
    for node in cluster.nodes:
        node.kill()
    without.pool_path.unlink()
    without.pool_path.with_name(without.pool_path.name + ".index").unlink(missing_ok=True)
    without.args = [*without.args, "--replicaof", f"{primary.place.host} {primary.port}"]
    without.start()
    with pytest.raises(redis.exceptions.ResponseError, match="NOPROMISE this node holds nothing and has not joined"):
        without.client().execute_command(*order)
    assert without.info()["state"] != "serving"
    primary.start()
    cluster[1].start()
    cluster.promote(primary)
    cluster.wait_in_sync(primary)
    assert read(primary) == "v"


def test_a_hung_primary_is_not_called_alive(make_cluster):
    cluster = make_cluster()
    for node in cluster.nodes[:2]:
        node.signal(signal.SIGSTOP)
    force(cluster[2])
    assert cluster[2].info()["members"] == 1 and write(cluster[2])


def test_force_loses_nothing_where_a_majority_is_alive(make_cluster):
    cluster = make_cluster()
    behind, other = cluster[1], cluster[2]
    behind.signal(signal.SIGSTOP)
    for i in range(100):
        write(cluster[0], f"k{i}")
    cluster[0].kill()
    behind.signal(signal.SIGCONT)
    wait_for(lambda: behind.info()["state"] == "seeking", what="the node to miss its primary")
    force(behind)
    info = behind.info()
    assert info["members"] == 3 and info["left_out"] == "" and read(behind, "k99") == "v"
    wait_for(lambda: other.info()["state"] == "following", what="the other one to follow")


def test_a_member_that_lost_its_pool_joins_again_and_another_may_be_lost(make_cluster):
    cluster = make_cluster()
    primary, without = cluster[0], cluster[2]
    for i in range(500):
        write(primary, f"k{i}", f"v{i}")
    without.kill()
    without.pool_path.unlink()
    without.pool_path.with_name(without.pool_path.name + ".index").unlink(missing_ok=True)
    # As CONFIG REWRITE keeps it where there is a redis.conf.
    without.args += ["--replicaof", primary.place.host, str(primary.port)]
    without.start()
    cluster.wait_in_sync(primary)
    assert "has lost its pool: it leaves before it joins" in primary.log()
    primary.kill()
    cluster.promote(without)
    assert [read(without, f"k{i}") for i in range(500)] == [f"v{i}" for i in range(500)]
    assert write(without)


def test_without_the_copies_that_are_asked_for_writes_are_refused_at_once_and_reads_go_on(make_cluster):
    cluster = make_cluster(args=["--faha.min-acks", "3", "--faha.persist-timeout", "300"])
    primary, away = cluster[0], cluster[2]
    assert write(primary, "k", "1")
    # One that is silent is found out by the write that waits for it.
    away.signal(signal.SIGSTOP)
    with pytest.raises(redis.exceptions.ConnectionError):
        write(primary, "k", "2")
    assert "NOQUORUM" in primary.info()["last_error"] and "min-acks" in primary.info()["last_error"]
    for value in ("3", "4"):
        with pytest.raises(redis.exceptions.ReadOnlyError, match="NOQUORUM .*faha.min-acks"):
            write(primary, "k", value)
    # On a majority it is, so that reading it breaks no promise.
    assert read(primary, "k") == "2" and primary.info()["state"] == "no-quorum"
    away.signal(signal.SIGCONT)
    cluster.wait_in_sync(primary)
    assert write(primary, "k", "5") and read(primary, "k") == "5"
    away.kill()
    wait_for(lambda: primary.info()["in_sync_backups"] == 1, what="the primary to notice")
    with contextlib.closing(primary.client()) as client:
        with pytest.raises(redis.exceptions.ReadOnlyError, match="NOQUORUM"):
            client.set("k", "6")
        client.config_set("faha.min-acks", 2)
        assert client.set("k", "7")
        client.config_set("faha.min-acks", 4)
        assert primary.info()["state"] == "no-quorum"
        assert "NOQUORUM writes wait for the 4 copies of faha.min-acks, of 3 members" in primary.info()["last_error"]


def test_of_two_nodes_none_takes_over_alone(make_cluster):
    cluster = make_cluster(size=2)
    primary, backup = cluster.nodes
    write(primary)
    primary.kill()
    backup.client().execute_command("REPLICAOF", "NO", "ONE")
    wait_for(lambda: "NOPROMISE" in str(backup.info()["last_error"]), what="last_error to tell")
    with pytest.raises(redis.exceptions.ResponseError, match="NOPROMISE"):
        with contextlib.closing(backup.client()) as client:
            client.execute_command("FAHA.PROMOTE", 2000)
    with pytest.raises(redis.exceptions.RedisError):
        read(backup)
    assert backup.info()["state"] != "serving"
    primary.start()

    # Whichever is elected, and if that is the old one it may be asked to hand over to the one that was told to lead.
    def one_serves_and_the_other_follows():
        with contextlib.suppress(redis.exceptions.RedisError):
            heir = cluster.primary()
            other = next(node for node in cluster.nodes if node is not heir)
            in_sync = heir is not None and heir.info()["in_sync_backups"] == 1 and other.redis_role() == "slave"
            return in_sync and read(heir) == "v" and write(heir)

    wait_for(one_serves_and_the_other_follows, what="one of the two to serve, and the other to follow it")


def test_a_paused_backup_holds_up_a_write_for_the_persist_timeout_only(make_cluster):
    cluster = make_cluster(args=["--faha.persist-timeout", "300"])
    primary, paused = cluster[0], cluster[1]
    paused.signal(signal.SIGSTOP)
    for i in range(100):
        assert write(primary, f"k{i}")
    assert f"{paused.port} did not persist within 300 ms: commits no longer wait for it" in primary.log()
    assert primary.info()["in_sync_backups"] == 1
    paused.signal(signal.SIGCONT)
    cluster.wait_in_sync(primary)
    wait_for(lambda: paused.info()["keys"] == 100, what="the backup that was paused to have all keys")


def on(domain):
    return ["--faha.persistence-domain", domain]


def test_a_pool_on_memory_is_no_copy_for_a_cluster_on_disks(make_server):
    first, second = make_server(args=on("page")).start(), make_server(args=on("volatile")).start()
    second.client().execute_command("REPLICAOF", HOST, first.port)
    wait_for(lambda: "BADPOOL" in second.info()["last_error"], what="the reason")
    assert first.client().set("k", "v") and first.info()["members"] == 1


def test_a_cluster_on_memory_moves_to_disks(make_server):
    nodes = [make_server(args=on(domain)).start() for domain in ("volatile", "page", "volatile")]
    for node in nodes[1:]:
        node.client().execute_command("REPLICAOF", HOST, nodes[0].port)
    wait_for(lambda: nodes[0].info()["members"] == 3 and nodes[0].info()["in_sync_backups"] == 2, what="the members")
    assert nodes[0].client().execute_command("FAHA.FAILOVER", "TO", HOST, nodes[1].port) == "OK"
    wait_for(lambda: nodes[1].client().set("k", "v"), what="the node on a disk to serve")
    wait_for(lambda: nodes[1].info()["in_sync_backups"] == 2, what="the others to follow")


def test_nodes_of_one_port_on_many_addresses_find_each_other(make_server):
    """As in containers: the same faha.port everywhere, which does not follow from Redis' port."""
    port = free_port()
    args = ["--faha.secret", "s" * 20, "--faha.port", str(port)]
    primary = make_server(args=[*args, "--faha.bind", "127.0.0.5", "--faha.announce-host", "127.0.0.5"]).start()
    backup = make_server(args=[*args, "--faha.bind", "127.0.0.6", "--faha.announce-host", "127.0.0.6"]).start()
    primary.client().set("k", "v")
    assert backup.client().execute_command("REPLICAOF", "127.0.0.5", primary.port)
    wait_for(lambda: primary.info()["in_sync_backups"] == 1, what="the backup")
    assert primary.client().execute_command("FAHA.FAILOVER")
    wait_for(lambda: primary.info()["state"] == "following", what="the old primary to follow")


@pytest.mark.parametrize("how", ["replicaof in the configuration", "REPLICAOF and PROMOTE"])
def test_nodes_that_all_have_other_addresses_find_each_other(make_cluster, how):
    """The log knows the old ones, at which nobody answers any more."""
    cluster = make_cluster()
    cluster[0].client().set("k", "v")
    for node in cluster:
        node.kill()
        node.port = free_port()
    if how.startswith("replicaof"):
        for node in cluster[1:]:
            node.args += ["--replicaof", HOST, str(cluster[0].port)]
    for node in cluster:
        node.start()
    if how.startswith("REPLICAOF"):
        for node in cluster[1:]:
            assert node.client().execute_command("REPLICAOF", HOST, cluster[0].port)
        assert cluster[1].client().execute_command("FAHA.PROMOTE", "20000")

    def leader():
        return next((node for node in cluster if node.info()["state"] == "serving" and node.info()["in_sync_backups"] == 2), None)

    primary = wait_for(leader, what="a primary with all in sync")
    assert primary.client().get("k") == "v" and primary.client().set("k", "w")


class Forwarder:
    """A port of one machine that leads to a port of another, as a container's does."""

    def __init__(self, host, to):
        self.to = to
        self.listener = socket.create_server((host, 0))
        self.port = self.listener.getsockname()[1]
        self.taken = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                self.taken += 1
                try:
                    far = socket.create_connection(self.to)
                except OSError:
                    near.close()
                    continue
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self.copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_nodes_that_reach_each_other_where_clients_do_not(make_server):
    """Replication has a network of its own; and one node's port is another one there."""
    servers = []
    for i in range(3):
        host = f"127.0.1.{i + 1}"
        servers.append(make_server(args=["--faha.bind", host, "--faha.announce-host", HOST, "--faha.peer-host", host]))
    forwarder = Forwarder("127.0.1.9", ("127.0.1.3", servers[2].port + 10000))
    servers[2].args[-1:] = ["127.0.1.9", "--faha.peer-port", str(forwarder.port)]
    for server in servers:
        server.start()
    servers[0].client().set("k", "v")
    for server in servers[1:]:
        assert server.client().execute_command("REPLICAOF", "127.0.1.1", servers[0].port)

    def leader():
        return next((each for each in servers if each.process and each.info()["state"] == "serving" and each.info()["in_sync_backups"] == 2), None)

    assert wait_for(leader, what="all in sync") is servers[0]
    assert servers[0].info()["feature_level"] == servers[0].info()["offered_level"]
    assert servers[1].client().info("replication")["master_host"] == HOST
    # Each of them is dialled by both others: as a primary that is followed, and as a voter.
    for heir in (servers[2], servers[1]):
        assert wait_for(leader, what="all in sync").client().execute_command("FAHA.FAILOVER", "TO", HOST, heir.port)
        assert wait_for(leader, what="all in sync") is heir
    assert forwarder.taken > 0
    servers[1].kill()
    assert servers[2].client().execute_command("FAHA.PROMOTE", "20000")
    servers[1].start()
    assert wait_for(leader, what="all in sync").client().get("k") == "v"
    for node in servers:
        replication = node.client().info("replication")
        assert node is servers[2] or (replication["master_host"], replication["master_port"]) == (HOST, servers[2].port)


def test_a_member_that_nobody_reaches_is_not_to_lead(make_cluster):
    """It was started again with an address where nothing answers."""
    cluster = make_cluster()
    primary, lost, other = cluster.nodes
    lost.kill()
    lost.args += ["--faha.peer-host", "127.0.1.99"]
    lost.start()
    wait_for(lambda: "does not reach this node at 127.0.1.99" in lost.info()["last_error"], what="it to be told")
    assert lost.client().info("replication")["slave_priority"] == 0

    def peer():
        status = primary.client().execute_command("FAHA.STATUS")
        peers = dict(zip(status[::2], status[1::2]))["peers"]
        each = [dict(zip(one[::2], one[1::2])) for one in peers]
        return next(one for one in each if one["redis"].endswith(str(lost.port)))

    assert peer()["reached"] == "no" and peer()["replication"].startswith("127.0.1.99:") and peer()["in-sync"] == "yes"
    with pytest.raises(redis.exceptions.ResponseError, match="nothing that answers at 127.0.1.99"):
        primary.client().execute_command("FAHA.FAILOVER", "TO", HOST, lost.port)
    assert primary.client().set("k", "v")
    assert primary.client().execute_command("FAHA.FAILOVER")
    wait_for(lambda: other.info()["state"] == "serving", what="the one that is reached to lead")
    lost.kill()
    del lost.args[-2:]
    lost.start()
    cluster.wait_in_sync(other)
    assert lost.client().info("replication")["slave_priority"] == 100
    assert other.client().execute_command("FAHA.FAILOVER", "TO", HOST, lost.port)
    assert lost.client().get("k") == "v"


def test_a_second_address_waits_for_the_level_that_knows_it(make_cluster):
    cluster = make_cluster(args=["--faha.feature-level", "1"])
    assert cluster[0].info()["feature_level"] == 1 and cluster[0].info()["offered_level"] == 1
    backup = cluster[2]
    backup.kill()
    backup.args[-1:] = ["2", "--faha.peer-host", HOST]
    backup.spawn()
    assert backup.process.wait(30) != 0
    assert "PEERVERSION faha.peer-host needs feature level 2" in backup.log()
    del backup.args[-2:]
    backup.start()
    wait_for(lambda: cluster[0].info()["in_sync_backups"] == 2, what="the backup")
    assert cluster[0].info()["feature_level"] == 1  # the others offer no more
    for node in cluster[1], cluster[0]:
        node.kill()
        node.args[-1] = "2"
        node.start()
        wait_for(cluster.primary, what="a primary")
    wait_for(lambda: all(node.info()["feature_level"] == 2 for node in cluster), what="the level")
    backup.kill()
    backup.args += ["--faha.peer-host", HOST]
    backup.start()
    wait_for(lambda: cluster.primary() and cluster.primary().info()["in_sync_backups"] == 2, what="the backup")


def test_an_address_that_others_know_is_not_changed_at_run_time(make_cluster, make_server):
    cluster = make_cluster()
    for node in cluster:
        for option, value in (("port", free_port()), ("REPLICA-ANNOUNCE-PORT", "7"), ("slave-announce-port", "7")):
            with contextlib.closing(node.client()) as client, pytest.raises(redis.exceptions.ResponseError, match="^BADCONFIG .*restart"):
                client.config_set(option, value)
    alone = make_server().start()
    alone.client().config_set("port", port := free_port())
    alone.port = port
    assert alone.client().ping()
