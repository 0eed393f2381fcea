"""SAVE and BGSAVE write what FaHA holds as a dump: stock Redis loads it, it is of one moment, and it is whole or not there."""

import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest
import redis

from cluster import wait_for
from resp import Connection
from twins import assert_nothing_native

LIBRARY = "#!lua name=lib\nredis.register_function('answer', function() return 42 end)"
SMALL = ["--faha.segment-bytes", "1mb", "--faha.pool-bytes", "16mb"]
OPEN = ["--enable-protected-configs", "yes"]
KEPT = "and an older one stays as it is"


def file_of(server):
    return server.folder / "faha-dump.rdb"


def unfinished(server):
    return server.folder / "faha-dump.rdb.new"


def persistence(server):
    with contextlib.closing(server.client()) as client:
        return client.info("persistence")


def child_of(server):
    """The process id of the server's child, or None."""
    pid = server.process.pid
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


def state_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return None


def wait_for_end(server):
    wait_for(lambda: persistence(server)["rdb_bgsave_in_progress"] == 0, what="the snapshot to end")


def begin(server):
    """Begins a snapshot now.  While another child of Redis works (a backup rewrites its AOF after it has joined), BGSAVE
    is refused; redis-py's own call adds SCHEDULE, which would begin it at some later time."""

    def begins():
        try:
            return client.execute_command("BGSAVE")
        except redis.ResponseError as error:
            if not str(error).startswith("Another child process is active"):
                raise
            return False

    with contextlib.closing(server.client()) as client:
        wait_for(begins, what="the other child to end")


def bgsave(server):
    begin(server)
    wait_for_end(server)
    assert persistence(server)["rdb_last_bgsave_status"] == "ok", server.log()


def stopped_child(server):
    """Begins a snapshot and stops its process while a part is written; None if the process was faster, and has ended."""
    begin(server)
    pid = child_of(server)
    while pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: state_of(pid) in (None, "T", "Z"), what="the process to stop")
        if state_of(pid) != "T":
            break
        if unfinished(server).exists():
            return pid
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.001)
    wait_for_end(server)
    return None


@contextlib.contextmanager
def stopped(server):
    """A snapshot whose process is stopped in the middle of its work; yields the process id."""
    pid = wait_for(lambda: stopped_child(server), what="a snapshot that is not written at once")
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def load(make_server, path, databases=16):
    """A stock server that has loaded the file, which redis-check-rdb finds nothing wrong with."""
    checked = subprocess.run(["redis-check-rdb", str(path)], capture_output=True, text=True)
    assert checked.returncode == 0 and "Checksum OK" in checked.stdout, checked.stdout
    stock = make_server(faha=False, args=["--appendonly", "no", "--databases", str(databases)])
    shutil.copy(path, stock.folder / "dump.rdb")
    return stock.start()


def contents(server, db):
    """What each key of a database is: its dump, and when it expires."""
    with contextlib.closing(server.client(db=db, decode_responses=False)) as client:
        keys = client.keys("*")
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.dump(key)
            pipeline.execute_command("PEXPIRETIME", key)
        answers = pipeline.execute()
    return dict(zip(keys, zip(answers[::2], answers[1::2])))


def assert_equal(server, stock, databases=16):
    assert stock.client().info("keyspace").keys() == server.client().info("keyspace").keys()
    for db in range(databases):
        assert contents(server, db) == contents(stock, db)


def fill(server, megabytes, seed=1, keys=None, at_once=100):
    """Keys of some 10 kB that do not compress; returns how many there are."""
    generator = random.Random(seed)
    count = megabytes * 100
    with contextlib.closing(server.client()) as client:
        for start in range(0, count, at_once):
            client.mset({f"k{(start + i) % (keys or count)}": generator.randbytes(10_000) for i in range(at_once)})
    return count


# --- What is in the file.


def test_stock_redis_loads_what_there_is(make_server):
    server = make_server(args=["--faha.pool-bytes", "128mb", "--faha.segment-bytes", "16mb"]).start()
    generator = random.Random(5)
    for db in (0, 3, 15):
        client = server.client(db=db, decode_responses=False)
        client.set(b"", b"")
        client.set(b"\0\xff\r\n", bytes(range(256)))
        for size in (1, 63, 64, 16383, 16384, 70_000, 3_000_000, 9_000_000 if db == 3 else 0):
            client.set(b"size %d" % size, generator.randbytes(size))
        client.mset({f"number {number}": str(number) for number in (0, -1, 12, 300, 70_000, 2**40, 2**63 - 1)})
        for i in range(500):
            client.set(f"expires {i}", f"{db}:{i}", pxat=4_000_000_000_000 + i)
        client.pfadd("pf", *range(1000 + db))
        client.append("appended", "a" * 1000)
    server.client().swapdb(3, 7)
    server.client().function_load(LIBRARY)
    server.client().set("long gone", "v", px=1)
    wait_for(lambda: server.client().get("long gone") is None, what="its time")
    bgsave(server)
    stock = load(make_server, file_of(server))
    assert_equal(server, stock)
    assert stock.client(db=7).pfcount("pf") == server.client(db=7).pfcount("pf") > 900
    assert stock.client().fcall("answer", 0) == 42
    assert stock.client().function_list() == server.client().function_list()
    assert_nothing_native(server)
    keys = sum(server.client(db=db).dbsize() for db in range(16))
    size = file_of(server).stat().st_size
    lsn = server.info()["committed_lsn"]
    line = f"snapshot written: {file_of(server)} has the keys as of LSN {lsn}, {keys} keys in {size} bytes"
    assert line in server.log()
    assert f"faha-lsn = '{lsn}'" in subprocess.run(
        ["redis-check-rdb", str(file_of(server))], capture_output=True, text=True
    ).stdout


def test_a_key_whose_time_has_come_is_left_out(make_server):
    """Also one that nobody has deleted yet: expiry is paused with the clients."""
    server = make_server().start()
    client = server.client()
    client.set("stays", "v", px=100_000)
    client.set("goes", "v", px=50)
    client.execute_command("CLIENT", "PAUSE", 3_000_000, "WRITE")
    time.sleep(0.06)  # its time passes
    assert client.dbsize() == 2
    assert client.save()
    stock = load(make_server, file_of(server))
    assert stock.client().keys() == ["stays"]
    # And nothing was loaded that expired on the way.
    assert stock.client().info("persistence")["rdb_last_load_keys_expired"] == 0


def test_nothing_at_all(make_server):
    server = make_server().start()
    bgsave(server)
    assert load(make_server, file_of(server)).client().dbsize() == 0
    assert server.client().save()


def test_a_name_of_its_own(make_server):
    """Redis' own dump is another file, and FaHA's is no data that FaHA did not write."""
    server = make_server(args=OPEN).start()
    client = server.client()
    client.config_set("dbfilename", "other.rdb")
    client.set("k", "v")
    client.save()
    assert (server.folder / "faha-other.rdb").exists() and not (server.folder / "other.rdb").exists()
    assert oct((server.folder / "faha-other.rdb").stat().st_mode & 0o777) == "0o600"
    client.config_set("dbfilename", "dump.rdb")
    client.save()
    client.shutdown(save=True)
    assert server.process.wait(30) == 0
    assert (server.folder / "dump.rdb").exists() and file_of(server).exists()
    server.start()
    assert server.client().get("k") == "v"
    assert_nothing_native(server)


# --- The commands.


def test_answers_are_those_of_redis(twins):
    for call in (
        ["BGSAVE", "x"], ["BGSAVE", "SCHEDULE", "x"], ["BGSAVE", "schedule", "schedule"], ["SAVE", "x"], ["LASTSAVE", "x"],
        ["EVAL", "return redis.call('bgsave')", "0"], ["EVAL", "return redis.call('save')", "0"],
    ):  # fmt: skip
        stock, faha = [connection.call(*call) for connection in twins.connections]
        assert faha[0] == stock[0] and faha[1].replace("faha.", "") == stock[1]
    for call, expected in ((["BGSAVE"], ("+", "Background saving started")), (["SAVE"], ("+", "OK"))):
        for connection in twins.connections:
            wait_for(lambda connection=connection: "rdb_bgsave_in_progress:0" in connection.call("INFO")[1], what="the last one")
            assert connection.call(*call) == expected
    for connection in twins.connections:
        connection.call("MULTI")
        assert connection.call("SAVE") == ("-", "ERR Command not allowed inside a transaction")
        assert connection.call("EXEC")[1].startswith("EXECABORT ")
        for call in (["MULTI"], ["BGSAVE"], ["BGSAVE", "SCHEDULE"]):
            connection.call(*call)
        assert connection.call("EXEC")[1] == [("+", "Background saving scheduled")] * 2
        wait_for(lambda connection=connection: "rdb_bgsave_in_progress:0" in connection.call("INFO")[1], what="the last one")
        assert "rdb_last_bgsave_status:ok" in connection.call("INFO")[1]


def test_what_is_told_of_it(make_server):
    server = make_server().start()
    client = server.client()
    started = client.lastsave()
    before = persistence(server)
    assert abs(time.time() - started.timestamp()) < 60 and before["rdb_last_save_time"] == started.timestamp()
    assert before["rdb_changes_since_last_save"] == 0 and before["rdb_last_bgsave_time_sec"] == -1
    fill(server, 30)
    assert persistence(server)["rdb_changes_since_last_save"] == 3000
    wait_for(lambda: int(time.time()) > started.timestamp(), what="the next second")
    with stopped(server):
        client.set("k0", "later")
        running = persistence(server)
        assert running["rdb_bgsave_in_progress"] == 1 and running["rdb_current_bgsave_time_sec"] >= 0
        assert client.lastsave() == started
        with pytest.raises(redis.ResponseError, match="^Background save already in progress$"):
            client.bgsave()
        with pytest.raises(redis.ResponseError, match="^Background save already in progress$"):
            client.execute_command("BGSAVE", "SCHEDULE")
        with pytest.raises(redis.ResponseError, match="^Background save already in progress$"):
            client.save()
    wait_for_end(server)
    after = persistence(server)
    assert client.lastsave() > started and after["rdb_last_save_time"] == client.lastsave().timestamp()
    assert after["rdb_last_bgsave_status"] == "ok" and after["rdb_last_bgsave_time_sec"] >= 0
    assert after["rdb_saves"] == 1
    assert after["rdb_current_bgsave_time_sec"] == -1 and after["rdb_changes_since_last_save"] == 1
    stock = load(make_server, file_of(server))
    assert stock.client(decode_responses=False).get("k0") != b"later"


def test_a_write_of_the_same_turn_is_in_it(make_server):
    server = make_server().start()
    connection = Connection(server.port)
    for i in range(20):
        connection.send("SET", "k", i)
        connection.send("BGSAVE")
        connection.send("SET", "k", "later")
        assert [connection.read() for _ in range(3)][1] == ("+", "Background saving started")
        wait_for_end(server)
    assert load(make_server, file_of(server)).client().get("k") == "19"


def test_save_in_a_transaction(make_server):
    server = make_server().start()
    pipeline = server.client().pipeline()
    pipeline.set("k", "v").execute_command("SAVE")
    with pytest.raises(redis.exceptions.ResponseError, match="Command not allowed inside a transaction"):
        pipeline.execute()
    assert not file_of(server).exists() and server.client().exists("k") == 0


def test_beside_another_child(make_server):
    """One at a time: Redis' AOF, or a snapshot; what is scheduled comes after the other."""
    server = make_server().start()
    client = server.client()
    fill(server, 30)
    with stopped(server):
        assert client.bgrewriteaof()
        assert persistence(server)["aof_rewrite_scheduled"] == 1
    wait_for_end(server)
    wait_for(lambda: persistence(server)["aof_rewrite_in_progress"] + persistence(server)["aof_rewrite_scheduled"] == 0)
    # The AOF's child comes into being with the server stopped, and lives until the server takes note of its end.
    written = client.lastsave()
    wait_for(lambda: int(time.time()) > written.timestamp(), what="the next second")
    connection = Connection(server.port)
    for call in (["BGREWRITEAOF"], ["BGSAVE"], ["BGSAVE", "SCHEDULE"]):
        connection.send(*call)
    answers = [connection.read() for _ in range(3)]
    assert answers[1][1].startswith("ERR Another child process is active (AOF?): can't BGSAVE right now.")
    assert answers[2] == ("+", "Background saving scheduled")
    wait_for(lambda: client.lastsave() > written, what="the scheduled one")
    assert load(make_server, file_of(server)).client().dbsize() == 3000


# --- One moment.


class Writers:
    """Transactions that set all of some keys to one number, beside overwrites of large values."""

    KEYS = [f"part {i}" for i in range(20)]

    def __init__(self, server, keys):
        self.server, self.keys, self.errors = server, keys, []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(target,)) for target in (self.count, self.overwrite)]

    def run(self, target):
        try:
            with contextlib.closing(self.server.client()) as client:
                target(client)
        except redis.RedisError as error:
            self.errors.append(error)

    def count(self, client):
        number = 0
        while not self.over.is_set():
            number += 1
            pipeline = client.pipeline()
            for key in self.KEYS:
                pipeline.set(key, str(number) + "." * (number % 700))
            pipeline.execute()

    def overwrite(self, client):
        generator = random.Random(3)
        while not self.over.is_set():
            pipeline = client.pipeline(transaction=False)
            for _ in range(20):
                pipeline.set(f"k{generator.randrange(self.keys)}", generator.randbytes(10_000))
            pipeline.execute()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def assert_one_moment(stock, keys):
    with contextlib.closing(stock.client()) as client:
        parts = client.mget(Writers.KEYS)
        assert None not in parts and len(set(parts)) == 1, "parts of different transactions"
        assert client.dbsize() == keys + len(parts)


@pytest.mark.parametrize("megabytes", [6, 9], ids=["half full", "full"])
def test_a_pool_that_is_written_over_and_over(make_server, megabytes):
    """Of 16 segments so many are live: each snapshot is of one moment, or it is given up; no client notices."""
    server = make_server(args=SMALL).start()
    keys = fill(server, megabytes)
    written = 0
    with Writers(server, keys) as writers:
        wait_for(lambda: server.info()["cleaned_segments"] > 20 or writers.errors, what="cleaning")
        for _ in range(12):
            begin(server)
            wait_for_end(server)
            if persistence(server)["rdb_last_bgsave_status"] == "ok":
                written += 1
                stock = load(make_server, file_of(server))
                assert_one_moment(stock, keys)
                stock.kill()
        cleaned = server.info()["cleaned_segments"]
        wait_for(lambda: server.info()["cleaned_segments"] > cleaned + 20 or writers.errors, what="cleaning to go on")
    assert writers.errors == []
    assert written > 0 or megabytes > 6, server.log()


def test_space_comes_first(make_server):
    """A snapshot that does not come to its end is given up before anybody waits for space or is refused."""
    server = make_server(args=SMALL).start()
    client = server.client()
    fill(server, 7)
    bgsave(server)
    before, saved = file_of(server).read_bytes(), client.lastsave()
    with stopped(server) as pid:
        fill(server, 40, seed=2, keys=700)  # which fails if a write is refused
        wait_for(lambda: state_of(pid) is None, what="the process to be ended")
        wait_for_end(server)
        told = persistence(server)
        assert told["rdb_last_bgsave_status"] == "err" and client.lastsave() == saved
    reason = f"NOSPACE no snapshot was written to {file_of(server)}, {KEPT}: what is written now needs the space"
    assert reason in server.log() and server.info()["last_error"].startswith(reason)
    assert file_of(server).read_bytes() == before and not unfinished(server).exists()
    bgsave(server)
    stock = load(make_server, file_of(server))
    assert_equal(server, stock)


# --- Backups.


def test_a_backup_writes_what_it_has(make_cluster, make_server):
    cluster = make_cluster()
    fill(cluster[0], 5)
    cluster[0].client(db=4).set("k", "v", pxat=4_000_000_000_000)
    cluster[0].client().function_load(LIBRARY)
    lsn = cluster[0].info()["committed_lsn"]
    wait_for(lambda: cluster[1].info()["applied_lsn"] >= lsn, what="the backup")
    bgsave(cluster[1])
    stock = load(make_server, file_of(cluster[1]))
    assert_equal(cluster[0], stock)
    assert stock.client().fcall("answer", 0) == 42
    assert cluster[2].client().save()
    assert_equal(cluster[0], load(make_server, file_of(cluster[2])))


def test_a_backup_under_writes(make_cluster, make_server):
    # A node that this machine keeps waiting is not given up on: it would have no whole log for a while, and no snapshot.
    patient = ["--faha.persist-timeout", "20000", "--faha.lease", "20000"]
    cluster = make_cluster(args=[*SMALL, *patient])
    keys = fill(cluster[0], 6)
    written = 0
    with Writers(cluster[0], keys) as writers:
        wait_for(lambda: cluster[0].info()["cleaned_segments"] > 20 or writers.errors, what="cleaning")
        for _ in range(8):
            begin(cluster[1])
            wait_for_end(cluster[1])
            if persistence(cluster[1])["rdb_last_bgsave_status"] == "ok":
                written += 1
                stock = load(make_server, file_of(cluster[1]))
                assert_one_moment(stock, keys)
                stock.kill()
    assert writers.errors == [] and written > 0, f"{writers.errors}, {written} written: {cluster[1].log()}"


def test_a_backup_gives_a_snapshot_up_for_what_it_receives(make_cluster):
    cluster = make_cluster(args=SMALL)
    fill(cluster[0], 7)
    with stopped(cluster[1]) as pid:
        fill(cluster[0], 40, seed=2, keys=700)
        wait_for(lambda: state_of(pid) is None, what="the process to be ended")
    wait_for_end(cluster[1])
    assert persistence(cluster[1])["rdb_last_bgsave_status"] == "err"
    assert "NOSPACE no snapshot was written" in cluster[1].log()
    cluster.wait_in_sync(cluster[0])
    assert "did not persist" not in cluster[0].log() and "taking the whole log" not in cluster[1].log()


def test_a_backup_that_is_given_another_log(make_cluster):
    """What the snapshot would have read is gone."""
    cluster = make_cluster(args=SMALL)
    fill(cluster[0], 4)
    cluster[2].signal(signal.SIGSTOP)
    # Small writes: while the hung one is waited for, there is no room for a large one.
    fill(cluster[0], 60, seed=2, keys=400, at_once=10)
    wait_for(lambda: cluster[0].info()["in_sync_backups"] == 1, what="the others to go on")
    # The third node knows of nothing yet when its snapshot begins.
    connection = Connection(cluster[2].port)
    connection.send("BGSAVE")
    cluster[2].signal(signal.SIGCONT)
    begun = connection.read()[0] == "+"  # it is refused if the log was given up before
    wait_for(lambda: "the log is whole" in cluster[2].log(), what="the log")
    wait_for_end(cluster[2])
    assert not begun or "no snapshot was written" in cluster[2].log() or "snapshot written" in cluster[2].log()
    cluster.wait_in_sync(cluster[0])
    bgsave(cluster[2])


# --- What goes wrong.


def test_its_process_is_killed(make_server):
    server = make_server().start()
    client = server.client()
    fill(server, 30)
    bgsave(server)
    before, saved = file_of(server).read_bytes(), client.lastsave()
    with stopped(server) as pid:
        os.kill(pid, signal.SIGKILL)
        wait_for_end(server)
    assert persistence(server)["rdb_last_bgsave_status"] == "err" and client.lastsave() == saved
    assert f"UNAVAILABLE no snapshot was written to {file_of(server)}, {KEPT}: the process that wrote it was ended by signal 9" in server.log()
    assert file_of(server).read_bytes() == before and not unfinished(server).exists()
    bgsave(server)


def test_the_server_is_killed(make_server):
    """Its child ends at once, holds no connection open until then, and leaves the old file."""
    server = make_server().start()
    fill(server, 30)
    bgsave(server)
    before = file_of(server).read_bytes()
    fill(server, 10, seed=2, keys=1000)
    connection = Connection(server.port)
    with stopped(server) as pid:
        held = [os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
        assert not any("socket" in target for target in held), held
        server.kill()
        with pytest.raises(ConnectionError):
            connection.read()
        wait_for(lambda: state_of(pid) in (None, "Z"), what="the child to end")
    assert file_of(server).read_bytes() == before
    server.start()
    bgsave(server)
    assert not unfinished(server).exists()
    assert file_of(server).read_bytes() != before


def test_a_full_disk(make_server, folder):
    small = folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", small]).returncode != 0:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        server = make_server(args=OPEN).start()
        client = server.client()
        client.set("k", "v")
        client.config_set("dir", str(small))
        client.save()
        before = (small / "faha-dump.rdb").read_bytes()
        fill(server, 20)
        line = f"NOSPACE no snapshot was written to {small}/faha-dump.rdb, {KEPT}: cannot write"
        begin(server)
        wait_for_end(server)
        assert persistence(server)["rdb_last_bgsave_status"] == "err" and line in server.log()
        assert server.info()["last_error"].startswith(line)
        with pytest.raises(redis.ResponseError, match=f"^{re.escape(line)}"):
            client.save()
        assert [path.name for path in small.iterdir() if path.suffix != ".log"].count("faha-dump.rdb") == 1
        assert (small / "faha-dump.rdb").read_bytes() == before and not (small / "faha-dump.rdb.new").exists()
        client.config_set("dir", str(server.folder))
        bgsave(server)
        server.kill()
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_folder_that_is_not_there(make_server):
    server = make_server(args=OPEN).start()
    client = server.client()
    elsewhere = server.folder / "elsewhere"
    elsewhere.mkdir()
    client.config_set("dir", str(elsewhere))
    elsewhere.rmdir()
    with pytest.raises(redis.ResponseError, match="^IOERROR no snapshot was written"):
        client.save()


# --- The end of the server.


def test_shutdown_writes_it_if_told_to(make_server):
    server = make_server(args=["--save", "3600 1"]).start()
    server.client().set("k", "1")
    server.client().shutdown(nosave=True)
    assert server.process.wait(30) == 0
    assert not file_of(server).exists()
    server.start().client().set("k", "2")
    with contextlib.suppress(redis.ConnectionError):
        server.client().execute_command("SHUTDOWN")
    assert server.process.wait(30) == 0
    assert not file_of(server).exists(), "the pool has everything; nobody asked for a dump"
    server.start().client().set("k", "3")
    with contextlib.suppress(redis.ConnectionError):
        server.client().execute_command("SHUTDOWN", "NOW", "SAVE")
    assert server.process.wait(30) == 0
    assert load(make_server, file_of(server)).client().get("k") == "3"
    server.start().client().set("k", "4")
    server.client().config_set("shutdown-on-sigterm", "save now")
    server.signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    assert load(make_server, file_of(server)).client().get("k") == "4"
    server.args = []
    server.start().client().set("k", "5")
    server.client().config_set("shutdown-on-sigterm", "nosave")
    server.signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    assert load(make_server, file_of(server)).client().get("k") == "4"


def test_shutdown_ends_one_that_is_under_way(make_server):
    server = make_server().start()
    fill(server, 30)
    with stopped(server) as pid:
        server.signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        wait_for(lambda: state_of(pid) in (None, "Z"), what="the child to end")
    assert not file_of(server).exists() and not unfinished(server).exists()
    assert "it is asked again" not in server.log()
    assert server.start().client().dbsize() == 3000
