"""bee-queue: jobs of node's, by way of Sentinel with ioredis.

A worker takes a job with BRPOPLPUSH to a list of those that are being worked on, and what stays there for long is put
back: it loses nothing whatever is on its way when the primary dies, and does again what it then had in hand.
"""

import collections

from cluster import wait_for
from nodes import NODE, needs_node

needs_node()
JOBS = {f"job {number}" for number in range(1000)}


def test_every_job_is_done(site):
    worker = site.program(*NODE, "node/bee_worker.js", name="worker")
    producer = site.program(*NODE, "node/bee_producer.js", name="producer")
    site.wait_for_lines("saved", lambda lines: len(lines) == len(JOBS), 60, [worker, producer])
    with site.master() as client:
        wait_for(lambda: not client.exists("bq:work:waiting", "bq:work:active"), what="nothing to be left to do")
        assert client.smembers("bq:work:succeeded") == set(client.hgetall("bq:work:jobs")) == JOBS
    site.heir()
    done = collections.Counter(site.lines("done"))
    assert set(done) == JOBS
    assert {job for job, count in done.items() if count > 1} <= set(site.lines("in_hand"))
