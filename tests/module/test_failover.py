"""Nothing acknowledged is lost: nodes are killed while clients write, and every acknowledged write is looked for."""

import contextlib
import os
import signal
import threading

import pytest
import redis

from cluster import HOST, wait_for

ROUNDS = int(os.environ.get("FAHA_ROUNDS", "20"))
CLIENTS = 4


class Writers:
    """Clients that write unique values as fast as they can, and remember what was acknowledged."""

    def __init__(self, node, name):
        self.acknowledged = {}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(node, f"{name}:{i}")) for i in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _write(self, node, name):
        with contextlib.closing(node.client(retry_on_error=[])) as client:
            for i in range(1_000_000):
                if self._stop.is_set():
                    return
                try:
                    client.set(f"{name}:{i}", f"{name}={i}")
                except redis.exceptions.RedisError:
                    return  # killed under us: this write's outcome is unknown
                self.acknowledged[f"{name}:{i}"] = f"{name}={i}"

    def wait_written(self, count):
        wait_for(lambda: len(self.acknowledged) >= count, what=f"{count} acknowledged writes")

    def join(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def assert_all_there(node, acknowledged):
    keys = list(acknowledged)
    client = node.client()
    for start in range(0, len(keys), 1000):
        part = keys[start : start + 1000]
        for key, value in zip(part, client.mget(part)):
            assert value == acknowledged[key], f"{key} was acknowledged and is lost"


def test_kill_the_primary_and_promote_a_backup(make_cluster):
    cluster = make_cluster()
    primary, everything = cluster[0], {}
    for turn in range(ROUNDS):
        writers = Writers(primary, f"r{turn}")
        writers.wait_written(200)
        primary.kill()
        writers.join()
        everything |= writers.acknowledged
        backups = [node for node in cluster.nodes if node is not primary]
        heir = backups[turn % 2]
        cluster.promote(heir)
        assert_all_there(heir, writers.acknowledged)
        primary.start()
        cluster.wait_in_sync(heir)
        primary = heir
    assert_all_there(primary, everything)
    for node in cluster.nodes:
        wait_for(lambda: node.info()["keys"] >= len(everything), what="the backups to have applied all")


def test_kill_all_three_at_once(make_cluster):
    cluster = make_cluster()
    everything, primary = {}, cluster[0]
    for turn in range(ROUNDS):
        writers = Writers(primary, f"r{turn}")
        writers.wait_written(200)
        for node in cluster.nodes:
            node.signal(signal.SIGKILL)
        for node in cluster.nodes:
            node.kill()
        writers.join()
        everything |= writers.acknowledged
        for node in cluster.nodes:
            node.start()
        # The old one, unless it started so late that another one has offered itself.
        wait_for(cluster.primary, what="a primary")
        primary = cluster.primary()
        cluster.wait_in_sync(primary)
        assert_all_there(primary, writers.acknowledged)
    assert_all_there(primary, everything)


def test_a_deposed_primary_refuses_and_returns_as_a_backup(make_cluster):
    cluster = make_cluster()
    old, heir = cluster[0], cluster[1]
    client = old.client()
    client.set("k", "old")
    old.signal(signal.SIGSTOP)
    cluster.promote(heir)
    heir.client().set("k", "new")
    # Sent while it is stopped: read and answered by a primary that does not know yet that it is none.
    replies = []

    def ask(command, *args):
        with contextlib.closing(old.client(retry_on_error=[])) as asker:
            try:
                replies.append(asker.execute_command(command, *args))
            except redis.exceptions.RedisError as error:
                replies.append(error)

    askers = [threading.Thread(target=ask, args=args) for args in (("GET", "k"), ("SET", "k", "stale"))]
    for asker in askers:
        asker.start()
    old.signal(signal.SIGCONT)
    for asker in askers:
        asker.join()
    assert all(isinstance(reply, redis.exceptions.RedisError) for reply in replies), replies
    cluster.wait_in_sync(heir)
    assert heir.client().get("k") == "new"
    with pytest.raises(redis.exceptions.RedisError, match="READONLY|read only"):
        old.client().set("k", "stale")
    with pytest.raises(redis.exceptions.ReadOnlyError, match=f"NOTPRIMARY .*{HOST}:{heir.port}"):
        old.client().get("k")


def test_a_planned_failover_loses_nothing(make_cluster):
    cluster = make_cluster()
    primary = cluster[0]
    for target in (cluster[2], cluster[1], cluster[0]):
        writers = Writers(primary, str(target.port))
        writers.wait_written(200)
        reply = primary.client().execute_command("FAHA.FAILOVER", "TO", HOST, target.port)
        assert reply == "OK"
        writers.join()
        cluster.wait_in_sync(target)
        assert_all_there(target, writers.acknowledged)
        primary = target


def test_an_empty_node_joins_and_one_that_was_away_catches_up(make_cluster, make_server):
    cluster = make_cluster(size=2)
    client = cluster[0].client()
    for i in range(2000):
        client.set(f"k{i}", "x" * 500)
    cluster[1].kill()
    # A pool of the same size: on a device DAX the device decides.
    late = make_server(args=["--faha.pool-bytes", str(cluster[0].info()["pool_bytes"])]).start()
    late.client().execute_command("REPLICAOF", HOST, cluster[0].port)
    # Two members, one of them dead: the newcomer is the majority's only hope, and becomes a member as soon as it has caught up.
    cluster[1].start()
    cluster.nodes.append(late)
    cluster.wait_in_sync(cluster[0])
    assert wait_for(lambda: late.info()["keys"] == 2000)
    cluster[0].kill()
    cluster.promote(late)
    assert late.client().get("k1999") == "x" * 500


def test_without_a_majority_nothing_is_acknowledged_and_service_resumes(make_cluster):
    cluster = make_cluster(args=["--faha.persist-timeout", "300"])
    for node in cluster.nodes[1:]:
        node.signal(signal.SIGSTOP)
    client = cluster[0].client(retry_on_error=[])
    if "rdma+flush" in str(client.execute_command("FAHA.STATUS")):
        # Their devices alone make it persistent, for as long as the lease lasts.
        assert client.set("k", "v")
        wait_for(lambda: cluster[0].info()["state"] == "no-quorum", what="the lease to end")
    else:
        with pytest.raises(redis.exceptions.ConnectionError):
            client.set("k", "v")
    with pytest.raises(redis.exceptions.ResponseError, match="NOQUORUM"):
        cluster[0].client().set("k", "w")
    cluster[1].signal(signal.SIGCONT)
    wait_for(lambda: cluster[0].info()["state"] == "serving")
    assert cluster[0].client().set("k", "again")
    cluster[2].signal(signal.SIGCONT)
    cluster.wait_in_sync(cluster[0])


def idle_connection(client):
    """One that asks for nothing.  The client takes no other in its place, as it does when it finds one closed."""
    connection = client.connection_pool.get_connection("PING")
    connection.connect()
    return connection


def wait_until_hung_up(connection):
    def ended():
        with contextlib.suppress(redis.exceptions.ConnectionError):
            return connection.can_read(timeout=0) and connection.read_response() is None
        return True

    wait_for(ended, what="the server to hang up")


def test_clients_of_a_primary_that_hands_over_are_disconnected(make_cluster):
    cluster = make_cluster()
    with contextlib.closing(cluster[0].client(retry_on_error=[])) as idle, contextlib.closing(cluster[0].client()) as orders:
        assert idle.set("k", "v")
        connection = idle_connection(idle)
        assert orders.execute_command("FAHA.FAILOVER", "TO", HOST, cluster[1].port) == "OK"
        wait_until_hung_up(connection)
    assert "does not serve any more" in cluster[0].log()
    # It may be asked again, and says that it is not the one.
    with contextlib.closing(cluster[0].client()) as client:
        with pytest.raises(redis.exceptions.ReadOnlyError):
            client.set("k", "w")
    cluster.wait_in_sync(cluster[1])
    assert cluster[1].client().get("k") == "v"


def test_clients_of_a_primary_that_is_cut_off_are_disconnected(make_cluster):
    cluster = make_cluster(args=["--faha.persist-timeout", "300"])
    with contextlib.closing(cluster[0].client(retry_on_error=[])) as idle:
        assert idle.set("k", "v")
        connection = idle_connection(idle)
        for node in cluster.nodes[1:]:
            node.kill()
        wait_until_hung_up(connection)
    with contextlib.closing(cluster[0].client(retry_on_error=[])) as client:
        with pytest.raises(redis.exceptions.ReadOnlyError, match="NOQUORUM"):
            client.set("k", "w")
        with pytest.raises(redis.exceptions.ResponseError, match="NOQUORUM"):
            client.get("k")
    cluster[1].start()
    wait_for(lambda: cluster[0].info()["state"] == "serving")
    with contextlib.closing(cluster[0].client(retry_on_error=[])) as client:
        assert client.get("k") == "v" and client.set("k", "w")


def test_an_operator_sees_why_a_promotion_is_refused(make_cluster):
    cluster = make_cluster()
    with pytest.raises(redis.exceptions.ResponseError, match="NOPROMISE .*FAHA.FAILOVER"):
        cluster[1].client().execute_command("FAHA.PROMOTE", 2000)
    with pytest.raises(redis.exceptions.ResponseError, match=f"UNAVAILABLE {HOST}:1 is not a backup"):
        cluster[0].client().execute_command("FAHA.FAILOVER", "TO", HOST, 1)
    with pytest.raises(redis.exceptions.ResponseError, match="NOTPRIMARY"):
        cluster[1].client().execute_command("FAHA.FAILOVER")
    cluster.wait_in_sync(cluster[0])
    assert cluster[0].client().set("k", "v")


def test_a_transaction_and_a_script_are_whole_after_a_crash(make_cluster):
    """Larger than a batch, and killed while they are on their way: all of it, or nothing."""
    cluster = make_cluster(args=["--faha.batch-bytes", "1024"])
    primary = cluster[0]
    script = "for i = 1, 200 do redis.call('SET', KEYS[1] .. i, ARGV[1]) end return redis.call('SET', KEYS[1], ARGV[1])"
    for turn in range(max(ROUNDS // 4, 1)):
        stop = threading.Event()

        def write(kind, node=primary, turn=turn, stop=stop):
            with contextlib.closing(node.client(retry_on_error=[])) as client, contextlib.suppress(redis.exceptions.RedisError):
                client.eval("return 1", 0)
                for version in range(1_000_000):
                    if stop.is_set():
                        return
                    value = f"{turn}.{version}" + "x" * 100
                    if kind == "script":
                        client.eval(script, 1, "script", value)
                    else:
                        pipeline = client.pipeline(transaction=True)
                        for i in range(1, 201):
                            pipeline.set(f"multi{i}", value)
                        pipeline.set("multi", value).execute()

        writers = [threading.Thread(target=write, args=(kind,)) for kind in ("script", "multi")]
        for writer in writers:
            writer.start()
        for kind in ("script", "multi"):
            wait_for(lambda: (primary.client().get(kind) or "").startswith(f"{turn}."), what="a first unit of each kind")
        primary.kill()
        stop.set()
        for writer in writers:
            writer.join()
        heir = cluster[1 + turn % 2] if primary is cluster[0] else cluster[0]
        cluster.promote(heir)
        for kind in ("script", "multi"):
            values = heir.client().mget([kind, *(f"{kind}{i}" for i in range(1, 201))])
            assert len(set(values)) == 1, f"{kind} is there in part: {set(values)}"
        primary.start()
        cluster.wait_in_sync(heir)
        primary = heir
