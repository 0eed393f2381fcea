"""Sidekiq: jobs are pushed from ruby while Sidekiq works them off, both by way of Sentinel.

Sidekiq takes a job with BRPOP, and loses one if the server ends between that and its answer.  Here the job kills the
primary, in a Sidekiq of one thread, which has no BRPOP on its way then: every job that was pushed must be done.
"""

import collections
import shutil
import subprocess

import pytest

FOUND = ["ruby", "-e", "require 'sidekiq'"]
if not shutil.which("sidekiq") or subprocess.run(FOUND, stderr=subprocess.DEVNULL).returncode:
    pytest.skip("there is no Sidekiq", allow_module_level=True)

JOBS = 1000


def test_every_job_that_was_pushed_is_done(site):
    sidekiq = site.program("sidekiq", "-r", "./ruby/jobs.rb", "-c", "1", "-e", "production", name="sidekiq")
    push = site.program("ruby", "ruby/push.rb", name="push")
    site.wait_for_lines("pushed", lambda lines: len(lines) == JOBS, 60, [push, sidekiq])
    site.wait_for_lines("done", lambda lines: len(set(lines)) == JOBS, 40, [sidekiq])
    site.heir()
    with site.master() as client:
        assert client.llen("queue:default") == 0
    done = collections.Counter(map(int, site.lines("done")))
    assert set(done) == set(range(JOBS))
    repeated = set(map(int, site.lines("repeated")))
    assert {number for number, count in done.items() if count > 1} <= repeated
    assert repeated, "jobs were to be pushed in the middle of it"
