"""The time of day is set while servers run: leases, elections and hand-overs go by a clock that nobody sets."""

import pytest
import redis
from clock_step import Clock
from cluster import HOST, Place, wait_for

HOUR = 3600


@pytest.fixture
def stepped(folder, make_cluster):
    """A cluster, and step(seconds) for the clock of all its nodes."""
    clock = Clock(folder)
    return make_cluster(places=[Place(enter=clock.enter)] * 3), clock.step


def now(node):
    return node.client().time()[0]


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
def test_a_primary_keeps_its_lease_when_the_clock_is_set(stepped, seconds):
    cluster, step = stepped
    before = now(cluster[0])
    step(seconds)
    assert abs(now(cluster[0]) - before - seconds) < HOUR / 2, "the clock is not stepped"
    # An idle cluster: nothing but ticks keeps the lease, and tells the backups that a primary lives.
    for _ in range(3):
        with pytest.raises(redis.exceptions.ResponseError, match="NOPROMISE .*is the primary and alive"):
            cluster[1].client().execute_command("FAHA.PROMOTE", 1500)
    assert cluster[0].client().set("k", "v")
    cluster.wait_in_sync(cluster[0])


def test_a_backup_takes_over_when_the_clock_was_set(stepped):
    cluster, step = stepped
    assert cluster[0].client().set("k", "v")
    step(-HOUR)
    cluster[0].kill()
    cluster.promote(cluster[1])
    assert cluster[1].client().get("k") == "v"
    cluster[0].start()
    wait_for(lambda: cluster[0].redis_role() == "slave", what="the old primary to follow")
    cluster.wait_in_sync(cluster[1])
    assert cluster[1].client().execute_command("FAHA.FAILOVER", "TO", HOST, cluster[2].port) == "OK"
    cluster.wait_in_sync(cluster[2])
