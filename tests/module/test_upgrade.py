"""A rolling upgrade from the last release, whose module scripts/test builds from the commit that docs/CHANGELOG.md names."""

import contextlib
import os
import threading
import time

import pytest
import redis
from cluster import wait_for

EARLIER = os.environ.get("FAHA_EARLIER", "")

pytestmark = pytest.mark.skipif(not os.path.exists(EARLIER), reason=f"there is no module of the last release at '{EARLIER}'")


class Writer:
    """Sets one key after the other at whichever node serves, and remembers which were acknowledged."""

    def __init__(self, cluster):
        self.cluster, self.acknowledged, self.over = cluster, [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        number = 0
        while not self.over.is_set():
            number += 1
            for node in list(self.cluster.nodes):
                if node.process is None:
                    continue
                with contextlib.suppress(redis.RedisError), contextlib.closing(node.client(retry_on_error=[], socket_timeout=5)) as client:
                    client.set(f"key {number}", number)
                    self.acknowledged.append(number)
                    break
            time.sleep(0.001)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def level(node):
    return node.info()["feature_level"]


def restart(cluster, node, module):
    """As a rolling restart does: the primary hands over first."""
    node.kill() if cluster.primary() is not node else hand_over(cluster, node)
    node.module = module
    node.start()
    in_sync(cluster)


def hand_over(cluster, node):
    with contextlib.closing(node.client()) as client:
        client.execute_command("FAHA.FAILOVER")
    wait_for(lambda: cluster.primary() not in (None, node), what="another primary")
    node.kill()


def in_sync(cluster):
    def ready():
        primary = cluster.primary()
        return primary and primary.info()["in_sync_backups"] == 2 and primary

    return wait_for(ready, 60, "all in sync")


def test_a_rolling_upgrade_and_the_way_back_until_it_is_complete(make_cluster):
    cluster = make_cluster(module=EARLIER)
    new = os.environ["FAHA_MODULE"]
    first = level(cluster[0])
    with Writer(cluster) as writer:
        restart(cluster, cluster[1], new)
        restart(cluster, cluster[2], new)
        assert [level(node) for node in cluster] == [first] * 3
        # Back, and each release leads while the other one follows.
        restart(cluster, cluster[2], EARLIER)
        restart(cluster, cluster[0], new)
        assert cluster.primary() is not cluster[0]
        for _ in range(3):
            primary = in_sync(cluster)
            heir = next(node for node in cluster if node is not primary and node.module != primary.module)
            assert primary.client().execute_command("FAHA.FAILOVER", "TO", heir.place.host, heir.port)
            wait_for(lambda heir=heir: cluster.primary() is heir, what="the heir to lead")
        assert [level(node) for node in cluster] == [first] * 3
        in_sync(cluster)
        restart(cluster, cluster[2], new)
        offered = cluster[0].info()["offered_level"]
        wait_for(lambda: [level(node) for node in cluster] == [offered] * 3, what="the level to be raised")
        in_sync(cluster)
    numbers = writer.acknowledged
    assert len(numbers) > 100
    primary = in_sync(cluster)
    with contextlib.closing(primary.client()) as client:
        assert client.mget([f"key {number}" for number in numbers]) == [str(number) for number in numbers]
    if offered > first:
        backup = next(node for node in cluster if node is not primary)
        backup.kill()
        backup.module = EARLIER
        backup.spawn()
        assert backup.process.wait(30) != 0 and "POOLVERSION" in backup.log()
