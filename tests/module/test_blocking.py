"""Commands that wait for an element: who is served when and with what, as stock Redis does it, and that no element is lost or given twice."""

import collections
import contextlib
import selectors
import signal
import threading

import pytest

from cluster import HOST, free_port, wait_for
from resp import Connection, encode
from test_lists import compare_events, listen
from twins import words

# "w1 BLPOP a 0": the client w1 waits; "?w1": its reply is there; anything else: a call of somebody who does not wait.
SESSIONS = {
    "first come, first served": "w1 BLPOP q 0|w2 BRPOP q 0|w3 BLPOP q 0|RPUSH q a b c d|?w1|?w2|?w3|LRANGE q 0 -1|w1 BLPOP r 0|RPUSH r x|?w1|EXISTS r",
    "one by one": "w1 BLPOP q 0|w2 BLPOP q 0|w3 BLPOP q 0|LPUSH q a|?w1|w1 BLPOP q 0|LPUSH q b|?w2|LPUSH q c|?w3|LPUSH q d|?w1|EXISTS q",
    "several keys": "w1 BLPOP a b c 0|RPUSH b x y|?w1|LRANGE b 0 -1|w2 BLPOP c a c 0|w3 BLPOP a 0|RPUSH c 1|?w2|RPUSH a 2|?w3|w1 BRPOP a a a 0|RPUSH a 1 2 3|?w1|LLEN a",
    "several keys at once": "w1 BLPOP a b 0|w2 BLPOP b a 0|MULTI|RPUSH b 1|RPUSH a 2|EXEC|?w1|?w2|w3 BZPOPMIN y z 0|MULTI|ZADD z 1 m|ZADD y 2 n|EXEC|?w3|ZCARD y|ZCARD z",
    "one transaction is one unit": "w1 BLPOP a 0|MULTI|RPUSH a 1|LPOP a|EXEC|MULTI|LPUSH a 1|LPUSH a 2|LLEN a|EXEC|?w1|LRANGE a 0 -1|DEL a|w1 BLPOP a 0|MULTI|RPUSH a x|DEL a|EXEC"
                                   "|MULTI|RPUSH a x|DEL a|SET a s|EXEC|DEL a|MULTI|SET a s|DEL a|RPUSH a y|EXEC|?w1",
    "one script is one unit": "w1 BLPOP a b 0|EVAL \"redis.call('rpush', KEYS[1], 1, 2); redis.call('rpush', KEYS[2], 3); return redis.call('llen', KEYS[1])\" 2 b a|?w1|LRANGE b 0 -1"
                              "|LRANGE a 0 -1|DEL a b|w2 BLPOP a 0|EVAL \"redis.call('rpush', KEYS[1], 1); return redis.call('lpop', KEYS[1])\" 1 a",
    "moves": "w1 BLMOVE a b LEFT RIGHT 0|w2 BRPOPLPUSH a b 0|RPUSH a x y z|?w1|?w2|LRANGE a 0 -1|LRANGE b 0 -1|w3 BLMOVE c c RIGHT LEFT 0|RPUSH c 1 2|?w3|LRANGE c 0 -1",
    "a chain": "w1 BLMOVE a b LEFT RIGHT 0|w2 BLMOVE b c LEFT RIGHT 0|w3 BLPOP c 0|RPUSH a x|?w1|?w2|?w3|EXISTS a b c",
    "a chain backwards": "w3 BLPOP c 0|w2 BRPOPLPUSH b c 0|w1 BLMOVE a b LEFT RIGHT 0|w4 BLPOP c 0|RPUSH a x y|?w1|?w2|?w3|LRANGE a 0 -1|RPUSH c z|?w4",
    "a circle": "w1 BLMOVE a b LEFT RIGHT 0|w2 BLMOVE b a LEFT RIGHT 0|RPUSH a x|?w1|?w2|LRANGE a 0 -1|EXISTS b|w3 BLMOVE q q LEFT RIGHT 0|w4 BLMOVE q q LEFT RIGHT 0|RPUSH q 1 2|?w3|?w4|LRANGE q 0 -1",
    "a chain in a transaction": "w1 BLMOVE a b LEFT RIGHT 0|w2 BLPOP b 0|w3 BLPOP b 0|MULTI|RPUSH a x|RPUSH b y|EXEC|?w1|?w2|?w3|EXISTS a b",
    "a target of another type": "SET s v|w1 BLMOVE a s LEFT RIGHT 0|w2 BLMOVE a b LEFT RIGHT 0|RPUSH a x|?w1|?w2|LRANGE b 0 -1|EXISTS a|w1 BRPOPLPUSH a s 0|RPUSH a y|?w1|LRANGE a 0 -1|GET s",
    "the source is another type": "w1 BLPOP a 0|SET a v|APPEND a w|DEL a|HSET a f v|DEL a|SADD a m|DEL a|ZADD a 1 m|DEL a|LPUSH a x|?w1",
    "two types wait": "w1 BZPOPMIN k 0|w2 BLPOP k 0|w3 BZPOPMAX k 0|w4 BLPOP k 0|RPUSH k a|?w2|ZADD k 1 m 2 n|?w1|?w3|RPUSH k b|?w4|w1 BLPOP k 0|w2 BZMPOP 0 1 k MIN 0|DEL k".replace(" MIN 0", " MIN"),
    "sorted sets": "w1 BZPOPMIN z 0|w2 BZPOPMAX y z 0|w3 BZMPOP 0 2 y z MAX COUNT 2|w4 BZMPOP 0 1 z MIN|ZADD z 1 a 2 b 3 c 4 d 5.5 e|?w1|?w2|?w3|?w4|ZCARD z|w1 BZPOPMIN z 0|ZINCRBY z 3 m|?w1",
    "counts": "w1 BLMPOP 0 2 a b LEFT COUNT 3|RPUSH b 1 2 3 4|?w1|LRANGE b 0 -1|w2 BLMPOP 0 1 a RIGHT COUNT 10|w3 BLMPOP 0 1 a LEFT|RPUSH a x y z|?w2|RPUSH a x y|?w3|LRANGE a 0 -1",
    "together and one by one": "w1 BLPOP q 0|w2 BRPOP p q 0|w3 BLMOVE q r LEFT LEFT 0|w4 BLMPOP 0 1 q RIGHT COUNT 2|w5 BLPOP q 0|w6 BRPOP q 0|RPUSH q 1 2 3 4 5 6 7|?w1|?w2|?w3|?w4|?w5|?w6|EXISTS q"
                               "|w1 BZPOPMIN z 0|w2 BZMPOP 0 2 y z MAX COUNT 9|w3 BZPOPMAX z 0|ZADD z 1 a 2 b 3 c|?w1|?w2|EXPIRE z 9|ZADD z 1 d|?w3",
    "a list by other ways": "w1 BLPOP a 0|RPUSH b x|RENAME b a|?w1|w1 BLPOP a 0|RPUSH b x|RENAMENX b a|?w1|w1 BLPOP a 0|RPUSH b x|COPY b a|?w1|w1 BLPOP a 0|LMOVE b a LEFT LEFT|?w1|RPUSH b x"
                            "|w1 BLPOP a 0|RPOPLPUSH b a|?w1|w1 BLPOP a 0|SADD s 3 1 2|SORT s STORE a|?w1|LRANGE a 0 -1|DEL a|w1 BLPOP a 0|LPUSHX a x|RPUSHX a x|LINSERT a BEFORE x y|SELECT 1|LPUSH a m|MOVE a 0|?w1"
                            "|SELECT 0|SELECT 1|LPUSH c m|SELECT 0|w1 BLPOP a c 0|SWAPDB 0 1|?w1|FLUSHALL",
    "a sorted set by other ways": "ZADD s 1 a 2 b|ZADD t 1 b 2 c|w1 BZPOPMIN z 0|ZUNIONSTORE z 2 s t|?w1|DEL z|w1 BZPOPMIN z 0|ZINTERSTORE z 2 s t|?w1|w1 BZPOPMIN z 0|ZDIFFSTORE z 2 s t|?w1"
                                  "|w1 BZPOPMIN z 0|ZRANGESTORE z s 0 -1|?w1|DEL z|w1 BZPOPMIN z 0|RENAME s z|?w1|DEL z|w1 BZPOPMAX z 0|COPY t z|?w1|DEL z|w1 BZPOPMAX z 0|SELECT 1|COPY t z|ZADD s 1 x|COPY s z DB 0|?w1",
    "expiry": "w1 BLPOP a 0|MULTI|RPUSH a 1 2|PEXPIRE a 100000|EXEC|?w1|TTL a|w2 BLPOP b 0|MULTI|RPUSH b x|PEXPIREAT b 1|EXEC|EXISTS b|RPUSH b y|?w2|w3 BLMOVE c d LEFT LEFT 0|RPUSH d 1|EXPIRE d 100|RPUSH c 2|?w3|TTL d",
    "in a database": "SELECT 3|w1 BLPOP a 0|w2 SELECT 3|w2 BLPOP a 0|RPUSH a x|?w2|SELECT 0|RPUSH a y|?w1|EXISTS a",
    "binary": "w1 BLPOP '' 0|RPUSH '' ''|?w1|w2 BZPOPMIN '' 0|ZADD '' -inf ''|?w2",
}  # fmt: skip

TIMEOUTS = ["0", "-1", "x", "''", "inf", "-inf", "nan", "1e400", "9223372036854775807", "-0.0001", "1e15", "1e16", "0x10", " 1", "1 "]
COMMANDS = ["BLPOP {} {}", "BRPOP {0} none {1}", "BLMOVE {} d LEFT RIGHT {}", "BRPOPLPUSH {} d {}", "BLMPOP {1} 1 {0} LEFT", "BZPOPMIN {} {}", "BZPOPMAX none {} {}",
            "BZMPOP {1} 2 none {0} MIN COUNT 2"]  # fmt: skip
WRONG = ["BLPOP", "BLPOP l", "BRPOP", "BLMOVE l d LEFT LEFT", "BLMOVE l d x LEFT 0", "BLMOVE l d LEFT x 0", "BLMOVE l d x LEFT x", "BLMOVE l d LEFT LEFT x", "BRPOPLPUSH l d",
         "BRPOPLPUSH l d 0 0", "BLMPOP 0 1 l", "BLMPOP 0 0 l LEFT", "BLMPOP 0 x l LEFT", "BLMPOP x 0 l LEFT", "BLMPOP x 1 l LEFT", "BLMPOP 0 2 l LEFT", "BLMPOP 0 1 l x", "BLMPOP 0 1 l LEFT COUNT",
         "BLMPOP 0 1 l LEFT COUNT 0", "BLMPOP 0 1 l LEFT COUNT x", "BLMPOP 0 1 l LEFT COUNT 1 COUNT 1", "BLMPOP x 1 l LEFT COUNT 0", "BZPOPMIN z", "BZPOPMAX", "BZMPOP 0 1 z", "BZMPOP 0 0 z MIN",
         "BZMPOP x 1 z MIN", "BZMPOP 0 2 z MIN", "BZMPOP 0 1 z x", "BZMPOP 0 1 z MIN COUNT", "BZMPOP 0 1 z MIN COUNT 0", "BZMPOP 0 1 z MIN COUNT 1 COUNT 1", "BZMPOP x 1 z MIN COUNT x"]  # fmt: skip


def blocked(port):
    with contextlib.closing(Connection(port)) as connection:
        return int(connection.call("INFO", "clients")[1].split("blocked_clients:")[1].split()[0])


def wait_blocked(twins, count):
    for port in twins.ports:
        wait_for(lambda: blocked(port) == count, what=f"{count} clients to wait at {port}")


class Waiters:
    """Clients that wait, at both servers."""

    def __init__(self, twins, protocol=2):
        self.twins, self.protocol, self.all, self.waiting = twins, protocol, {}, set()

    def of(self, name):
        if name not in self.all:
            self.all[name] = self.twins.another()
            for connection in self.all[name].connections:
                connection.call("HELLO", self.protocol)
        return self.all[name]

    def wait(self, name, *args):
        client = self.of(name)
        for connection in client.connections:
            connection.send(*args)
        self.waiting.add(name)
        wait_blocked(self.twins, len(self.waiting))

    def read(self, name):
        self.waiting.discard(name)
        return self.all[name].read(f"what {name} waits for")

    def close(self):
        """Nobody has a reply that was not asked for."""
        wait_blocked(self.twins, len(self.waiting))
        for name, client in self.all.items():
            for connection in client.connections:
                assert connection.peek() == b"", name
                connection.close()
        wait_blocked(self.twins, 0)

    def step(self, line):
        first, *rest = words(line)
        if first.startswith("?"):
            self.read(first[1:])
        elif first.startswith("w") and rest[0].startswith("B"):
            self.wait(first, *rest)
        elif first.startswith("w"):
            self.of(first)(*rest)
        else:
            self.twins(first, *rest)


@pytest.fixture
def waiters(twins):
    return Waiters(twins)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", SESSIONS)
def test_session(twins, name, protocol):
    listener = listen(twins)
    waiters = Waiters(twins, protocol)
    for line in SESSIONS[name].split("|"):
        waiters.step(line)
    assert compare_events(twins, listener) > 0
    waiters.close()


@pytest.mark.parametrize("protocol", [2, 3])
def test_nobody_has_to_wait(twins, protocol):
    """Where there is something, where the call is wrong, where the client may not wait."""
    for connection in twins.connections:
        connection.call("HELLO", protocol)
    listener = listen(twins)
    for key in ("l", "z", "s"):
        for command in COMMANDS:
            for timeout in ("0", "1.5", "-1", "x"):
                twins("FLUSHALL")
                twins("SET", "s", "v")
                twins("RPUSH", "l", "a", "b")
                twins("ZADD", "z", "1", "a", "2.5", "b")
                line = words(command.format(key, timeout))
                twins(*line)
                twins("RPUSH", "l", "c")
                twins("ZADD", "z", "3", "c")
                twins("MULTI")
                twins(*line)
                twins("EXEC")
                twins("EVAL", "local r = redis.pcall(unpack(ARGV)) if type(r) == 'table' and r.err then return r.err end return r", 0, *line)
                twins("LRANGE", "d", "0", "-1")
    for line in WRONG:
        twins(*words(line))
        twins("MULTI")
        twins(*words(line))
        twins("EXEC")
    for command in COMMANDS:
        twins("MULTI")
        twins(*words(command.format("none", "0")))
        twins("EXEC")
        twins("EVAL", "return redis.pcall(unpack(ARGV))", 0, *words(command.format("none", "0")))
    assert compare_events(twins, listener) > 0


@pytest.mark.parametrize("protocol", [2, 3])
def test_timeouts(twins, protocol):
    for connection in twins.connections:
        connection.call("HELLO", protocol)
    for command in COMMANDS:
        for timeout in ("0.001", "0.05", "1e-9", ".01"):
            twins(*words(command.format("none", timeout)))
    twins("RPUSH", "l", "a")
    for timeout in TIMEOUTS:
        twins("BLPOP", "l", timeout.strip("'"))
        twins("RPUSH", "l", "a")
    for timeout in ("-1", "x", "inf", "-inf", "-0.1", "nan", "1e300"):
        twins("BLPOP", "none", timeout)
    # Whoever is no longer there takes nothing.
    twins("RPUSH", "none", "x")
    twins("LRANGE", "none", "0", "-1")


@pytest.mark.parametrize("reason", [[], ["TIMEOUT"], ["error"]])
@pytest.mark.parametrize("command", COMMANDS)
def test_client_unblock(twins, waiters, command, reason):
    waiters.of("w1")
    ids = [connection.call("CLIENT", "ID")[1] for connection in waiters.all["w1"].connections]

    def unblock():
        replies = [connection.call("CLIENT", "UNBLOCK", identity, *reason) for connection, identity in zip(twins.connections, ids)]
        assert replies[0] == replies[1]
        return replies[1]

    assert unblock() == (":", 0)
    waiters.wait("w1", *words(command.format("k", "0")))
    assert unblock() == (":", 1)
    waiters.read("w1")
    assert unblock() == (":", 0)
    twins("ZADD" if command.startswith("BZ") else "RPUSH", "k", "1", "2")
    twins("EXISTS", "k")
    waiters.close()


def test_client_unblock_asked_wrongly(twins, waiters):
    for line in ("CLIENT UNBLOCK", "CLIENT UNBLOCK x", "CLIENT UNBLOCK 99999999", "CLIENT UNBLOCK 1 x", "CLIENT UNBLOCK 99999999 TIMEOUT x", "CLIENT UNBLOCK -1 ERROR"):
        twins(*words(line))
    waiters.close()


def test_an_element_is_given_before_its_client_can_be_unblocked_or_killed(twins, waiters):
    """In one turn of the event loop: the element is pushed, and the wait is ended."""
    for reason in (["UNBLOCK", "{}"], ["UNBLOCK", "{}", "ERROR"], ["KILL", "ID", "{}"]):
        waiters.of("w1")
        ids = [connection.call("CLIENT", "ID")[1] for connection in waiters.all["w1"].connections]
        waiters.wait("w1", "BLPOP", "q", "0")
        for connection, identity in zip(twins.connections, ids):
            connection.send_raw(encode("RPUSH", "q", "x") + encode("CLIENT", *[word.format(identity) for word in reason]) + encode("LLEN", "q"))
        twins.read("RPUSH")
        twins.read("CLIENT")
        if reason[0] == "UNBLOCK":
            twins.read("LLEN")
            assert waiters.read("w1")[1][1][1] == "x"
            continue
        # Stock Redis has popped it before; whether the client reads it or its end, here it is given once or still there.
        for connection, waiter in zip(twins.connections, waiters.all["w1"].connections):
            left = connection.read()[1]
            with contextlib.suppress(ConnectionError):
                left += waiter.read()[1][1][1] == "x"
            assert left <= 1
        del waiters.all["w1"]
        waiters.waiting.clear()
    waiters.close()


def test_who_goes_away_is_not_served(twins, waiters):
    for end in ("disconnect", "kill"):
        for name in ("w1", "w2", "w3"):
            waiters.of(name)
        ids = [connection.call("CLIENT", "ID")[1] for connection in waiters.all["w1"].connections]
        waiters.wait("w1", "BLPOP", "a", "b", "0")
        waiters.wait("w2", "BLMOVE", "b", "c", "LEFT", "LEFT", "0")
        waiters.wait("w3", "BLPOP", "c", "a", "0")
        if end == "kill":
            for connection, identity in zip(twins.connections, ids):
                assert connection.call("CLIENT", "KILL", "ID", identity) == (":", 1)
        for connection in waiters.all.pop("w1").connections:
            connection.close()
        waiters.waiting.discard("w1")
        wait_blocked(twins, 2)
        twins("RPUSH", "b", "x")
        waiters.read("w2")
        waiters.read("w3")
        twins("RPUSH", "a", "y")
        twins("LRANGE", "a", "0", "-1")
        twins("DEL", "a")
    waiters.close()


def test_what_follows_in_the_pipeline(twins, waiters):
    """A client that was served goes on with what it has sent meanwhile; what it pushes serves others."""
    waiters.of("w1"), waiters.of("w2")
    for connection in waiters.all["w1"].connections:
        connection.send_raw(encode("BLPOP", "a", 0) + encode("RPUSH", "b", "1") + encode("BLPOP", "c", 0) + encode("LLEN", "b"))
    waiters.waiting.add("w1")
    wait_blocked(twins, 1)
    waiters.wait("w2", "BLPOP", "b", "0")
    twins("RPUSH", "a", "x")
    waiters.read("w2")
    waiters.read("w1")
    waiters.read("w1")
    twins("RPUSH", "c", "y")
    waiters.read("w1")
    waiters.read("w1")
    waiters.close()


def test_restored_values(twins, waiters):
    twins("RPUSH", "l", "a", "b")
    twins("ZADD", "z", "1", "a")
    payloads = [twins.connections[0].call("DUMP", key)[1].encode("latin-1") for key in ("l", "z")]
    waiters.wait("w1", "BLPOP", "new", "0")
    waiters.wait("w2", "BZPOPMIN", "new", "0")
    twins("RESTORE", "new", "0", payloads[0])
    waiters.read("w1")
    twins("RESTORE", "new", "0", payloads[1], "REPLACE")
    waiters.read("w2")
    waiters.close()


def test_watches_and_caches(twins, waiters):
    """What a client takes that was served is a change of the key."""
    twins("SET", "s", "v")
    for watched in ("a", "b", "z"):
        watcher = twins.another()
        waiters.wait("w1", "BLMOVE", "a", "b", "LEFT", "LEFT", "0")
        waiters.wait("w2", "BZPOPMIN", "z", "0")
        watcher("WATCH", watched)
        twins("RPUSH", "a", "x")
        twins("ZADD", "z", "1", "m")
        waiters.read("w1"), waiters.read("w2")
        watcher("MULTI")
        assert watcher("EXEC") == ("*", None)
    reader = twins.another()
    for connection in reader.connections:
        connection.call("HELLO", 3)
    reader("CLIENT", "TRACKING", "ON")
    waiters.wait("w1", "BLMOVE", "p", "r", "LEFT", "LEFT", "0")
    reader("LLEN", "r")
    twins("RPUSH", "p", "x")
    waiters.read("w1")
    assert reader.read("an invalidation")[0] == ">"
    waiters.close()


def test_rights(twins, waiters):
    """A client is judged by the rights that it has when it asks."""
    twins("ACL", "SETUSER", "u", "on", "nopass", "~a*", "+@all", "-brpop")
    try:
        waiters.of("w1")("AUTH", "u", "x")
        for line in ("BLPOP b 0", "BLPOP a1 b 0", "BLMOVE a1 b LEFT LEFT 0", "BLMPOP 0 1 b LEFT", "BZMPOP 0 2 a1 b MIN"):
            assert waiters.all["w1"](*words(line))[1].startswith("NOPERM ")
        waiters.wait("w1", "BLPOP", "a1", "a2", "0")
        twins("ACL", "SETUSER", "u", "resetkeys", "-blpop")
        twins("RPUSH", "a2", "x")
        waiters.read("w1")
        twins("ACL", "SETUSER", "u", "~*", "+blpop")
        waiters.wait("w1", "BLPOP", "a1", "0")
        twins("ACL", "DELUSER", "u")
        wait_blocked(twins, 0)
        waiters.all.pop("w1")
        waiters.waiting.clear()
        twins("RPUSH", "a1", "x")
        twins("LLEN", "a1")
    finally:
        twins("ACL", "DELUSER", "u")
    waiters.close()


def test_a_pause(twins, waiters):
    """While writes are paused, nobody pushes and nobody is served; a command that waits begins to wait afterwards."""
    waiters.wait("w1", "BLPOP", "q", "0")
    twins("CLIENT", "PAUSE", "100000", "WRITE")
    pusher = twins.another()
    for connection in pusher.connections:
        connection.send("RPUSH", "q", "x", "y")
    late = twins.another()
    for connection in late.connections:
        connection.send("BLPOP", "q2", "0")
    wait_blocked(twins, 3)
    twins("CLIENT", "UNPAUSE")
    pusher.read("RPUSH")
    waiters.read("w1")
    wait_blocked(twins, 1)
    twins("RPUSH", "q2", "z")
    late.read("BLPOP")
    twins("LRANGE", "q", "0", "-1")
    waiters.close()


def test_a_thousand_wait(servers, twins):
    """For one key and for two, and leave in between; each is served in its turn."""
    port = servers[1].port
    crowd = [Connection(port) for _ in range(1000)]
    for number, connection in enumerate(crowd):
        connection.send("BLPOP", "q", f"own:{number}", "0")
        if number % 100 == 99:
            wait_for(lambda: blocked(port) == number + 1, what="all to wait")
    for connection in crowd[1::2]:
        connection.close()
    wait_for(lambda: blocked(port) == 500, what="half of them to be gone")
    pusher = Connection(port)
    assert pusher.call("RPUSH", "q", *range(300)) == (":", 300)
    for number in range(300, 400):
        pusher.send("RPUSH", "q", number)
    for number in range(300, 400):
        assert pusher.read() == (":", 1)
    for number, connection in enumerate(crowd[:800:2]):
        assert connection.read()[1][1] == ("$", str(number))
    assert pusher.call("EXISTS", "q") == (":", 0)
    assert pusher.call("RPUSH", "own:998", "x") == (":", 1)
    assert crowd[998].read()[1] == [("$", "own:998"), ("$", "x")]
    for connection in crowd[::2]:
        connection.close()
    wait_for(lambda: blocked(port) == 0, what="all to be gone")


def test_what_does_not_fit(make_server):
    """Who is served is answered the error that a caller would get, and what it wanted stays where it is."""
    server = make_server(args=["--faha.pool-bytes", "32mb", "--faha.segment-bytes", "1mb", "--faha.feature-level", "3"]).start()
    client, waiter = Connection(server.port), Connection(server.port)
    client.call("RPUSH", "full", *["x"] * 4096)
    waiter.send("BLMOVE", "a", "full", "LEFT", "LEFT", "0")
    wait_for(lambda: blocked(server.port) == 1, what="the client to wait")
    client.call("RPUSH", "a", "y")
    kind, line = waiter.read()
    assert kind == "-" and line.startswith("TOOLARGE "), line
    assert client.call("LRANGE", "a", "0", "-1") == ("*", [("$", "y")])


@pytest.mark.parametrize(
    "before, together",
    [
        ([], ["SET b q", "DEL b", "RPUSH a x", "RPUSH b y"]),
        ([], ["SADD b q", "RPUSH a x", "DEL b", "RPUSH b y"]),
        (["SELECT 1", "RPUSH a x", "SELECT 0"], ["SWAPDB 0 1", "RPUSH b y"]),
    ],
    ids=["a string was there", "a set was there", "databases are swapped"],
)
def test_a_key_has_its_turn_when_there_is_something_to_take(make_server, before, together):
    """As in Redis 7.0: what happens to a key before that does not count."""
    server = make_server().start()
    client, waiter = Connection(server.port), Connection(server.port)
    for line in before:
        client.call(*line.split())
    waiter.send("BLPOP", "a", "b", "0")
    wait_for(lambda: blocked(server.port) == 1, what="the client to wait")
    for line in ["MULTI", *together, "EXEC"]:
        client.call(*line.split())
    assert waiter.read() == ("*", [("$", "a"), ("$", "x")])


UNBLOCKED = ("-", "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)")


@pytest.mark.parametrize("change", ["hand over", "replicaof"])
def test_the_role_is_lost(make_cluster, change):
    cluster = make_cluster()
    waiter = Connection(cluster[0].port)
    waiter.send("BLPOP", "q", "0")
    wait_for(lambda: blocked(cluster[0].port) == 1, what="the client to wait")
    order = Connection(cluster[0].port)
    if change == "hand over":
        order.send("FAHA.FAILOVER", "TO", HOST, cluster[1].port)
    else:
        order.send("REPLICAOF", HOST, cluster[1].port)
    assert waiter.read() == UNBLOCKED
    with pytest.raises(ConnectionError):
        waiter.read()
    wait_for(lambda: cluster.primary() is cluster[1] and cluster[0].redis_role() == "slave", what="the change of roles")
    # All clients of the old primary are disconnected a moment after Redis' role has changed, also those that have just come.
    kind, line = wait_for(lambda: Connection(cluster[0].port).call("BLPOP", "q", "0"), what="the old primary to answer")
    assert kind == "-" and line.startswith("READONLY ")
    # The new primary serves those who wait there.
    heir = Connection(cluster[1].port)
    heir.send("BLPOP", "q", "0")
    wait_for(lambda: blocked(cluster[1].port) == 1, what="the client to wait")
    Connection(cluster[1].port).call("RPUSH", "q", "x")
    assert heir.read()[1][1] == ("$", "x")


def test_an_empty_node_is_told_to_follow_nobody(make_server):
    """It leads nobody from then on, though Redis stays what it is until there is somebody to follow."""
    server = make_server().start()
    waiter = Connection(server.port)
    waiter.send("BLPOP", "q", "0")
    wait_for(lambda: blocked(server.port) == 1, what="the client to wait")
    assert Connection(server.port).call("REPLICAOF", HOST, free_port()) == ("+", "OK")
    assert waiter.read() == UNBLOCKED
    with pytest.raises(ConnectionError):
        waiter.read()


def test_a_deposed_primary_tells_who_waits(make_cluster):
    cluster = make_cluster()
    waiter = Connection(cluster[0].port)
    waiter.send("BLPOP", "q", "0")
    wait_for(lambda: blocked(cluster[0].port) == 1, what="the client to wait")
    cluster[0].signal(signal.SIGSTOP)
    cluster.promote(cluster[1])
    cluster[0].signal(signal.SIGCONT)
    assert waiter.read() == UNBLOCKED
    with pytest.raises(ConnectionError):
        waiter.read()


def test_a_majority_is_lost(make_cluster):
    """A client that was served in a turn whose commit fails is told nothing; one that waits on is told that it was in vain."""
    cluster = make_cluster()
    served, waiter, pusher = (Connection(cluster[0].port) for _ in range(3))
    served.send("BLPOP", "q", "0")
    waiter.send("BLPOP", "other", "0")
    wait_for(lambda: blocked(cluster[0].port) == 2, what="both to wait")
    for node in cluster.nodes[1:]:
        node.signal(signal.SIGSTOP)
    pusher.send("RPUSH", "q", "x")
    with pytest.raises(ConnectionError):
        served.read()
    with pytest.raises(ConnectionError):
        pusher.read()
    assert waiter.read() == UNBLOCKED
    with pytest.raises(ConnectionError):
        waiter.read()
    for node in cluster.nodes[1:]:
        node.signal(signal.SIGCONT)


class Consumers:
    """Hundreds that wait, and ask again once they were served, in a thread; `command(i)` is what the consumer i sends."""

    def __init__(self, port, count, command):
        self.got = collections.defaultdict(list)
        self.ends = []  # how each of them ended
        self._selector = selectors.DefaultSelector()
        self._command = command
        for i in range(count):
            connection = Connection(port)
            connection.send(*command(i))
            self._selector.register(connection.socket, selectors.EVENT_READ, (i, connection))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while self._selector.get_map():
            for key, _ in self._selector.select():
                i, connection = key.data
                try:
                    kind, reply = connection.read()
                    if kind != "-":
                        self.got[i].append(reply if kind == "$" else reply[1][1])
                        connection.send(*self._command(i))
                        continue
                    self.ends.append(reply)
                except OSError:
                    self.ends.append("closed")
                self._selector.unregister(connection.socket)
                connection.close()

    def join(self):
        self._thread.join()


class Pushers:
    """Push unique elements until the server is gone; what was acknowledged, and all that was sent."""

    def __init__(self, port, count=3):
        self.acknowledged, self.sent = [], []
        self._threads = [threading.Thread(target=self._push, args=(port, i)) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def _push(self, port, number):
        connection = Connection(port)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            for i in range(0, 1_000_000, 4):
                elements = [f"{number}:{i + j}" for j in range(4)]
                self.sent += elements
                if connection.call("RPUSH", "queue", *elements)[0] == "-":
                    return
                self.acknowledged += elements

    def join(self):
        for thread in self._threads:
            thread.join()


def contents(port, *keys):
    connection = Connection(port)
    return {key: [element for _, element in connection.call("LRANGE", key, 0, -1)[1]] for key in keys}


def assert_each_once(found, pushers):
    counts = collections.Counter(found)
    assert max(counts.values()) == 1, [element for element, count in counts.items() if count > 1]
    assert not set(pushers.acknowledged) - set(found), "an element that was pushed with an OK is lost"
    assert not set(found) - set(pushers.sent)


@pytest.mark.parametrize("end", ["hand over", "replicaof", "kill"])
def test_a_queue_over_a_fail_over(make_cluster, end):
    """Each consumer moves elements to a list of its own, so it is known of each element where it went."""
    cluster = make_cluster()
    old, heir, count = cluster[0], cluster[1], 300
    consumers = Consumers(old.port, count, lambda i: ("BLMOVE", "queue", f"of:{i}", "LEFT", "RIGHT", "0"))
    wait_for(lambda: blocked(old.port) == count, what="all consumers to wait")
    pushers = Pushers(old.port)
    wait_for(lambda: len(pushers.acknowledged) >= 2000, what="a lot to be pushed")
    if end == "kill":
        old.kill()
    elif end == "hand over":
        Connection(old.port).send("FAHA.FAILOVER", "TO", HOST, heir.port)
    else:
        Connection(old.port).send("REPLICAOF", HOST, heir.port)
    pushers.join()
    consumers.join()
    if end == "kill":
        cluster.promote(heir)
    wait_for(lambda: cluster.primary() is heir, what="the heir to lead")
    lists = contents(heir.port, "queue", *(f"of:{i}" for i in range(count)))
    assert_each_once(sum(lists.values(), []), pushers)
    for i, got in consumers.got.items():
        assert lists[f"of:{i}"][: len(got)] == got  # what it was told is there, and perhaps what its last reply would have told
    # Those that asked again just then were refused, and those are all if the queue was not empty; a client whose connection
    # ends was sent all that it was owed.
    told = {line.split(" ")[0] for line in consumers.ends}
    assert told == {"closed"} if end == "kill" else told <= {"UNBLOCKED", "READONLY", "closed"}, told


@pytest.mark.parametrize("end", ["hand over", "replicaof"])
def test_a_planned_change_loses_no_element(make_cluster, end):
    """Elements that are popped are nowhere but in the replies: none is popped whose reply does not come."""
    cluster = make_cluster()
    old, heir, count = cluster[0], cluster[1], 300
    consumers = Consumers(old.port, count, lambda i: ("BLPOP", "queue", "0"))
    wait_for(lambda: blocked(old.port) == count, what="all consumers to wait")
    pushers = Pushers(old.port)
    wait_for(lambda: len(pushers.acknowledged) >= 2000, what="a lot to be pushed")
    order = ("FAHA.FAILOVER", "TO", HOST, heir.port) if end == "hand over" else ("REPLICAOF", HOST, heir.port)
    Connection(old.port).send(*order)
    pushers.join()
    consumers.join()
    wait_for(lambda: cluster.primary() is heir, what="the heir to lead")
    assert_each_once(sum(consumers.got.values(), contents(heir.port, "queue")["queue"]), pushers)
