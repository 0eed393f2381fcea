import pathlib
import shutil
import tempfile

import pytest

from cluster import Cluster, Server, scratch
from twins import Twins, assert_nothing_native


def _folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="faha-test-", dir=scratch(4 << 30)))
    yield path
    shutil.rmtree(path, ignore_errors=True)


folder = pytest.fixture(_folder)
module_folder = pytest.fixture(_folder, scope="module")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for server in getattr(item, "faha_servers", []):
            report.sections.append((f"log of {server.port}", "\n".join(server.log().splitlines()[-60:])))


@pytest.fixture
def make_server(request, folder):
    """make_server(**Server's arguments): a server that is killed when the test ends."""
    servers = request.node.faha_servers = []

    def make(**arguments):
        servers.append(Server(folder / f"s{len(servers)}", **arguments))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def make_cluster(request, folder):
    """make_cluster(**Cluster's arguments): a cluster that is killed when the test ends."""
    clusters = []
    request.node.faha_servers = []

    def make(**arguments):
        clusters.append(Cluster(folder / f"c{len(clusters)}", **arguments))
        request.node.faha_servers.extend(clusters[-1].nodes)
        return clusters[-1]

    yield make
    for cluster in clusters:
        cluster.close()


DEBUG = ["--enable-debug-command", "yes"]


@pytest.fixture(scope="module")
def servers(module_folder):
    stock = Server(module_folder / "stock", faha=False, args=DEBUG)
    faha = Server(module_folder / "faha", args=[*DEBUG, "--faha.pool-bytes", "1gb"])
    yield stock.start(), faha.start()
    stock.kill()
    faha.kill()


@pytest.fixture
def twins(servers):
    twins = Twins(*servers)
    yield twins
    for connection in twins.connections:
        connection.close()
    assert_nothing_native(servers[1])
