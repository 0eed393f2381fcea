"""Redis Sentinel, unmodified, watches a cluster: it finds out that the primary is gone, chooses a backup, and tells clients."""

import contextlib
import time

import pytest
import redis
from cluster import wait_for
from sentinels import NAME, Sentinels


@pytest.fixture
def make_sentinels(tmp_path, request):
    made = []

    def make(cluster, **options):
        sentinels = Sentinels(tmp_path, cluster[0], **options)
        made.append(sentinels)
        sentinels.wait_ready(len(cluster.nodes))
        return sentinels

    yield make
    for sentinels in made:
        sentinels.close()


def write_until_acknowledged(client, key, value, seconds=30):
    def write():
        with contextlib.suppress(redis.RedisError):
            return client.set(key, value)

    wait_for(write, seconds, f"a write of {key}")


def test_a_client_that_asks_sentinel_carries_on(make_cluster, make_sentinels):
    cluster = make_cluster()
    sentinels = make_sentinels(cluster, down_after=500)
    client = sentinels.finder().master_for(NAME, socket_timeout=2, decode_responses=True)
    acknowledged = {}
    for round_number in range(2):
        for i in range(100):
            key = f"{round_number}:{i}"
            write_until_acknowledged(client, key, key)
            acknowledged[key] = key
        old = cluster.primary()
        old.kill()
        start = time.monotonic()
        write_until_acknowledged(client, f"after {round_number}", "v", 60)
        acknowledged[f"after {round_number}"] = "v"
        print(f"first acknowledged write {time.monotonic() - start:.2f} s after the primary was killed")
        heir = cluster.primary()
        assert heir is not old
        wait_for(lambda: heir.port == sentinels.primary(), what="the first Sentinel to hear of it")
        assert {key: client.get(key) for key in acknowledged} == acknowledged
        old.start()
        cluster.wait_in_sync(heir, 60)


def test_sentinel_failover_of_a_living_primary_is_a_hand_over(make_cluster, make_sentinels):
    cluster = make_cluster()
    sentinels = make_sentinels(cluster)
    old = cluster.primary()
    with contextlib.closing(old.client()) as client:
        client.mset({f"k{i}": i for i in range(100)})
    with contextlib.closing(sentinels.client()) as client:
        assert client.execute_command("SENTINEL", "FAILOVER", NAME)
    wait_for(lambda: sentinels.primary() != old.port, 60, "the Sentinel to tell of another primary")
    heir = next(node for node in cluster.nodes if node.port == sentinels.primary())
    cluster.wait_in_sync(heir, 60)
    assert heir.client().mget([f"k{i}" for i in range(100)]) == [str(i) for i in range(100)]
    assert "did not take over" not in old.log()


def test_replicaof_no_one_asks_a_living_primary_to_hand_over(make_cluster):
    cluster = make_cluster()
    old, heir = cluster[0], cluster[2]
    old.client().set("k", "v")
    heir.client().execute_command("REPLICAOF", "NO", "ONE")
    wait_for(lambda: cluster.primary() is heir, what="the backup to become the primary")
    cluster.wait_in_sync(heir)
    assert heir.client().get("k") == "v"
    # Redis' own roles and ours agree again, also if the one that is told to lead is no member.
    assert old.redis_role() == "slave"


def priority(node):
    with contextlib.closing(node.client()) as client:
        return client.info("replication")["slave_priority"]


def test_a_backup_that_could_not_take_over_has_priority_0(make_cluster, make_server):
    cluster = make_cluster()
    cluster[1].client().config_set("replica-priority", 42)
    assert priority(cluster[1]) == 42 and priority(cluster[2]) == 100
    stranger = make_server().start()
    stranger.client().set("data", "of its own")  # so it is not adopted
    stranger.client().execute_command("REPLICAOF", "127.0.0.1", cluster[0].port)
    wait_for(lambda: stranger.redis_role() == "slave" and priority(stranger) == 0, what="priority 0")
    # Without its primary a member may take over still.
    cluster[0].kill()
    wait_for(lambda: cluster[1].info()["state"] == "seeking", what="the backup to miss its primary")
    assert priority(cluster[1]) == 42


def test_a_promotion_that_finds_no_majority_is_visible(make_cluster):
    cluster = make_cluster()
    cluster[0].kill()
    cluster[1].kill()
    cluster[2].client().execute_command("REPLICAOF", "NO", "ONE")
    wait_for(lambda: "NOPROMISE" in cluster[2].info()["last_error"], what="last_error to tell")
    info = cluster[2].info()
    assert info["state"] == "electing" and "majority" in info["last_error"]
    with pytest.raises(redis.exceptions.ReadOnlyError):
        cluster[2].client().set("k", "v")
