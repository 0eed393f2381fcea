"""Media that fail under a running server: it stops serving by itself, tells nobody anything wrong, and does not crash."""

import contextlib
import os
import pathlib
import resource
import signal

import pytest
import redis

from cluster import wait_for

PAGE = ["--faha.persistence-domain", "page"]  # written by pwrite, also where tests have their files in memory
BIG = "v" * 400_000


def outcome(client, *command):
    """The reply, or the error that came in its place."""
    try:
        return client.execute_command(*command)
    except redis.exceptions.RedisError as error:
        return error


def limit_files(server, size):
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_write_that_finds_no_space_stops_the_service(make_server):
    """Once, in the middle of a command whose values fill several segments: the log has moved on then."""
    server = make_server(args=[*PAGE, "--faha.segment-bytes", "1mb"]).start()
    client = server.client(retry_on_error=[])
    assert client.set("before", "1")
    limit_files(server, 1 << 20)
    assert isinstance(outcome(client, "MSET", *[word for key in "abcd" for word in (key, BIG)]), redis.exceptions.RedisError)
    limit_files(server, resource.RLIM_INFINITY)
    assert all(isinstance(outcome(client, "SET", f"after{i}", "x"), redis.exceptions.RedisError) for i in range(10))
    assert server.process.poll() is None
    assert "faha: FENCED " in server.log() and "the file system gives no space to the pool's own file" in server.log()
    server.kill()
    server.start()
    client = server.client()
    assert client.get("before") == "1"
    assert client.set("after", "2")


@pytest.mark.parametrize("domain", ["page", "volatile"])
@pytest.mark.parametrize("writes", [False, True])
def test_a_pool_that_is_cut_short_under_its_primary(make_cluster, domain, writes):
    """The signal is that of a device that fails to read."""
    cluster = make_cluster(args=["--faha.persistence-domain", domain])
    primary, keys = cluster[0], {f"key{i}": f"{i}" * 2000 for i in range(300)}
    client = primary.client(retry_on_error=[])
    client.mset(keys)
    os.truncate(primary.pool_path, 8192)
    if writes:
        assert isinstance(outcome(client, "SET", "key0", "lost"), redis.exceptions.RedisError)
    for key, value in keys.items():
        found = outcome(client, "GET", key)
        assert found == value or isinstance(found, redis.exceptions.RedisError), f"{key} is {found}"
    wait_for(lambda: "faha: FENCED " in primary.log(), what="the primary to fence itself")
    assert "cannot be read at byte" in primary.log() or "was cut short" in primary.log()
    for command in (["GET", "key0"], ["SET", "key0", "x"]):
        # Whoever comes at the moment at which it drops its clients is dropped as well.
        answers = lambda: [found for found in [outcome(primary.client(retry_on_error=[]), *command)] if not isinstance(found, redis.exceptions.ConnectionError)]
        (refused,) = wait_for(answers, what="an answer")
        assert str(refused).startswith("FENCED "), refused
    assert primary.process.poll() is None
    cluster.promote(cluster[1])
    with contextlib.closing(cluster[1].client()) as successor:
        assert successor.mget(list(keys)) == list(keys.values())
    primary.kill()
    primary.log_path.unlink()
    primary.spawn()
    assert primary.process.wait(timeout=30) != 0
    primary.process = None
    assert any(f"faha: {code} " in primary.log() for code in ("POOLSIZE", "BADPOOL")), primary.log()


def test_a_backup_whose_pool_is_cut_short_leaves_the_others_alone(make_cluster):
    cluster = make_cluster(args=PAGE)
    os.truncate(cluster[2].pool_path, 8192)
    client = cluster[0].client()
    for i in range(50):
        assert client.set(f"key{i}", "v" * 1000)
    wait_for(lambda: "faha: FENCED " in cluster[2].log(), what="the backup to fence itself")
    assert cluster[2].process.poll() is None
    assert [client.get(f"key{i}") for i in range(50)] == ["v" * 1000] * 50


def catches_bus_errors(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return int(caught.split()[1], 16) >> (signal.SIGBUS - 1) & 1


def test_a_crash_handler_that_is_changed_later_is_no_way_around(make_server):
    server = make_server().start()
    client = server.client(retry_on_error=[])
    client.mset({f"key{i}": "v" * 2000 for i in range(100)})
    client.config_set("crash-log-enabled", "no")  # takes away whatever handles the signal
    wait_for(lambda: catches_bus_errors(server), what="the module to notice")
    os.truncate(server.pool_path, 8192)
    found = [outcome(client, "GET", f"key{i}") for i in range(100)]
    assert all(value == "v" * 2000 or isinstance(value, redis.exceptions.RedisError) for value in found)
    assert server.process.poll() is None


def test_a_script_that_meets_a_damaged_record_publishes_nothing_of_it(make_cluster):
    """Subscribers hear a message at once, on backups too: what was misread must not get as far as that."""
    cluster = make_cluster(args=["--faha.hot-bytes", "0"])
    primary = cluster[0]
    value = "a value that is found in the pool"
    client = primary.client(retry_on_error=[])
    assert client.set("k", value)
    with contextlib.closing(cluster[1].client().pubsub(ignore_subscribe_messages=True)) as subscriber:
        subscriber.subscribe("news")
        wait_for(lambda: client.publish("news", "first") is not None and subscriber.get_message(timeout=0.2), what="a message")
        with open(primary.pool_path, "r+b") as pool:
            at = pool.read().index(value.encode())
            pool.seek(at)
            pool.write(b"A")
        script = "local v = redis.call('GET', 'k') redis.call('PUBLISH', 'news', tostring(v)) return v"
        assert isinstance(outcome(client, "EVAL", script, 1, "k"), redis.exceptions.RedisError)
        wait_for(lambda: cluster.primary() not in (None, primary), what="another primary")
        assert cluster.primary().client().eval(script, 1, "k") == value
        heard = []

        def hears(what):
            if message := subscriber.get_message(timeout=0.2):
                heard.append(message["data"])
            return what in heard

        wait_for(lambda: hears(value), what="what the successor has published")
        assert set(heard) <= {"first", value}
