"""The primary's machine loses its power.  Run in the backups' guest by tests/vm/two_guests."""

import os
import pathlib
import threading
import time

import pytest
import redis

from cluster import POOLS, Server, wait_for

PRIMARY_HOST, PRIMARY_PORT = os.environ.get("FAHA_PRIMARY", "nowhere:0").split(":")
SHARE = pathlib.Path(os.environ.get("FAHA_SHARE", "."))


def primary_client(**options):
    return redis.Redis(PRIMARY_HOST, int(PRIMARY_PORT), decode_responses=True, socket_timeout=1, **options)


def info(client):
    return {key.removeprefix("faha_"): value for key, value in client.info("faha").items()}


@pytest.fixture
def backups(folder):
    servers = [Server(folder / f"n{i}", pool=pool) for i, pool in enumerate(POOLS)]
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.kill()


def test_the_primarys_machine_dies(backups):
    wait_for(lambda: primary_client().ping(), what="the other guest")
    for backup in backups:
        backup.client().execute_command("REPLICAOF", PRIMARY_HOST, PRIMARY_PORT)
    wait_for(lambda: info(primary_client())["in_sync_backups"] == 2, what="both backups in sync")
    wait_for(lambda: all(backup.info()["fabric"] == "rdma" for backup in backups))
    assert all("land in the pool directly" in backup.log() for backup in backups)

    acknowledged, stop = {}, threading.Event()

    def write(name):
        client = primary_client(retry_on_error=[])
        for i in range(1_000_000):
            if stop.is_set():
                return
            try:
                client.set(f"{name}:{i}", f"{name}={i}")
            except redis.exceptions.RedisError:
                return
            acknowledged[f"{name}:{i}"] = f"{name}={i}"

    writers = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(3)]
    for writer in writers:
        writer.start()
    wait_for(lambda: len(acknowledged) > 300, what="300 acknowledged writes")
    (SHARE / "kill").touch()
    wait_for((SHARE / "killed").exists, what="the power to be off")
    start = time.monotonic()
    for writer in writers:
        writer.join()
    heir = backups[0]
    assert heir.client().execute_command("FAHA.PROMOTE", 20000)
    print(f"\n{len(acknowledged)} writes were acknowledged; promoted {time.monotonic() - start:.1f} s after the power was gone")
    client = heir.client()
    for key, value in acknowledged.items():
        assert client.get(key) == value, f"{key} was acknowledged and is lost"
    client.set("after", "the change")

    (SHARE / "restart").touch()
    wait_for(lambda: heir.info()["in_sync_backups"] == 2, seconds=120, what="the old primary to return")
    returned = info(primary_client())
    assert returned["role"] == "backup" and returned["fabric"] == "rdma"
    wait_for(lambda: info(primary_client())["keys"] == heir.info()["keys"], what="the same keys")
