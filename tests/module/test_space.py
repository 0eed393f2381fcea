"""Space comes back: pools are written many times over, nodes that were away are given the log, restarts find it all."""

import contextlib
import pathlib
import random
import threading

import pytest
import redis

from cluster import wait_for

SMALL = ["--faha.segment-bytes", "1mb", "--faha.pool-bytes", "16mb"]
VALUE = 1000


def overwrite(node, model, megabytes, keys=2000, seed=1):
    """Pipelined SETs, DELs and a few MSETs of random keys, remembered in `model`."""
    client = node.client()
    generator = random.Random(seed)
    for batch in range(megabytes * 1_000_000 // VALUE // 100):
        pipeline = client.pipeline(transaction=generator.random() < 0.1)
        for i in range(100):
            key = f"k{generator.randrange(keys)}"
            if generator.random() < 0.1:
                pipeline.delete(key)
                model.pop(key, None)
            else:
                value = f"{batch}:{i}:".ljust(VALUE, "v")
                pipeline.set(key, value)
                model[key] = value
        pipeline.execute()


def assert_equal(node, model, keys=2000):
    client = node.client()
    names = [f"k{i}" for i in range(keys)]
    for start in range(0, keys, 500):
        part = names[start : start + 500]
        assert client.mget(part) == [model.get(name) for name in part]
    assert client.dbsize() == len(model)


def test_a_pool_is_written_many_times_over(make_cluster):
    cluster, model = make_cluster(args=SMALL), {}
    overwrite(cluster[0], model, megabytes=100)
    info = cluster[0].info()
    assert info["cleaned_segments"] > 50
    assert info["live_bytes"] < 16 << 20
    assert_equal(cluster[0], model)
    # All nodes lose power at once.
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    cluster.wait_in_sync(wait_for(cluster.primary))
    assert_equal(cluster.primary(), model)
    # The backup has carried out the same.
    heir = next(node for node in cluster.nodes if node is not cluster.primary())
    cluster.primary().client().execute_command("FAHA.FAILOVER", "TO", "127.0.0.1", heir.port)
    wait_for(lambda: cluster.primary() is heir, what="the hand-over")
    assert_equal(heir, model)
    overwrite(heir, model, megabytes=30, seed=2)
    assert_equal(heir, model)


def test_a_node_that_was_away_for_too_long_is_given_the_whole_log(make_cluster):
    cluster, model = make_cluster(args=SMALL), {}
    overwrite(cluster[0], model, megabytes=3)
    cluster[2].kill()
    overwrite(cluster[0], model, megabytes=60, seed=2)
    writers = threading.Thread(target=overwrite, args=(cluster[0], model, 20, 2000, 3))
    writers.start()
    cluster[2].start()
    wait_for(lambda: "taking the whole log" in cluster[2].log(), what="the transfer")
    writers.join()
    cluster.wait_in_sync(cluster[0])
    assert "the log is whole" in cluster[2].log()
    cluster[0].kill()
    cluster.promote(cluster[2])
    assert_equal(cluster[2], model)


def test_a_damaged_pool_is_repaired_from_the_peers(make_cluster):
    cluster, model = make_cluster(args=SMALL), {}
    overwrite(cluster[0], model, megabytes=5)
    cluster[1].kill()
    pool = bytearray(cluster[1].pool_path.read_bytes())
    damaged = (2 << 20) + (1 << 20) + 1000
    pool[damaged] ^= 1
    cluster[1].pool_path.write_bytes(pool)
    cluster[1].start()
    cluster.wait_in_sync(cluster[0])
    assert "CORRUPT" in cluster[1].log() and "the log is whole" in cluster[1].log()
    cluster[0].kill()
    cluster.promote(cluster[1])
    assert_equal(cluster[1], model)


def test_a_full_pool_takes_deletes_and_then_writes_again(make_server):
    server = make_server(args=SMALL).start()
    client, count = server.client(), 0
    at_start = server.info()["pool_writable_bytes"]
    with pytest.raises(redis.exceptions.ResponseError, match="NOSPACE the pool is full"):
        for count in range(100_000):
            client.set(f"k{count}", "x" * 5000)
            if count == 1000:
                assert abs(at_start - server.info()["pool_writable_bytes"] - 1000 * 5000) < 100_000
    assert 0.8 * count * 5000 < at_start < 1.1 * count * 5000
    info = server.info()
    assert info["pool_writable_bytes"] == 0 and info["last_error"].startswith("NOSPACE ")
    # More than nine tenths of what is not in reserve holds live data.
    assert count * 5000 > 0.9 * (16 - 2 - 5) * (1 << 20)
    # One by one, and many at once, although the pool is full.
    for i in range(0, count, 4):
        assert client.delete(f"k{i}") == 1
    assert client.delete(*(f"k{i}" for i in range(1, count, 4))) == len(range(1, count, 4))
    # No operator, no restart: what was deleted can be written again.
    for i in range(0, count, 4):
        wait_for(lambda i=i: try_set(client, f"k{i}", "y" * 5000), what="room")
    assert client.get("k0") == "y" * 5000
    assert client.get("k1") is None
    assert client.get("k2") == "x" * 5000
    server.kill()
    client = server.start().client()
    assert client.dbsize() == len(range(0, count, 4)) + len(range(2, count + 1, 4)) + len(range(3, count + 1, 4)) - (
        1 if count % 4 in (2, 3) else 0
    )


def try_set(client, key, value):
    with contextlib.suppress(redis.exceptions.ResponseError):
        return client.set(key, value)
    return False


def test_unique_keys_that_come_and_go_leave_nothing_behind(make_server):
    """Deletes are records too: without an end to them a pool would fill up with nothing but what is gone."""
    server = make_server(args=SMALL).start()
    client = server.client()
    stay = {f"stay{i}": "s" * 1000 for i in range(2000)}
    client.mset(stay)
    for turn in range(60):
        pipeline = client.pipeline(transaction=False)
        for i in range(2000):
            pipeline.set(f"t{turn}:{i}", "v" * 100)
        for i in range(2000):
            pipeline.delete(f"t{turn}:{i}")
        pipeline.execute()
    assert client.dbsize() == len(stay)
    server.kill()
    client = server.start().client()
    assert client.dbsize() == len(stay)
    assert client.get("stay7") == stay["stay7"]


def test_flushes_give_everything_back(make_server):
    server = make_server(args=SMALL).start()
    client, other = server.client(), server.client(db=3)
    other.set("kept", "v")
    for turn in range(12):
        client.mset({f"k{turn}:{i}": "v" * 1000 for i in range(3000)})
        client.flushdb()
    assert client.dbsize() == 0
    assert other.get("kept") == "v"
    server.kill()
    server.start()
    assert server.client().dbsize() == 0
    assert server.client(db=3).get("kept") == "v"


def test_a_planned_stop_leaves_a_checkpoint_that_is_only_a_shortcut(make_server):
    server, model = make_server(args=SMALL), {}
    server.start()
    overwrite(server, model, megabytes=20)
    checkpoint = pathlib.Path(str(server.pool_path) + ".index")

    def stop():
        with contextlib.suppress(redis.exceptions.ConnectionError):
            server.client().shutdown(nosave=True)
        server.process.wait()
        server.log_path.unlink()

    stop()
    assert checkpoint.exists()
    server.start()
    assert "the index is that of the checkpoint" in server.log()
    assert_equal(server, model)
    # Of another state of the log.
    overwrite(server, model, megabytes=3, seed=2)
    server.kill()
    server.log_path.unlink()
    server.start()
    assert "belongs to another state of the log" in server.log()
    assert_equal(server, model)
    # Damaged.
    stop()
    bytes_ = bytearray(checkpoint.read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    checkpoint.write_bytes(bytes_)
    server.start()
    assert "is damaged: the log is replayed" in server.log()
    assert_equal(server, model)
    # Cut short, and gone.
    stop()
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    server.start()
    assert "is not used" in server.log()
    assert_equal(server, model)
    stop()
    checkpoint.unlink()
    server.start()
    assert "checkpoint" not in server.log()
    assert_equal(server, model)


def test_what_was_read_survives_that_room_is_made_for_the_write(make_server):
    """In a pool that is nearly full a command cleans the log between reading a value and writing what it made of it.

    Commands of a few bytes write 30 kB each, so one turn of the event loop writes more than is free.
    """
    server = make_server(args=["--faha.segment-bytes", "1mb", "--faha.pool-bytes", "12mb", "--faha.hot-bytes", "0"]).start()
    client, generator = server.client(), random.Random(11)
    size, model = 30_000, {}
    for i in range(150):
        model[f"k{i}"] = bytearray(bytes([ord("a") + i % 26]) * size)
        client.set(f"k{i}", bytes(model[f"k{i}"]))
    for _ in range(15):
        pipeline = client.pipeline(transaction=False)
        for _ in range(100):
            key = f"k{generator.randrange(len(model))}"
            for _ in range(3):
                offset, byte = generator.randrange(size), generator.choice(b"ABCDEF")
                change = generator.choice(("setrange", "setbit", "bitfield"))
                if change == "setrange":
                    pipeline.setrange(key, offset, chr(byte))
                    model[key][offset] = byte
                elif change == "setbit":
                    pipeline.setbit(key, 8 * offset + 7, 1)
                    model[key][offset] |= 1
                else:
                    pipeline.execute_command("BITFIELD", key, "SET", "u8", 8 * offset, byte)
                    model[key][offset] = byte
        pipeline.execute()
    for key, value in model.items():
        assert client.get(key).encode() == value, f"{key} is not what was written"
