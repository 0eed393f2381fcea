"""Stock redis-servers with faha.so on loopback, as a test needs them: started, killed, stopped, restarted."""

import contextlib
import dataclasses
import itertools
import mmap
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import redis

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULE = os.environ.get("FAHA_MODULE", str(ROOT / "build" / "release" / "faha.so"))
MUTANTS = os.environ.get("FAHA_MUTANTS", str(pathlib.Path(MODULE).with_name("faha_mutants.so")))
SERVER = os.environ.get("FAHA_SERVER", "redis-server")
# Under AddressSanitizer memory is another library's, and stock servers cannot load the module.
# As faha.packed-elements of every server; 0: each element of each collection is a record.
PACKED_ELEMENTS = os.environ.get("FAHA_PACKED_ELEMENTS")
SANITIZED = "asan" in SERVER
PORT_OFFSET = 10000
# Where the nodes live, what their batches go over, and their pools if those are no files: set in a guest.
HOST = os.environ.get("FAHA_HOST", "127.0.0.1")
FABRIC = os.environ.get("FAHA_FABRIC", "auto")
POOLS = [path for path in os.environ.get("FAHA_POOLS", "").split(",") if path]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a server lives: its address, and what a command there starts with."""

    host: str = HOST
    enter: tuple = ()


HERE = Place()
# With those of replication all below 32768: the system hands out what is above to whoever dials, also while a server is
# down for a moment.
_ports = itertools.count(11000 + os.getpid() * 37 % 620 * 16)
_claims = []  # sockets whose names say which ports are this process', also while no server listens there


def scratch(need_bytes):
    """Where servers may have their files: $FAHA_SCRATCH, or memory if it has room, or the system's folder (None)."""
    if "FAHA_SCRATCH" in os.environ:
        return os.environ["FAHA_SCRATCH"]
    memory = pathlib.Path("/dev/shm")
    with contextlib.suppress(OSError):
        if shutil.disk_usage(memory).free >= need_bytes and os.access(memory, os.W_OK):
            return memory
    return None


def wait_for(condition, seconds=30, what="the condition"):
    """The first true value of `condition()`; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, ConnectionError):
            if value := condition():
                return value
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def _bindable(port):
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _claimed(port):
    """Makes the port this process' own, until it ends.  False if another process of these tests has it."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0faha-test-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def free_port():
    """A port that is free together with the replication port that belongs to it."""
    for port in _ports:
        if port + PORT_OFFSET > 65535:
            raise RuntimeError("no free port")
        if _bindable(port) and _bindable(port + PORT_OFFSET) and _claimed(port) and _claimed(port + PORT_OFFSET):
            return port


def wipe(device):
    """Makes a pool on a device DAX one that was never used."""
    size = int(pathlib.Path("/sys/bus/dax/devices", pathlib.Path(device).name, "size").read_text())
    with open(device, "r+b") as file, mmap.mmap(file.fileno(), size) as pool:
        for _ in range(size >> 21):
            pool.write(bytes(2 << 20))


def server_version(client):
    """Redis', or that of the Valkey which goes on from 7.2."""
    info = client.info("server")
    return tuple(int(part) for part in info.get("valkey_version", info["redis_version"]).split(".")[:2])


class Server:
    """One redis-server process and its folder; `faha` False: a stock one, to compare with."""

    def __init__(self, folder, faha=True, module=None, args=(), pool=None, place=HERE):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.place = place
        self.faha = faha
        self.module = module or MODULE
        self.args = list(args)
        self.process = None
        self.pool_path = pathlib.Path(pool) if pool else self.folder / "faha.pool"
        if pool:
            wipe(pool)

    @property
    def log_path(self):
        return self.folder / "redis.log"

    def log(self):
        return self.log_path.read_text() if self.log_path.exists() else ""

    def command(self):
        # fmt: off
        host = self.place.host
        command = [*self.place.enter, SERVER, "--port", str(self.port), "--bind", host,
                   "--dir", str(self.folder), "--save", "", "--logfile", str(self.log_path), "--appendonly", "yes", "--appendfsync", "always"]
        # fmt: on
        if self.faha:
            command += ["--loadmodule", self.module, "--faha.fabric", FABRIC, "--faha.pool-path", str(self.pool_path)]
            if host != "127.0.0.1":
                command += ["--protected-mode", "no", "--faha.bind", host, "--faha.announce-host", host, "--faha.secret", "of the tests"]
            if "--faha.pool-bytes" not in self.args:
                command += ["--faha.pool-bytes", "64mb"]
            if PACKED_ELEMENTS and not {"--faha.packed-elements", "--faha.feature-level"} & set(self.args):
                command += ["--faha.packed-elements", PACKED_ELEMENTS]
            if "--faha.segment-bytes" not in self.args:
                command += ["--faha.segment-bytes", "4mb"]
        return command + self.args

    def spawn(self):
        """Starts the process; whether it lives is the caller's to find out."""
        self.process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        return self

    def start(self):
        self.spawn()
        wait_for(self._answers, what=f"server {self.port}")
        return self

    def _answers(self):
        assert self.process.poll() is None, f"server {self.port} ended:\n{self.log()}"
        with contextlib.closing(self.client()) as client:
            return client.ping()

    def client(self, **options):
        options.setdefault("socket_timeout", 30)
        return redis.Redis(self.place.host, self.port, decode_responses=options.pop("decode_responses", True), **options)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """As kill -9 does."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def native_keys(self):
        """How many keys Redis' own data set holds: INFO tells of them beside FaHA's."""
        with contextlib.closing(self.client()) as client:
            client.set_response_callback("INFO", lambda text, **options: text)
            told = re.findall(r"^db(\d+):keys=(\d+)", client.execute_command("INFO", "keyspace"), re.MULTILINE)
            faha = 0
            for db in {db for db, keys in told}:
                client.execute_command("SELECT", db)
                faha += client.dbsize()
        return sum(int(keys) for db, keys in told) - faha

    def info(self):
        """INFO faha, without the prefix."""
        with contextlib.closing(self.client()) as client:
            # As it is: newer clients take a text with commas for a list.
            client.set_response_callback("INFO", lambda text, **options: text)
            lines = client.execute_command("INFO", "faha").splitlines()
        fields = dict(line.removeprefix("faha_").split(":", 1) for line in lines if ":" in line)
        return {key: int(value) if value.isdigit() else value for key, value in fields.items()}

    def redis_role(self):
        """That of Redis' own replication, which follows FaHA's."""
        return self.info()["redis_role"]

    def role(self):
        """What clients and Sentinel are told."""
        with contextlib.closing(self.client()) as client:
            return client.info("replication")["role"]


class Cluster:
    """`size` servers, the first one primary, the others its backups in sync."""

    def __init__(self, folder, size=3, module=None, args=(), places=None):
        pools = POOLS[:size] + [None] * (size - len(POOLS))
        self.nodes = [
            Server(pathlib.Path(folder) / f"n{i}", module=module, args=args, pool=pool, place=places[i] if places else HERE)
            for i, pool in enumerate(pools)
        ]
        try:
            for node in self.nodes:
                node.start()
            for node in self.nodes[1:]:
                node.client().execute_command("REPLICAOF", self.nodes[0].place.host, self.nodes[0].port)
            self.wait_in_sync(self.nodes[0])
        except BaseException:
            self.close()
            raise

    def __getitem__(self, index):
        return self.nodes[index]

    def wait_in_sync(self, primary, seconds=30):
        """Until `primary` serves, every other node is a member and in sync, and Redis' own roles agree."""

        def ready():
            info = primary.info()
            return (
                info["state"] == "serving"
                and info["in_sync_backups"] == len(self.nodes) - 1
                and info["members"] == len(self.nodes)
                and info["barrier"] == 1
                and primary.redis_role() == "master"
                and all(node.redis_role() == "slave" for node in self.nodes if node is not primary)
            )

        wait_for(ready, seconds, f"all nodes in sync with {primary.port}")

    def primary(self):
        """The node that serves, or None."""
        for node in self.nodes:
            with contextlib.suppress(redis.exceptions.RedisError):
                if node.process is not None and node.info()["state"] == "serving":
                    return node
        return None

    def promote(self, node, milliseconds=20000):
        with contextlib.closing(node.client()) as client:
            assert client.execute_command("FAHA.PROMOTE", milliseconds) in (b"OK", "OK", True)

    def close(self):
        for node in self.nodes:
            node.kill()

    def logs(self):
        return "\n".join(f"--- {node.port}\n{node.log()}" for node in self.nodes)
