"""Pools grow by configuration: a larger faha.pool-bytes and a restart, with no copy; they never shrink."""

import pytest
import redis

from cluster import wait_for

MB = 1 << 20
VALUE = "x" * 20_000


def pool_of(megabytes):
    return ["--faha.segment-bytes", "1mb", "--faha.pool-bytes", f"{megabytes}mb"]


def fill(client, prefix):
    """Writes until the pool is full; returns the keys."""
    keys = []
    with pytest.raises(redis.exceptions.ResponseError, match="NOSPACE the pool is full"):
        for i in range(100_000):
            client.set(f"{prefix}{i}", VALUE)
            keys.append(f"{prefix}{i}")
    return keys


def has_all(client, keys):
    return all(client.strlen(key) == len(VALUE) for key in keys)


def restart(server, megabytes):
    server.kill()
    server.args = pool_of(megabytes)
    server.start()


def test_a_full_pool_writes_again(make_server):
    server = make_server(args=pool_of(8)).start()
    before = fill(server.client(), "before")
    inode = server.pool_path.stat().st_ino
    restart(server, 16)
    wait_for(lambda: server.info()["state"] == "serving", what="the node to serve")
    assert "has grown from 8388608 to 16777216 bytes" in server.log()
    assert server.pool_path.stat().st_ino == inode, "it was copied"
    assert server.info()["pool_usable_bytes"] == 14 * MB
    after = fill(server.client(), "after")
    assert len(after) > len(before)

    restart(server, 8)
    wait_for(lambda: server.info()["state"] == "serving", what="the node to serve")
    assert "keeps its 16777216 bytes: it does not shrink to faha.pool-bytes, 8388608" in server.log()
    assert server.pool_path.stat().st_size == 16 * MB == server.info()["pool_bytes"]
    assert has_all(server.client(), before + after)


def test_a_pool_that_cannot_grow_is_left_as_it_is(make_server):
    server = make_server(args=pool_of(8)).start()
    server.client().set("k", "v")
    server.kill()
    before = server.pool_path.read_bytes()
    server.args = pool_of(100_000_000)
    assert server.spawn().process.wait(timeout=30) != 0
    assert "faha: NOSPACE cannot grow the pool" in server.log() and "lower faha.pool-bytes" in server.log()
    assert server.pool_path.read_bytes() == before, "the pool was changed"
    restart(server, 8)
    assert server.client().get("k") == "v"


def test_a_cluster_grows_backups_first(make_cluster):
    cluster = make_cluster(args=pool_of(8))
    primary, backups = cluster[0], cluster.nodes[1:]
    before = fill(primary.client(), "before")
    for backup in backups:
        restart(backup, 16)
        wait_for(lambda: f":{backup.port} has changed and stays a member" in primary.log(), what="the news")
        cluster.wait_in_sync(primary)
        assert primary.info()["pool_usable_bytes"] == 6 * MB
        with pytest.raises(redis.exceptions.ResponseError, match="NOSPACE"):
            primary.client().set("k", VALUE)
    restart(primary, 16)
    cluster.wait_in_sync(primary)
    wait_for(lambda: all(node.info()["pool_usable_bytes"] == 14 * MB for node in cluster.nodes), what="the room")
    after = fill(primary.client(), "after")
    assert len(after) > len(before)
    primary.kill()
    cluster.promote(cluster[2])
    assert has_all(cluster[2].client(), before + after)


def test_a_smaller_pool_is_refused_and_told_its_size(make_server):
    primary, late = make_server(args=pool_of(10)).start(), make_server(args=pool_of(8)).start()
    assert primary.client().set("k", "v")
    late.client().execute_command("REPLICAOF", "127.0.0.1", primary.port)
    wait_for(lambda: "POOLSIZE" in late.info()["last_error"], what="the refusal")
    assert "set its faha.pool-bytes to at least 10485760 and restart it" in late.info()["last_error"]
    restart(late, 10)
    late.client().execute_command("REPLICAOF", "127.0.0.1", primary.port)
    wait_for(lambda: primary.info()["in_sync_backups"] == 1, what="the backup")


def test_a_domain_that_promises_too_much_is_a_warning(make_server):
    detected = make_server().start()
    assert detected.info()["domain_source"] == "detected" and detected.info()["domain"] in ("page", "volatile")
    configured = make_server(args=["--faha.persistence-domain", "cacheline"]).start()
    assert configured.info()["domain_source"] == "configured" and configured.info()["domain"] == "cacheline"
    assert "faha.persistence-domain cacheline promises more" in configured.log()
    assert "promises more" not in detected.log()


def test_a_small_pool_needs_no_size_of_segments(make_server):
    server = make_server(args=["--faha.segment-bytes", "0", "--faha.pool-bytes", "16mb"]).start()
    value = "v" * 900_000
    assert server.client().set("k", value)
    server.kill()
    server.start()
    assert server.client().get("k") == value and server.info()["segments"] == 14
