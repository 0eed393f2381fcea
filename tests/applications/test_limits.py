"""limits: how often somebody may do something, counted by a moving window and by a fixed one.

limits repeats nothing by itself.  A hit whose outcome is unknown may count or not; all others count, once.  It reads
from replicas unless it is told not to, so the backups are told to answer reads.
"""

import time

import pytest
import redis
from cluster import wait_for
from sentinels import NAME

limits = pytest.importorskip("limits")
from limits import storage, strategies  # noqa: E402

ALLOWED = 200
ITEM = limits.RateLimitItemPerHour(ALLOWED)


class Hits:
    def __init__(self, kind, kept):
        self.limiter, self.name = kind(kept), kind.__name__
        self.granted, self.unknown, self.refused = 0, 0, False

    def hit(self):
        """One hit.  False where no server has answered."""
        try:
            granted = self.limiter.hit(ITEM, self.name)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            # What was never sent, for there was nobody to connect to, does not count.
            never_sent = isinstance(error, redis.sentinel.MasterNotFoundError) or "connecting to" in str(error)
            self.unknown += not never_sent
            return False
        self.granted += granted
        self.refused = not granted
        return True


def test_what_was_granted_counts(make_site):
    site = make_site(args=["--faha.backup-reads", "yes"])
    hosts = ",".join(f"{host}:{port}" for host, port in site.addresses)
    kept = storage.storage_from_string(f"redis+sentinel://{hosts}/{NAME}")
    both = [Hits(kind, kept) for kind in (strategies.MovingWindowRateLimiter, strategies.FixedWindowRateLimiter)]
    failures = 0
    for number in range(ALLOWED):
        if number == ALLOWED // 2:
            site.kill_primary()
        for hits in both:
            end = time.monotonic() + 30
            while not hits.hit():
                assert time.monotonic() < end, "no primary"
                failures += 1
                time.sleep(0.02)
    site.heir()
    for hits in both:
        # As many as those whose outcome is unknown may not have counted.
        for _ in range(hits.unknown + 1):
            hits.refused or wait_for(hits.hit, what="a primary")
        assert hits.refused, f"{hits.granted} were granted"
        assert ALLOWED - hits.unknown <= hits.granted <= ALLOWED
        # Of the fixed window a backup is asked.
        wait_for(lambda: hits.limiter.get_window_stats(ITEM, hits.name)[1] <= 0, what="nothing to be left")
    assert failures, "the failover was to be in the middle of it"
    assert sum(hits.unknown for hits in both) <= 4, "most must be told what they may do"
