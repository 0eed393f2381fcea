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
        assert heir is not old and heir.port == sentinels.primary()
        assert {key: client.get(key) for key in acknowledged} == acknowledged
        old.start()
        cluster.wait_in_sync(heir, 60)
