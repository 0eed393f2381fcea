"""Stock Redis and FaHA side by side: the same calls to both, whose replies must be the same."""

import shlex

from cluster import SANITIZED, wait_for
from resp import Connection


def words(line):
    """The arguments of a line, quotes as a shell reads them."""
    return shlex.split(line)


# Replies that are times, or may hold one.
SLACK = {"TTL": 1, "EXPIRETIME": 1, **dict.fromkeys(["PTTL", "PEXPIRETIME", "EXEC", "EVAL"], 3000)}
if SANITIZED:
    SLACK["MEMORY"] = 1 << 20


class Twins:
    """The same calls to stock Redis and to FaHA, whose replies must be the same."""

    def __init__(self, stock, faha):
        self.ports = stock.port, faha.port
        self.connections = [Connection(port) for port in self.ports]
        self("FLUSHALL")

    def another(self):
        twins = object.__new__(Twins)
        twins.ports = self.ports
        twins.connections = [Connection(port) for port in self.ports]
        return twins

    def __call__(self, *args):
        """The reply, which both gave."""
        for connection in self.connections:
            connection.send(*args)
        return self.read(" ".join(map(str, args)))

    def read(self, what):
        stock, faha = (connection.read() for connection in self.connections)
        assert alike(stock, faha, SLACK.get(what.upper().split(" ")[0], 0)), (
            f"{what[:300]}\nstock: {str(stock)[:500]}\nFaHA:  {str(faha)[:500]}"
        )
        return faha


def alike(stock, faha, slack):
    """Equal, but for the clock's going on between the two: by up to `slack`."""
    if stock == faha:
        return True
    if slack == 0 or stock[0] != faha[0] or None in (stock[1], faha[1]):
        return False
    if stock[0] in "*>":
        return len(stock[1]) == len(faha[1]) and all(alike(a, b, slack) for a, b in zip(stock[1], faha[1]))
    return stock[0] == ":" and min(stock[1], faha[1]) > 0 and abs(stock[1] - faha[1]) <= slack


def assert_nothing_native(faha):
    """Whatever was asked, Redis' own keyspace holds nothing."""
    # One of FaHA's that expires between the two counts is counted once.
    wait_for(lambda: faha.native_keys() == 0, what="nothing to be in the native keyspace")


def try_arities(twins, command):
    """The command with every number of arguments up to five, as it is and in a transaction."""
    for count in range(6):
        for first in ("1", "string"):
            args = [command, *[first, "1", "1", "1", "1"][:count]]
            twins(*args)
            twins("MULTI")
            twins(*args)
            twins("EXEC")
