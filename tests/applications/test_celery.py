"""Celery: a queue of jobs and a chord, with Redis behind Sentinel as broker and for the results.

A worker takes a job with BRPOP and only then writes it down as not acknowledged, so Celery loses one if the server ends
between the two.  Here a job kills the primary, in a worker of one process, which has no BRPOP on its way then: every
job must be done.
"""

import collections
import gc
import os
import sys

import pytest

celery = pytest.importorskip("celery")

JOBS = 1000
PARTS = 20


def test_every_job_is_done_and_the_chord_ends(site, monkeypatch):
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    import celery_app

    worker = site.program(
        sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-P", "solo", "-l", "INFO",
        "--without-gossip", "--without-mingle", "--without-heartbeat", name="worker",
    )  # fmt: skip
    results, repeated, chord = [], set(), None
    for number in range(JOBS):
        if number == JOBS // 4:
            chord = celery.chord(celery_app.part.s(i, i == PARTS // 2) for i in range(PARTS))(celery_app.whole.s())
        if number == JOBS - 100:
            site.wait_for_lines("killed", bool, 40, [worker])
        # Called when the outcome is unknown: Celery will then publish the job again.
        unknown = lambda error, interval, number=number: repeated.add(number)  # noqa: E731
        results.append(celery_app.work.apply_async((number,), retry_policy={**celery_app.RETRIES, "errback": unknown}))
    site.wait_for_lines("done", lambda lines: len(set(lines)) == JOBS, 40, [worker])
    site.wait_for_lines("whole", bool, 40, [worker])
    assert chord.get(timeout=40) == sum(range(PARTS))
    site.heir()
    assert site.lines("whole") == [str(list(range(PARTS)))]
    # Asked for without waiting for a notice, for the notices of that time are gone with the first primary.
    meta = celery_app.app.backend.get_task_meta
    results = [meta(result.id)["result"] for result in results]
    assert results == list(range(JOBS))
    done = collections.Counter(map(int, site.lines("done")))
    assert {number for number, count in done.items() if count > 1} <= repeated
    # The part that killed the primary could not be acknowledged.
    parts = collections.Counter(map(int, site.lines("parts")))
    assert set(parts) == set(range(PARTS)) and {number for number, count in parts.items() if count > 1} <= {PARTS // 2}
    assert repeated, "jobs were to be published in the middle of it"
    # A result that is forgotten tells the server so, for as long as it takes: let that be while there is one.
    del chord
    gc.collect()
