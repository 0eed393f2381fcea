"""Servers whose batches go over RDMA: run in a guest by tests/vm/servers."""

import contextlib
import re
import time

import pytest
import redis

from cluster import HOST, POOLS, wait_for


def peers(node):
    """FAHA.STATUS' peers by their Redis port."""
    status = node.client().execute_command("FAHA.STATUS")
    fields = dict(zip(status[::2], status[1::2]))
    each = [dict(zip(peer[::2], peer[1::2])) for peer in fields["peers"]]
    return {int(peer["redis"].rsplit(":", 1)[1]): peer for peer in each}


def test_the_batches_go_over_rdma(make_cluster):
    cluster = make_cluster()
    client = cluster[0].client()
    for i in range(200):
        client.set(f"k{i}", f"v{i}")
    how = "device DAX" if POOLS else "MAP_SYNC"
    for node in cluster.nodes:
        assert node.info()["fabric"] == "rdma" and not node.info()["fabric_remark"]
        assert node.info()["domain"] == "cacheline" and node.info()["domain_source"] == "detected"
        assert re.search(rf"{node.pool_path.name} is cacheline \({how}, region\d+ says memory_controller\)", node.log())
        landing = "land in the pool directly" if POOLS else "land in a ring"
        assert landing in node.log()
    # Native flush needs a device that has it, and persistent memory in which batches land.
    assert {peer["fabric"] for peer in peers(cluster[0]).values()} in ({"rdma"}, {"rdma+flush"} if POOLS else {"rdma"})
    cluster[0].kill()
    cluster.promote(cluster[1])
    assert cluster[1].client().mget([f"k{i}" for i in range(200)]) == [f"v{i}" for i in range(200)]


def test_values_larger_than_a_ring(make_cluster):
    cluster = make_cluster()
    client = cluster[0].client()
    values = {f"k{size}": chr(97 + size % 26) * size for size in (1, 100, 5000, 70_000, 600_000, 3_000_000)}
    for key, value in values.items():
        assert client.set(key, value)
    cluster[0].kill()
    cluster.promote(cluster[2])
    assert {key: cluster[2].client().get(key) for key in values} == values


def test_a_killed_backup(make_cluster):
    cluster = make_cluster()
    client, backup = cluster[0].client(), cluster[2]
    client.set("before", "1")
    backup.kill()
    start = time.monotonic()
    assert client.set("without", "1")
    print(f"the first write after the kill took {1000 * (time.monotonic() - start):.0f} ms")
    wait_for(lambda: cluster[0].info()["in_sync_backups"] == 1, what="the loss to be noticed")
    assert client.set("two", "1")
    backup.start()
    cluster.wait_in_sync(cluster[0])
    assert peers(cluster[0])[backup.port]["fabric"].startswith("rdma")


def test_auto_falls_back_and_says_so(make_server):
    """One node ships over TCP only: with auto the others do so too, with rdma they refuse."""
    source = make_server(args=["--faha.fabric", "tcp"]).start()
    auto, rdma = make_server(args=["--faha.fabric", "auto"]).start(), make_server().start()
    for node in (auto, rdma):
        node.client().execute_command("REPLICAOF", HOST, source.port)
    wait_for(lambda: auto.info()["state"] == "following", what="the node to follow")
    assert auto.info()["fabric"] == "tcp"
    wait_for(lambda: "set faha.fabric" in rdma.info()["last_error"], what="the reason")
    assert rdma.info()["state"] == "seeking"


def test_an_address_that_no_device_has(make_server):
    loopback = ["--faha.bind", "127.0.0.1", "--faha.announce-host", "127.0.0.1"]
    auto = make_server(args=["--faha.fabric", "auto", *loopback]).start()
    assert auto.info()["fabric"] == "tcp" and "set faha.bind" in auto.info()["fabric_remark"]
    assert "batches go over TCP" in auto.log()
    refused = make_server(args=loopback).spawn()
    assert refused.process.wait(30) != 0
    assert re.search(r"UNAVAILABLE .*127.0.0.1 .*set faha.bind", refused.log())


def test_another_secret(make_server):
    first, second = make_server().start(), make_server(args=["--faha.secret", "another"]).start()
    second.client().execute_command("REPLICAOF", HOST, first.port)
    for node in (first, second):
        wait_for(lambda: "DENIED" in node.info()["last_error"], what="the reason")
    with contextlib.closing(first.client()) as client:
        assert client.set("k", "v")
    with pytest.raises(redis.exceptions.ReadOnlyError):
        second.client().set("k", "v")
