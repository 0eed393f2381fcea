"""What monitoring reads: counters and names are those that clients know, as stock Redis shows them."""

import contextlib

import pytest
from resp import Connection
from twins import words

LINES = [
    "SET k v", "GET k", "GET k", "GET none", "MGET k none", "EXISTS k none", "TTL k", "STRLEN none", "INCR n", "APPEND k w",
    "GETSET k x", "SET k y GET", "GETDEL none", "TYPE k", "DUMP k", "PFCOUNT none", "OBJECT ENCODING k", "OBJECT FREQ k", "GET", "GET a b c",
    "SET k", "CONFIG GET maxclients", "CONFIG SET maxclients 1000", "SORT none", "RENAME k l", "FLUSHDB", "WAIT 0 1", "ROLE", "XADD",
]  # fmt: skip


def raw(server, *command):
    with contextlib.closing(Connection(server.port)) as connection:
        return connection.call(*command)[1]


def fields(text):
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def test_statistics_are_as_those_of_stock(servers):
    seen = []
    for server in servers:
        client = Connection(server.port)
        client.call("FLUSHALL")
        client.call("CONFIG", "RESETSTAT")
        for line in LINES:
            client.call(*words(line))
        stats = fields(raw(server, "INFO", "everything"))
        calls = {
            name: {key: value for key, value in (each.split("=") for each in text.split(",")) if not key.startswith("usec")}
            for name, text in stats.items()
            if name.startswith("cmdstat_")
        }
        seen.append((stats["keyspace_hits"], stats["keyspace_misses"], calls))
        latencies = {name for name in stats if name.startswith("latency_percentiles_usec_")}
        assert not [name for name in latencies | set(calls) if "faha." in name and "faha.refuse" not in name]
        assert {"latency_percentiles_usec_get", "latency_percentiles_usec_object|encoding"} <= latencies
    stock, faha = seen
    assert faha[:2] == stock[:2]
    # FaHA asks Redis for settings itself, and refuses XADD under a name of its own.
    wanted = {name: each for name, each in stock[2].items() if name not in ("cmdstat_config|get", "cmdstat_xadd")}
    assert {name: each for name, each in faha[2].items() if name in wanted} == wanted


def test_expired_keys_are_counted(servers):
    for server in servers:
        client = Connection(server.port)
        client.call("CONFIG", "RESETSTAT")
        client.call("SET", "short", "v", "PX", 1)
        while client.call("EXISTS", "short") != (":", 0):
            pass
        assert fields(raw(server, "INFO", "stats"))["expired_keys"] == "1"
        client.call("CONFIG", "RESETSTAT")
        assert fields(raw(server, "INFO", "stats"))["expired_keys"] == "0"


@pytest.mark.parametrize("protocol", [2, 3])
def test_clients_and_the_slow_log_show_redis_names(servers, protocol):
    shown = []
    for server in servers:
        client = Connection(server.port)
        client.call("HELLO", protocol)
        client.call("CLIENT", "SETNAME", "me")
        client.call("CONFIG", "SET", "slowlog-log-slower-than", 0)
        client.call("SLOWLOG", "RESET")
        for line in ("SET k v", "OBJECT ENCODING k", "GET k"):
            client.call(*words(line))
        kind, line = client.call("CLIENT", "INFO")
        assert "name=me " in line and " cmd=client|info " in line
        other = Connection(server.port)
        other.call("GET", "k")
        _, lines = client.call("CLIENT", "LIST")
        assert " cmd=get " in lines and " cmd=client|list " in lines and "faha." not in lines.replace("faha.refuse", "")
        entries = client.call("SLOWLOG", "GET", 20)[1]
        said = [[word[1] for word in entry[1][3][1]] for entry in entries]
        client.call("CONFIG", "SET", "slowlog-log-slower-than", 10000)
        assert ["SET".lower(), "k", "v"] in [[words_[0].lower(), *words_[1:]] for words_ in said]
        assert "faha." not in str(entries)
        shown.append((kind, [entry[1][5][1] for entry in entries][:1]))
    assert shown[0] == shown[1]


def paired(reply):
    """A map, or the array that stands for one before RESP3, as a dictionary."""
    kind, elements = reply
    pairs = zip(elements[::2], elements[1::2]) if kind == "*" else elements
    return {name[1]: value for name, value in pairs}


@pytest.mark.parametrize("protocol", [2, 3])
def test_denials_and_latencies_show_redis_names(servers, protocol):
    seen = []
    for server in servers:
        admin, low = Connection(server.port), Connection(server.port)
        for line in ("ACL LOG RESET", "ACL SETUSER low on nopass -@all +get +object|encoding ~a", "CONFIG RESETSTAT"):
            assert admin.call(*words(line)) == ("+", "OK")
        low.call("AUTH", "low", "x")
        for line in ("SET a 1", "GET faha.get", "OBJECT FREQ a", "GET a"):
            low.call(*words(line))
        admin.call("HELLO", protocol)
        entries = [paired(entry) for entry in admin.call("ACL", "LOG")[1]]
        denials = [(entry["object"][1], entry["reason"][1], sorted(entry)) for entry in entries]
        assert not any(" cmd=faha." in entry["client-info"][1] for entry in entries)
        for line in ("SET k v", "GET k", "GET k", "INFO server", "OBJECT ENCODING k"):
            admin.call(*words(line))
        calls = {name: paired(value)["calls"] for name, value in paired(admin.call("LATENCY", "HISTOGRAM", "set", "GET", "info", "nosuch")).items()}
        every = {name for name in paired(admin.call("LATENCY", "HISTOGRAM")) if not name.startswith(("config", "acl", "client", "hello", "select"))}
        seen.append((denials, calls, every, admin.call("ACL", "LOG", "x"), admin.call("ACL", "LOG", "1")[0]))
        admin.call("ACL", "DELUSER", "low")
    assert seen[0] == seen[1]
