"""Clients that write counters, and readers that check them: what tells whether anything was lost, or served stale.

A counter is written by one client, 1, 2, 3 and so on, and read by everybody.  Whoever reads it must find no less than was
known to be there when the read began - acknowledged to its writer, or read by anybody before - and no more than was sent
when the read ended.  Counters are strings, fields of a hash, scores, and last elements of lists.  A mover moves tokens
between lists and between sets, and in the end each is somewhere, once.  Overwriters fill segments of the primary's log meanwhile, where a fault asks for that.  All of them are threads of one process, so that `before` means the same to all.
"""

import contextlib
import random
import threading
import time

import redis
import redis.sentinel
from sentinels import NAME

ERRORS = (redis.RedisError, redis.sentinel.MasterNotFoundError)


class InString:
    """Where a counter is kept."""

    @staticmethod
    def get(connection, name):
        return connection.get(name)

    @staticmethod
    def set(connection, name, value):
        connection.set(name, value)


class InHash:
    @staticmethod
    def get(connection, name):
        return connection.hget("counters", name)

    @staticmethod
    def set(connection, name, value):
        connection.hset("counters", name, value)


class InSortedSet:
    @staticmethod
    def get(connection, name):
        return connection.zscore("scores", name)

    @staticmethod
    def set(connection, name, value):
        connection.zadd("scores", {name: value})


class InList:
    @staticmethod
    def get(connection, name):
        return connection.lindex(name, -1)

    @staticmethod
    def set(connection, name, value):
        connection.pipeline().rpush(name, value).ltrim(name, -7, -1).execute()


PLACES = (InString, InHash, InSortedSet, InList)


class Counter:
    def __init__(self, name, place, problems):
        self.name = name
        self.place = place
        self.known = 0  # acknowledged, or read by anybody
        self.sent = 0
        self._problems = problems
        self._lock = threading.Lock()

    def is_known(self, value):
        with self._lock:
            self.known = max(self.known, value)

    def read(self, connection, where):
        known = self.known
        found = int(self.place.get(connection, self.name) or 0)
        self.judge(found, known, self.sent, where)

    def judge(self, found, known, sent, where):
        if known <= found <= sent:
            self.is_known(found)
        else:
            self._problems.append(f"{where} read {found} of {self.name}, although {known} was known before and {sent} was sent last")


class Client(threading.Thread):
    """Writes its own counters as fast as it is answered, and reads them back.  It insists: what fails it tries again."""

    COUNTERS = 20
    PATIENCE = 60  # seconds of insisting; a command that takes longer has failed

    def __init__(self, number, sentinels, problems):
        super().__init__(daemon=True)
        self.number = number
        self.finder = sentinels.finder()
        self.random = random.Random(number)
        self.counters = [Counter(f"client{number}:{i}", PLACES[i % len(PLACES)], problems) for i in range(self.COUNTERS)]
        self.writes = []  # (when it was acknowledged, by which port)
        self.retries = self.failures = 0
        self.connection = None
        self.port = 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            counter = self.random.choice(self.counters)
            if self.random.random() < 0.3:
                self.insist(lambda: counter.read(self.connection, f"client {self.number} of {self.port}"))
            else:
                counter.sent += 1
                self.insist(lambda: self.write(counter))
        self.hang_up()

    def write(self, counter):
        counter.place.set(self.connection, counter.name, counter.sent)
        counter.is_known(counter.sent)
        self.writes.append((time.monotonic(), self.port))

    def insist(self, command):
        end = time.monotonic() + self.PATIENCE
        while not self.stopping.is_set():
            try:
                if self.connection is None:
                    host, self.port = self.finder.discover_master(NAME)
                    self.connection = redis.Redis(host, self.port, socket_timeout=1, socket_connect_timeout=0.5, retry_on_error=[])
                return command()
            except ERRORS:
                self.hang_up()
                if time.monotonic() > end:
                    self.failures += 1
                    return None
                self.retries += 1
                self.stopping.wait(0.01)

    def hang_up(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        # A Sentinel that hears no other may be reached still, and names the old primary for ever.
        self.finder.sentinels.append(self.finder.sentinels.pop(0))


class Mover(threading.Thread):
    """Moves tokens between lists and between sets, at whatever node is called the primary, and does not know how many of its
    commands have done what they say."""

    TOKENS, PLACES = 300, 3

    def __init__(self, sentinels):
        super().__init__(daemon=True)
        self.finder = sentinels.finder()
        self.random = random.Random(1)
        self.moved = 0
        self.stopping = threading.Event()

    def fill(self, connection):
        connection.rpush("tokens:0", *range(self.TOKENS))
        connection.sadd("set of tokens:0", *range(self.TOKENS))

    def run(self):
        connection = None
        while not self.stopping.wait(0.001):
            try:
                if connection is None:
                    host, port = self.finder.discover_master(NAME)
                    connection = redis.Redis(host, port, socket_timeout=1, socket_connect_timeout=0.5, retry_on_error=[])
                self.move(connection)
                self.moved += 1
            except ERRORS:
                if connection is not None:
                    connection.close()
                connection = None
                self.finder.sentinels.append(self.finder.sentinels.pop(0))

    def move(self, connection):
        source, target = (self.random.randrange(self.PLACES) for _ in range(2))
        ends = [self.random.choice(("LEFT", "RIGHT")) for _ in range(2)]
        connection.lmove(f"tokens:{source}", f"tokens:{target}", *ends)
        connection.smove(f"set of tokens:{source}", f"set of tokens:{target}", self.random.randrange(self.TOKENS))

    def judge(self, connection, problems):
        for name, all_of in (("tokens", lambda key: connection.lrange(key, 0, -1)), ("set of tokens", connection.smembers)):
            found = sorted(int(token) for place in range(self.PLACES) for token in all_of(f"{name}:{place}"))
            if found != list(range(self.TOKENS)):
                problems.append(f"the {name} are not the {self.TOKENS} that there were: {found}")


class Reader(threading.Thread):
    """Stays with one node, whatever becomes of it, on one connection for as long as that lasts, and reads what others write."""

    def __init__(self, node, clients):
        super().__init__(daemon=True)
        self.node = node
        self.counters = [counter for client in clients for counter in client.counters]
        self.random = random.Random(node.port)
        self.reads = self.refused = 0
        self.stopping = threading.Event()

    def run(self):
        with contextlib.closing(self.node.client(socket_timeout=1, socket_connect_timeout=0.5, retry_on_error=[])) as connection:
            # Not as fast as it can: it shares the processors with what it watches.
            while not self.stopping.wait(0.002):
                try:
                    self.random.choice(self.counters).read(connection, f"the reader that stays with {self.node.port}")
                    self.reads += 1
                except ERRORS:
                    self.refused += 1


class Overwriter(threading.Thread):
    """Overwrites a part of the primary's pool as fast as it is answered, until it is stopped."""

    VALUE = bytes(10_000)
    AT_A_TIME = 8

    def __init__(self, sentinels, live_bytes):
        super().__init__(daemon=True)
        self.finder = sentinels.finder()
        self.random = random.Random(live_bytes)
        self.keys = live_bytes // len(self.VALUE)
        self.written = self.no_space = 0  # bytes that were acknowledged, and replies that refused one
        self.stopping = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join(30)

    def run(self):
        connection = None
        while not self.stopping.is_set():
            try:
                if connection is None:
                    host, port = self.finder.discover_master(NAME)
                    connection = redis.Redis(host, port, socket_timeout=1, socket_connect_timeout=0.5, retry_on_error=[])
                pipeline = connection.pipeline(transaction=False)
                for _ in range(self.AT_A_TIME):
                    pipeline.set(f"overwritten:{self.random.randrange(self.keys)}", self.VALUE)
                self.count(pipeline.execute(raise_on_error=False))
            except ERRORS:
                if connection is not None:
                    connection.close()
                connection = None
                self.finder.sentinels.append(self.finder.sentinels.pop(0))
                self.stopping.wait(0.05)

    def count(self, replies):
        for reply in replies:
            if isinstance(reply, redis.ResponseError):
                self.no_space += str(reply).startswith("NOSPACE")
            else:
                self.written += len(self.VALUE)
