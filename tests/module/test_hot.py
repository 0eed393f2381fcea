"""The hot tier seen from outside: it changes how fast a key is read, and what it takes of memory, and nothing else."""

import random

import pytest
import redis
from cluster import wait_for

MB = 1 << 20


def fill(client, keys, value_bytes):
    with client.pipeline(transaction=False) as pipeline:
        for key in range(keys):
            pipeline.set(f"k{key}", f"{key}:".ljust(value_bytes, "v"))
        pipeline.execute()


def read(client, keys):
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.get(f"k{key}")
        return pipeline.execute()


def used_memory(client):
    return client.info("memory")["used_memory"]


def test_reads_are_counted_and_their_memory_is_the_servers(make_server):
    server = make_server(args=["--faha.hot-bytes", "8mb"]).start()
    client = server.client()
    fill(client, 3000, 1000)
    before = used_memory(client)
    read(client, range(3000))
    read(client, range(3000))
    info = server.info()
    assert info["hot_misses"] == 3000 and info["hot_hits"] == 3000
    assert info["hot_keys"] == 3000 and info["hot_admissions"] == 3000 and info["hot_evictions"] == 0
    assert 3 * MB < info["hot_used_bytes"] <= 8 * MB
    # What clients' buffers take comes on top.
    assert used_memory(client) - before > 3 * MB

    # More than fits.
    fill(client, 20_000, 1000)
    read(client, range(20_000))
    info = server.info()
    assert info["hot_evictions"] > 0 and info["hot_used_bytes"] <= 8 * MB
    assert info["hot_refreshes"] == 3000

    client.config_set("faha.hot-bytes", "0")
    wait_for(lambda: server.info()["hot_used_bytes"] == 0, what="the memory to be given back")
    assert server.info()["hot_keys"] == 0
    assert used_memory(client) - before < 3 * MB
    assert read(client, [7]) == ["7:".ljust(1000, "v")]
    assert server.info()["hot_keys"] == 0
    client.config_set("faha.hot-bytes", "2mb")
    wait_for(lambda: server.info()["hot_bytes"] == 2 * MB, what="the new limit")
    read(client, [7, 7])
    assert server.info()["hot_keys"] == 1 and read(client, [7]) == ["7:".ljust(1000, "v")]


def test_the_index_is_memory_of_the_server(make_server):
    server = make_server().start()
    client = server.client()
    before, index = used_memory(client), server.info()["index_bytes"]
    for start in range(0, 300_000, 10_000):
        client.mset({f"key:{i}": "v" for i in range(start, start + 10_000)})
    grown = server.info()["index_bytes"] - index
    assert 300_000 * 8 < grown < 300_000 * 24
    assert used_memory(client) - before > grown * 9 // 10
    client.flushall()
    wait_for(lambda: used_memory(client) - before < grown // 2, what="the memory to be given back")


def random_command(generator, client, model, keys):
    """One command for redis and for the dictionary; returns what they answer."""
    key = f"k{min(generator.randrange(keys), generator.randrange(keys))}"
    dice = generator.random()
    if dice < 0.5:
        return client.get(key), model.get(key)
    if dice < 0.7:
        value = generator.choice("abc") * generator.choice((0, 5, 100, 2000, 6000))
        model[key] = value
        return client.set(key, value), True
    if dice < 0.8:
        model[key] = model.get(key, "") + "x"
        return client.append(key, "x"), len(model[key])
    if dice < 0.85:
        return client.delete(key), 1 if model.pop(key, None) is not None else 0
    if dice < 0.95:
        names = [f"k{generator.randrange(keys)}" for _ in range(20)]
        return client.mget(names), [model.get(name) for name in names]
    names = [f"k{generator.randrange(keys)}" for _ in range(3)]
    values = {name: generator.choice("de") * generator.choice((1, 2000)) for name in names}
    model.update(values)
    return client.mset(values), True


def test_nobody_can_tell_a_hot_key_from_a_cold_one(make_cluster):
    args = ["--faha.hot-bytes", "1mb", "--faha.segment-bytes", "1mb", "--faha.pool-bytes", "14mb"]
    cluster, model, generator = make_cluster(args=args), {}, random.Random(3)
    client = cluster[0].client()
    for _ in range(25_000):
        answer, expected = random_command(generator, client, model, 1000)
        assert answer == expected
    info = cluster[0].info()
    assert info["hot_hits"] > 1000 and info["hot_evictions"] > 1000 and info["hot_ghost_hits"] > 0
    assert info["cleaned_segments"] > 0

    # A new primary has nothing in its tier, and every value.
    cluster[0].kill()
    heir = cluster[1]
    cluster.promote(heir)
    assert heir.info()["hot_keys"] == 0
    for key, value in model.items():
        assert heir.client().get(key) == value
    assert heir.client().dbsize() == len(model)
    assert heir.info()["hot_misses"] > 0


def test_a_planned_stop_with_hot_keys(make_server):
    server = make_server().start()
    client = server.client()
    fill(client, 2000, 200)
    read(client, range(0, 2000, 2))
    wait_for(lambda: server.info()["hot_keys"] == 1000, what="the last key that was read")
    client.shutdown(nosave=True)
    server.process.wait(30)
    server.start()
    assert server.info()["hot_keys"] == 0
    assert read(server.client(), range(2000)) == [f"{key}:".ljust(200, "v") for key in range(2000)]


def test_the_hot_tier_gives_way_to_maxmemory(make_server):
    server = make_server(args=["--faha.hot-bytes", "32mb"]).start()
    client = server.client()
    fill(client, 30_000, 1000)
    limit = used_memory(client) + 16 * MB
    client.config_set("maxmemory", limit)
    for start in range(0, 30_000, 1000):  # 30 MB, which fit into the tier, but not into the server
        read(client, range(start, start + 1000))
    wait_for(lambda: used_memory(client) < limit, what="the tier to give way")
    client.set("k0", "new")
    info = server.info()
    assert 0 < info["hot_bytes"] < 16 * MB and 0 < info["hot_keys"] < 20_000
    assert used_memory(client) < limit and client.info("stats")["evicted_keys"] == 0
    client.config_set("maxmemory", 0)
    wait_for(lambda: server.info()["hot_bytes"] == 32 * MB, what="the tier to take its room again")


def test_maxmemory_that_nothing_can_give_way_to(make_server):
    server = make_server().start()
    client = server.client()
    fill(client, 10_000, 100)
    read(client, range(10_000))
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", "1mb")
    wait_for(lambda: server.info()["hot_used_bytes"] == 0, what="the tier to give way")
    for command in ("SET k1 v", "MSET k1 v", "INCR n", "APPEND k1 v"):
        with pytest.raises(redis.ResponseError, match="command not allowed when used memory > 'maxmemory'"):
            client.execute_command(*command.split())
    assert client.get("k1") == "1:".ljust(100, "v") and client.delete("k2") == 1 and client.expire("k3", 100)
    assert client.dbsize() == 9999 and client.info("stats")["evicted_keys"] == 0
    wait_for(lambda: "MAXMEMORY maxmemory is reached" in server.log(), what="the log to say why")
    client.config_set("maxmemory", 0)
    assert client.set("k1", "v")
