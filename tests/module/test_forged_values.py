"""What a client writes into values is never taken for anything else, whatever it looks like."""

import random

import forger
from cluster import wait_for
from test_check import check
from test_space import SMALL

KEYS = 12
SIZE = 300_000


def guesses(server):
    """Of the cluster's key, by somebody who sees INFO."""
    info = server.info()
    return [forger.NO_KEY, bytes.fromhex(info["cluster"]), bytes.fromhex(info["node"])]


def write(server, model, rounds, generations, pick):
    """SETs of forged values, each of which is another one."""
    client = server.client(decode_responses=False)
    secrets = guesses(server)
    for i in range(rounds):
        key = f"key{pick.randrange(KEYS)}".encode()
        prefix = f"{len(model)}.{i}.{pick.random()}".encode()
        value = forger.value(prefix, key, pick.randrange(1000, SIZE), generations, secrets, pick)
        assert client.set(key, value)
        model[key] = value


def assert_holds(server, model):
    client = server.client(decode_responses=False)
    assert client.dbsize() == len(model)
    for key, value in model.items():
        assert client.get(key) == value


def test_batches_in_values_are_values(make_server):
    server, model, pick = make_server(args=SMALL).start(), {}, random.Random(1)
    generations = range(1, 80)  # of the pool's 14 segments, used several times over
    for _ in range(6):
        write(server, model, 60, generations, pick)
        server.kill()
        server.start()
        assert_holds(server, model)
    server.kill()
    code, out, _ = check(server.pool_path)
    assert code == 0, out
    assert "verdict: clean" in out
    server.start()
    assert_holds(server, model)


def test_nor_are_they_on_the_backups(make_cluster):
    cluster, model, pick = make_cluster(args=SMALL), {}, random.Random(2)
    write(cluster[0], model, 250, range(1, 80), pick)
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    cluster.wait_in_sync(wait_for(cluster.primary))
    assert_holds(cluster.primary(), model)
    assert "CORRUPT" not in cluster.logs()
