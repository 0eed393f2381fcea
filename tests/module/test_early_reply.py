"""No reply leaves before its write is persistent on a majority, not even where Redis sends it before the event loop sleeps.

The backups are stopped, so nothing can become persistent on a majority.  A SET is brought to the primary in a way that lets
its reply out early; then its value appears in the primary's pool, for the commit has begun, and waits.  A reply that can be
read by then has left too early.  Each case is run with its fix, and without it in a build that can switch it off: there the
reply must be seen, or the test shows nothing.
"""

import contextlib
import mmap
import select
import signal
import time

import pytest

from cluster import MUTANTS, server_version, wait_for
from resp import Connection, encode

LONG = "60000"  # milliseconds, longer than any test: neither lease nor patience ends
SLOW_SCRIPT = """
local function now() local time = redis.call('TIME') return time[1] * 1000000 + time[2] end
local start = now()
while now() - start < 300000 do end
return 'slow'
"""


class Stage:
    """A primary whose backups are stopped, and the question whether a reply has left."""

    def __init__(self, cluster, mutant):
        self.cluster, self.primary = cluster, cluster[0]
        admin = self.primary.client()
        admin.config_set("faha.mutant", mutant)
        admin.config_set("busy-reply-threshold", 10)
        self.value = f"the value of {mutant}"
        # From 7.2 on a client that was blocked goes on before the loop's end: there is no window to leave by.
        self.runs_behind_sleep = server_version(admin) < (7, 2)

    def connect(self):
        return Connection(self.primary.port)

    def stop_backups(self):
        for node in self.cluster.nodes[1:]:
            stop(node)

    def reply_left_early(self, connection):
        """Whether `connection` can read its +OK when the commit of its write has just begun.  Wakes the backups."""
        with open(self.primary.pool_path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pool:
            wait_for(lambda: pool.find(self.value.encode()) >= 0, what="the commit to begin")
        early = b"+OK\r\n" in connection.peek()
        for node in self.cluster.nodes[1:]:
            node.signal(signal.SIGCONT)
        while (reply := connection.read()) != ("+", "OK"):
            assert reply[0] != "-", reply
        wait_for(lambda: self.connect().call("GET", "k") == ("$", self.value), what="the script to end")
        return early


def stop(node):
    node.signal(signal.SIGSTOP)
    status = f"/proc/{node.process.pid}/stat"
    wait_for(lambda: open(status).read().rsplit(")", 1)[1].split()[0] in "Tt", what="the process to stop")


@contextlib.contextmanager
def one_turn(primary):
    """What is sent within meets in one turn of the primary's event loop."""
    stop(primary)
    yield
    primary.signal(signal.SIGCONT)


@pytest.fixture
def stage(make_cluster):
    def make(mutant):
        arguments = ["--faha.lease", LONG, "--faha.persist-timeout", LONG]
        return Stage(make_cluster(module=MUTANTS, args=arguments), mutant)

    return make


def with_and_without(mutant):
    return pytest.mark.parametrize("mutant", ["none", mutant])


@with_and_without("no-window-commit")
def test_a_pipeline_behind_a_wait(stage, mutant):
    stage = stage(mutant)
    stage.stop_backups()
    client = stage.connect()
    client.send_raw(encode("WAIT", 3, 100) + encode("SET", "k", stage.value))
    assert stage.reply_left_early(client) == (mutant != "none" and stage.runs_behind_sleep)


@with_and_without("no-window-commit")
def test_a_write_behind_a_pause(stage, mutant):
    stage = stage(mutant)
    stage.stop_backups()
    stage.connect().call("CLIENT", "PAUSE", 100, "WRITE")
    client = stage.connect()
    client.send("SET", "k", stage.value)
    assert stage.reply_left_early(client) == (mutant != "none" and stage.runs_behind_sleep)


@with_and_without("no-precommit")
def test_a_write_beside_a_slow_script(stage, mutant):
    stage = stage(mutant)
    stage.stop_backups()
    client, scripter = stage.connect(), stage.connect()
    with one_turn(stage.primary):
        client.send("SET", "k", stage.value)
        scripter.send("EVAL", SLOW_SCRIPT, 0)
    assert stage.reply_left_early(client) == (mutant != "none")
    assert scripter.read() == ("$", "slow")


@with_and_without("no-precommit")
def test_a_write_beside_a_slow_script_in_a_transaction(stage, mutant):
    stage = stage(mutant)
    client, scripter = stage.connect(), stage.connect()
    scripter.call("MULTI")
    scripter.call("EVAL", SLOW_SCRIPT, 0)
    stage.stop_backups()
    with one_turn(stage.primary):
        client.send("SET", "k", stage.value)
        scripter.send("EXEC")
    assert stage.reply_left_early(client) == (mutant != "none")
    assert scripter.read() == ("*", [("$", "slow")])


@with_and_without("no-precommit")
def test_a_write_in_a_transaction_before_a_slow_script(stage, mutant):
    """The other client's write runs in the same turn, before a transaction that writes and then is slow."""
    stage = stage(mutant)
    client, scripter = stage.connect(), stage.connect()
    for args in (["MULTI"], ["SET", "other", "x"], ["EVAL", SLOW_SCRIPT, 0]):
        scripter.call(*args)
    stage.stop_backups()
    with one_turn(stage.primary):
        client.send("SET", "k", stage.value)
        scripter.send("EXEC")
    assert stage.reply_left_early(client) == (mutant != "none")
    assert scripter.read()[1][1] == ("$", "slow")


@pytest.mark.parametrize("mutant, appendonly", [("none", "yes"), ("none", "no"), ("no-barrier", "no")])
def test_a_client_whose_replies_wait(stage, mutant, appendonly):
    """Its socket is writable again in the turn in which its SET arrives.  Redis' own barrier orders the two; where the
    operator has switched that off, the write commits inside its command."""
    stage = stage(mutant)
    admin = stage.primary.client()
    admin.config_set("appendonly", appendonly)
    admin.set("filler", "x" * 10_000)
    stage.stop_backups()
    client = Connection(stage.primary.port, receive_buffer=8192)
    fill(client, admin)
    with one_turn(stage.primary):
        received = drain(client.socket)
        client.send("SET", "k", stage.value)
    client.feed(received)
    assert stage.reply_left_early(client) == (mutant != "none")


SET_BY_SCRIPT = "return redis.call('SET', 'k', ARGV[1])"
SET_OFTEN = "for i = 1, 10 do redis.call('SET', 'other', i) end return redis.status_reply('OK')"


def make_unordered(stage, admin):
    """A client whose replies wait already when the barrier is turned on: Redis makes it none before they are gone."""
    admin.set("filler", "x" * 10_000)
    admin.config_set("appendonly", "no")  # the module turns it on again, once
    wait_for(lambda: stage.primary.info()["barrier"] == 1, what="the barrier")
    admin.config_set("appendonly", "no")
    client = Connection(stage.primary.port, receive_buffer=8192)
    fill(client, admin)
    admin.config_set("appendonly", "yes")
    wait_for(lambda: stage.primary.info()["barrier"] == 1, what="the barrier")
    assert stage.primary.info()["unordered_clients"] == 1
    return client


@with_and_without("no-own-commit")
@pytest.mark.parametrize("command", [["SET", "k"], ["EVAL", SET_BY_SCRIPT, 0]], ids=["set", "script"])
def test_replies_that_waited_before_the_barrier(stage, mutant, command):
    """The client commits what it writes by itself until it has read its replies; nobody else does."""
    stage = stage(mutant)
    admin = stage.primary.client()
    client = make_unordered(stage, admin)
    assert commits_of(stage, [["SET", "other", "x"]] * 200) < 100
    assert commits_of(stage, [["EVAL", SET_OFTEN, 0]] * 20) < 100, "once before each script, as ever"
    stage.stop_backups()
    with one_turn(stage.primary):
        received = drain(client.socket)
        client.send(*command, stage.value)
    client.feed(received)
    assert stage.reply_left_early(client) == (mutant != "none")
    wait_for(lambda: stage.primary.info()["unordered_clients"] == 0, what="the replies to be gone")
    assert stage.primary.info()["barrier"] == 1


def commits_of(stage, lines):
    """How many commits the primary makes for `lines`, which arrive together."""
    client, before = stage.connect(), stage.primary.info()["commits"]
    client.send_raw(b"".join(encode(*line) for line in lines))
    for _ in lines:
        assert client.read() == ("+", "OK")
    return stage.primary.info()["commits"] - before


def fill(client, admin):
    """Sends GETs and reads nothing, until replies stay in the server: few enough to leave in one write."""
    identity = str(client.call("CLIENT", "ID")[1])

    def waiting():
        return int(admin.client_list(client_id=[identity])[0]["omem"])

    def stays():  # the kernel takes more as its buffers grow, until the reader's window is closed
        deadline = time.monotonic() + 0.5
        while (stayed := waiting() > 0) and time.monotonic() < deadline:
            time.sleep(0.01)
        return stayed

    while not stays():
        client.send("GET", "filler")
        wait_for(lambda: waiting() < 60_000, what="the kernel to take its share")


def drain(sock):
    """All that the kernel holds for `sock`."""
    received = b""
    while select.select([sock], [], [], 0.2)[0]:
        received += sock.recv(1 << 20)
    return received


def test_the_barrier_is_turned_on_and_kept(make_server):
    """A bare `redis-server --loadmodule faha.so` is safe, and becomes fast by itself."""
    server = make_server(args=["--appendonly", "no"]).start()
    admin = server.client()
    wait_for(lambda: server.info()["barrier"] == 1, what="the barrier")
    assert admin.config_get("append*") | {"appendonly": "yes", "appendfsync": "always"} == admin.config_get("append*")
    admin.set("k", "v")
    admin.config_set("appendfsync", "everysec")
    assert server.info()["barrier"] == 0
    wait_for(lambda: "BADCONFIG appendonly yes with appendfsync always was turned off" in server.log())
    assert admin.set("k", "w")
    admin.config_set("appendfsync", "always")
    wait_for(lambda: server.info()["barrier"] == 1, what="the barrier")
    incremental = list((server.folder / "appendonlydir").glob("*.incr.aof"))
    assert sum(path.stat().st_size for path in incremental) == 0, "nothing is written to the AOF"


def test_replies_of_a_failed_turn_never_leave(make_cluster):
    """A commit that fails in BEFORE_SLEEP: clients of that turn read end-of-file, and not one byte before it."""
    cluster = make_cluster(args=["--faha.persist-timeout", "200", "--faha.lease", LONG])
    clients = [Connection(cluster[0].port) for _ in range(3)]
    for node in cluster.nodes[1:]:
        stop(node)
    with one_turn(cluster[0]):
        clients[0].send("SET", "a", "1")
        clients[1].send("GET", "a")
        clients[2].send("INCR", "n")
    for client in clients:
        with pytest.raises(ConnectionError):
            client.read()
    for node in cluster.nodes[1:]:
        node.signal(signal.SIGCONT)
    cluster.wait_in_sync(cluster[0])
    with contextlib.closing(cluster[0].client()) as client:
        assert client.set("a", "2")
        assert client.get("a") == "2"
