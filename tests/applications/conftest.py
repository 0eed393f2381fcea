"""Fixtures for applications over a failover: those of tests/module, and a site with Sentinels."""

import importlib.util
import os
import pathlib
import signal
import subprocess
import sys

import pytest

MODULE_TESTS = pathlib.Path(__file__).resolve().parents[1] / "module"
sys.path.insert(0, str(MODULE_TESTS))

from cluster import Cluster, wait_for  # noqa: E402
from sentinels import NAME, Sentinels  # noqa: E402

# This file is "conftest" already.
_spec = importlib.util.spec_from_file_location("module_conftest", MODULE_TESTS / "conftest.py")
_module_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module_conftest)
folder = _module_conftest.folder
pytest_runtest_makereport = _module_conftest.pytest_runtest_makereport

HERE = pathlib.Path(__file__).resolve().parent


class Site:
    """A primary, two backups and three Sentinels, as an application finds them."""

    def __init__(self, folder, args=()):
        self.folder = folder
        self.programs = []
        self.cluster = Cluster(folder / "nodes", args=args)
        self.sentinels = Sentinels(folder, self.cluster[0], down_after=2000)
        self.first = self.cluster[0]
        # An application may kill the primary itself, so that it knows where it stood in its own work.
        self.first_pid = self.first.process.pid

    @property
    def addresses(self):
        return [("127.0.0.1", port) for port in self.sentinels.ports]

    def url(self, scheme="sentinel", database=0):
        """Of all Sentinels, as kombu and Celery take it."""
        return ";".join(f"{scheme}://{host}:{port}/{database}" for host, port in self.addresses)

    def kill_primary(self):
        os.kill(self.first_pid, signal.SIGKILL)

    def was_killed(self):
        return self.first.process.poll() is not None

    def heir(self):
        """The node that serves after the first primary was killed."""
        assert self.was_killed(), "the primary was not killed: this was no failover"
        return wait_for(lambda: (node := self.cluster.primary()) is not self.first and node, what="another primary")

    def master(self, **options):
        """A client that asks the Sentinels."""
        options.setdefault("decode_responses", True)
        return self.sentinels.finder().master_for(NAME, socket_timeout=5, **options)

    def program(self, *command, env=(), name="program"):
        """A process of the application: its output is in the folder, and it ends with the test."""
        output = open(self.folder / f"{name}.log", "wb")
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=HERE,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **self.environment(), **dict(env)},
            start_new_session=True,
        )
        output.close()
        self.programs.append((name, process))
        return process

    def environment(self):
        """What an application is told of the site."""
        return {
            "SITE_SENTINELS": ",".join(f"{host}:{port}" for host, port in self.addresses),
            "SITE_NAME": NAME,
            "SITE_PRIMARY_PID": str(self.first_pid),
            "SITE_FOLDER": str(self.folder),
        }

    def lines(self, name):
        """What a program has written into a file of its own, one whole line for each event."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def wait_for_lines(self, name, enough, seconds, programs=()):
        def look():
            for program in programs:
                assert program.poll() in (None, 0), "a program of the application has failed"
            return enough(self.lines(name))

        wait_for(look, seconds, f"{name}")

    def output(self):
        return [(f"output of {name}", "\n".join(self.lines(f"{name}.log")[-80:])) for name, _ in self.programs]

    def close(self):
        for _, process in self.programs:
            # With all its children: each has a session of its own.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.sentinels.close()
        self.cluster.close()


@pytest.fixture
def make_site(request, folder):
    """make_site(**Site's arguments): a site of which the Sentinels know every node; it is gone when the test ends."""
    sites = []
    request.node.faha_servers = []

    def make(**arguments):
        sites.append(Site(folder, **arguments))
        request.node.faha_servers.extend(sites[-1].cluster.nodes)
        sites[-1].sentinels.wait_ready(len(sites[-1].cluster.nodes))
        return sites[-1]

    yield make
    for site in sites:
        if getattr(request.node, "application_failed", False):
            for title, text in site.output():
                print(f"--- {title}\n{text}")
        site.close()


@pytest.fixture
def site(make_site):
    return make_site()


@pytest.hookimpl(hookwrapper=True, trylast=True)
def pytest_runtest_call(item):
    outcome = yield
    item.application_failed = outcome.excinfo is not None
