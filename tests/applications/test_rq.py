"""RQ: jobs of Python's that workers wait for with BLPOP.

A worker takes a job and only then writes down that it is being worked on, so RQ loses one if the server ends between the
two.  Here the primary is killed when a worker has done all that there was and waits, while another queue, whose worker
has not begun yet, is full.
"""

import collections
import sys
import time

import pytest
import redis
from cluster import wait_for

rq = pytest.importorskip("rq")
import rq_jobs  # noqa: E402

JOBS = 200


def enqueue(queue, number):
    """Until it is known to be in the queue.  How often it was tried."""
    end, tries = time.monotonic() + 30, 1
    while True:
        try:
            queue.enqueue(rq_jobs.work, number, job_id=f"job-{number}", result_ttl=3600)
            return tries
        except (redis.ConnectionError, redis.TimeoutError):
            assert time.monotonic() < end, "no primary"
            tries += 1
            time.sleep(0.02)


def test_every_job_is_done(site):
    connection = site.master(decode_responses=False)
    now, later = (rq.Queue(name, connection=connection, job_class=rq_jobs.Job) for name in ("now", "later"))
    workers = [site.program(sys.executable, "rq_jobs.py", "now", name="now")]
    for number in range(JOBS):
        enqueue(later if number % 2 else now, number)
    wait_for(lambda: now.finished_job_registry.count == JOBS // 2, 20, "the first jobs to be done")
    wait_for(lambda: rq.Worker.all(connection)[0].get_state() == "idle", what="the worker to wait")
    site.kill_primary()
    repeated = {number for number in range(JOBS, 2 * JOBS) if enqueue(later if number % 2 else now, number) > 1}
    workers.append(site.program(sys.executable, "rq_jobs.py", "later", name="later"))
    for queue in (now, later):
        wait_for(lambda: queue.finished_job_registry.count == JOBS, 40, "all jobs to be done")
        assert len(queue) == queue.started_job_registry.count == queue.failed_job_registry.count == 0
    site.heir()
    assert all(worker.poll() is None for worker in workers), "a worker has ended"
    done = collections.Counter(map(int, site.lines("done")))
    assert set(done) == set(range(2 * JOBS))
    assert {number for number, count in done.items() if count > 1} <= repeated
    assert repeated, "jobs were to be put into queues in the middle of it"
    jobs = rq_jobs.Job.fetch_many([f"job-{number}" for number in range(2 * JOBS)], connection=connection)
    assert [job.return_value() for job in jobs] == list(range(2 * JOBS))
