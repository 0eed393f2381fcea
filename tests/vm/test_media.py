"""Pools on persistent memory of every kind: run in a guest by tests/vm/servers."""

import pathlib

import pytest

from cluster import POOLS


def refusal(server):
    assert server.spawn().process.wait(60) != 0
    return server.log()


@pytest.mark.skipif(not POOLS, reason="a device DAX")
def test_a_device_dax_is_not_written_by_pages(make_server):
    server = make_server(pool=POOLS[0], args=["--faha.persistence-domain", "page"])
    assert "BADCONFIG faha.persistence-domain page needs a file" in refusal(server)


@pytest.mark.skipif(bool(POOLS), reason="a file on fsdax")
def test_a_file_on_fsdax_grows_and_stays_what_it_is(make_server):
    server = make_server(args=["--faha.pool-bytes", "24mb"]).start()
    assert server.client().set("k", "v")
    server.kill()
    server.args = ["--faha.pool-bytes", "64mb"]
    server.start()
    assert server.info()["pool_bytes"] == 64 << 20 and server.info()["domain"] == "cacheline"
    assert server.client().get("k") == "v"
    for i in range(20):
        assert server.client().set(f"k{i}", "x" * (1 << 20))
    server.kill()
    server.start()
    assert all(server.client().strlen(f"k{i}") == 1 << 20 for i in range(20))


@pytest.mark.skipif(bool(POOLS), reason="the device of a file system")
def test_a_block_device_is_no_pool(make_server):
    server = make_server(args=["--faha.pool-path", str(next(pathlib.Path("/dev").glob("pmem*")))])
    assert "neither a file nor a device DAX" in refusal(server)
