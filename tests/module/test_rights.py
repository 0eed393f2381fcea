"""What ACL rules give and take: of every command that is served, in every way to run it, as stock Redis has it.

And what the filter must not do for strangers, under new names, or under names that only look like a command's.
"""

import re
import pytest
import redis

from cluster import HOST, MODULE, SANITIZED, wait_for
from resp import Connection, encode
from test_docs import OWN
from twins import words

# One call of every command that is served; {k} is a key.
CALLS = {
    "function|load": "x", "function|delete": "x", "function|flush": "X", "function|restore": "x", "append": "{k} v", "bitcount": "{k}", "bitfield": "{k} GET u8 0", "bitfield_ro": "{k} GET u8 0",
    "bitop": "AND {k} {k}", "bitpos": "{k} 1", "copy": "{k} {k}2", "dbsize": "", "debug|digest": "",
    "debug|populate": "0", "debug|reload": "", "debug|set-active-expire": "1", "debug|digest-value": "{k}", "debug|object": "{k}", "decr": "{k}", "decrby": "{k} 1", "del": "{k}", "dump": "{k}",
    "exists": "{k}", "expire": "{k} 9", "expireat": "{k} 9", "expiretime": "{k}", "flushall": "", "flushdb": "",
    "get": "{k}", "getbit": "{k} 1", "getdel": "{k}", "getex": "{k}", "getrange": "{k} 0 1", "getset": "{k} v",
    "lindex": "{k} 0", "linsert": "{k} before a b", "llen": "{k}", "lmove": "{k} {k}2 left left", "lmpop": "1 {k} left", "lpop": "{k}", "lpos": "{k} a",
    "lpush": "{k} a", "lpushx": "{k} a", "lrange": "{k} 0 1", "lrem": "{k} 0 a", "lset": "{k} 0 a", "ltrim": "{k} 0 1", "rpop": "{k}",
    "rpoplpush": "{k} {k}2", "rpush": "{k} a", "rpushx": "{k} a",
    "incr": "{k}", "incrby": "{k} 1", "incrbyfloat": "{k} 1", "info": "server", "keys": "x", "lcs": "{k} {k}",
    "bgsave": "", "lastsave": "", "save": "", "memory|stats": "", "memory|usage": "{k}", "mget": "{k}", "move": "{k} 1", "mset": "{k} v", "msetnx": "{k} v", "object|encoding": "{k}",
    "object|freq": "{k}", "object|idletime": "{k}", "object|refcount": "{k}", "persist": "{k}", "pexpire": "{k} 9",
    "pexpireat": "{k} 9", "pexpiretime": "{k}", "pfadd": "{k} v", "pfcount": "{k}", "pfmerge": "{k}",
    "psetex": "{k} 9 v", "pttl": "{k}", "randomkey": "", "rename": "{k} {k}2", "renamenx": "{k} {k}2",
    "restore": "{k} 0 v", "scan": "0", "set": "{k} v", "setbit": "{k} 1 1", "setex": "{k} 9 v", "setnx": "{k} v",
    "setrange": "{k} 1 v", "sort": "{k}", "sort_ro": "{k}", "strlen": "{k}", "substr": "{k} 0 1", "swapdb": "0 1",
    "touch": "{k}", "ttl": "{k}", "type": "{k}", "unlink": "{k}", "acl|setuser": "x", "acl|deluser": "x",
    "acl|getuser": "x", "acl|log": "", "latency|histogram": "get", "acl|list": "", "acl|load": "", "acl|save": "", "config|rewrite": "",
    "publish": "__sentinel__:hello x", "replicaof": "no one", "slaveof": "no one", "replconf": "listening-port 1",
    "config|set": "maxclients 1000", "config|resetstat": "",
    "hset": "{k} f v", "hsetnx": "{k} f v", "hmset": "{k} f v", "hget": "{k} f", "hmget": "{k} f", "hgetall": "{k}", "hkeys": "{k}", "hvals": "{k}",
    "hlen": "{k}", "hstrlen": "{k} f", "hexists": "{k} f", "hdel": "{k} f", "hincrby": "{k} f 1", "hincrbyfloat": "{k} f 1", "hrandfield": "{k}",
    "hscan": "{k} 0", "sadd": "{k} m", "srem": "{k} m", "smove": "{k} {k}2 m", "sismember": "{k} m", "smismember": "{k} m", "smembers": "{k}",
    "scard": "{k}", "spop": "{k}", "srandmember": "{k}", "sscan": "{k} 0", "sinter": "{k} {k}2", "sintercard": "1 {k}", "sinterstore": "{k} {k}2",
    "sunion": "{k} {k}2", "sunionstore": "{k} {k}2", "sdiff": "{k} {k}2", "sdiffstore": "{k} {k}2",
    "blpop": "{k} 0.01", "brpop": "{k} 0.01", "blmove": "{k} {k}2 left left 0.01", "brpoplpush": "{k} {k}2 0.01", "blmpop": "0.01 1 {k} left", "bzpopmin": "{k} 0.01",
    "bzpopmax": "{k} 0.01", "bzmpop": "0.01 1 {k} min", "client|unblock": "1000000",
    "client|list": "", "client|info": "", "slowlog|get": "", "role": "", "wait": "0 0",
    "hset": "{k} f v", "hsetnx": "{k} f v", "hmset": "{k} f v", "hget": "{k} f", "hmget": "{k} f", "hgetall": "{k}", "hkeys": "{k}", "hvals": "{k}", "hlen": "{k}",
    "hstrlen": "{k} f", "hexists": "{k} f", "hdel": "{k} f", "hincrby": "{k} n 1", "hincrbyfloat": "{k} n 1", "hrandfield": "{k}", "hscan": "{k} 0",
    "sadd": "{k} m", "srem": "{k} m", "smove": "{k} {k}2 m", "sismember": "{k} m", "smismember": "{k} m", "smembers": "{k}", "scard": "{k}", "spop": "{k}",
    "srandmember": "{k}", "sscan": "{k} 0", "sinter": "{k} {k}2", "sintercard": "1 {k}", "sinterstore": "{k} {k}2", "sunion": "{k} {k}2", "sunionstore": "{k} {k}2",
    "sdiff": "{k} {k}2", "sdiffstore": "{k} {k}2",
    "zadd": "{k} 1 m", "zincrby": "{k} 1 m", "zrem": "{k} m", "zcard": "{k}", "zscore": "{k} m", "zmscore": "{k} m", "zrank": "{k} m", "zrevrank": "{k} m",
    "zcount": "{k} 0 1", "zlexcount": "{k} - +", "zrange": "{k} 0 1", "zrangestore": "{k}2 {k} 0 1", "zrangebyscore": "{k} 0 1", "zrevrangebyscore": "{k} 1 0",
    "zrevrange": "{k} 0 1", "zrangebylex": "{k} - +", "zrevrangebylex": "{k} + -", "zremrangebyrank": "{k} 0 1", "zremrangebyscore": "{k} 0 1",
    "zremrangebylex": "{k} - +", "zpopmin": "{k}", "zpopmax": "{k}", "zmpop": "1 {k} min", "zrandmember": "{k}", "zscan": "{k} 0", "zunion": "1 {k}",
    "zinter": "1 {k}", "zdiff": "1 {k}", "zunionstore": "{k}2 1 {k}", "zinterstore": "{k}2 1 {k}", "zdiffstore": "{k}2 1 {k}", "zintercard": "1 {k}",
}  # fmt: skip
WAYS = "+hello +auth +multi +exec +eval +fcall"  # to run a command
LIBRARY = "#!lua name=rights\nredis.register_function('run', function(_, args) return redis.pcall(unpack(args)) end)"
SCRIPT = "return redis.pcall(unpack(ARGV))"


def served(server):
    entries = server.client().execute_command("COMMAND")
    names = {name.removeprefix("faha.") for name in entries if name.startswith("faha.")}
    return names - OWN - {"refuse", "refuse-replica", "waitaof"}  # the filter alone calls these; the last is of later servers


@pytest.fixture(scope="module")
def pair(servers):
    for server in servers:
        server.client().execute_command("FUNCTION", "LOAD", "REPLACE", LIBRARY)
    yield servers
    for server in servers:
        server.client().execute_command("FUNCTION", "FLUSH")


def test_every_command_has_a_call(pair):
    assert served(pair[1]) == {name.replace("|", ".") for name in CALLS}


def cases(name, categories):
    """Rules for a user: what is allowed and what is denied."""
    name = "debug" if name.startswith("debug|") else name  # whose subcommands Redis knows by no name
    yield "allowed", "+@all ~* &*"
    yield "by name", f"+@all ~* &* -{name}"
    yield "only this", f"-@all ~* &* {WAYS} +{name}"
    yield "nothing", f"-@all ~* &* {WAYS}"
    yield "taken and given", f"+@all -@all ~* &* {WAYS} +@read -@read +{name} -{name}"
    yield "by key and channel", "+@all ~other* resetchannels &other"
    yield "keys to write", "+@all %W~k* &*"
    yield "keys to read", "+@all %R~k* &*"
    yield "in a selector", f"-@all resetkeys resetchannels {WAYS} (+{name} ~* &*)"
    yield "in the wrong selector", f"-@all resetkeys resetchannels {WAYS} (+{name} ~other* &other) (+ping ~* &*)"
    for category in categories:
        yield f"without {category}", f"+@all ~* &* -{category} {WAYS}"
    if "|" in name:
        container = name.split("|")[0]
        yield "by container", f"+@all ~* &* -{container}"
        yield "only the container", f"-@all ~* &* {WAYS} +{container}"


def ways(connection, args):
    """The replies to a command in every way to run it."""
    yield "direct", connection.call(*args)
    connection.send_raw(encode("MULTI") + encode(*args) + encode("EXEC"))
    _, queued, executed = (connection.read() for _ in range(3))
    yield "queued", queued
    if executed[0] == "*" and executed[1]:
        yield "executed", executed[1][0]
    yield "script", connection.call("EVAL", SCRIPT, 0, *args)
    yield "function", connection.call("FCALL", "run", 0, *args)


def judgement(reply):
    """What a reply says of rights: a denial, in the built-in command's words, or nothing."""
    if reply[0] != "-" or not ("NOPERM" in reply[1] or "can't" in reply[1] or "permission" in reply[1]):
        return "allowed"
    text = reply[1].split(" script: ")[0]
    for name in CALLS:
        built_in = "debug" if name.startswith("debug|") else name
        text = text.replace(f"'faha.{name.replace('|', '.')}'", f"'{built_in}'")
    return text


@pytest.mark.parametrize("protocol", [2, 3])
def test_rights_are_those_of_stock_redis(pair, protocol):
    admins = [Connection(server.port) for server in pair]
    names = [name for name in CALLS if "debug|" not in name]
    entries = dict(zip(names, admins[0].call("COMMAND", "INFO", *names)[1]))
    denied = 0
    for name, arguments in CALLS.items():
        debug = ["@admin", "@dangerous", "@slow"]
        categories = [category for _, category in entries[name][1][6][1]] if name in entries else debug
        args = [*name.split("|"), *words(arguments.replace("{k}", "k:1"))]
        for case, rules in cases(name, sorted(categories)):
            seen = []
            for server, admin in zip(pair, admins):
                made = admin.call("ACL", "SETUSER", "judged", "reset", "on", ">pass", *split_rules(rules))
                assert made == ("+", "OK"), (rules, made)
                connection = Connection(server.port)
                assert connection.call("HELLO", protocol, "AUTH", "judged", "pass")[0] in "*%", rules
                seen.append({way: judgement(reply) for way, reply in ways(connection, args)})
                if name == "save":  # Redis says first that it cannot be in a transaction; a module's command can
                    del seen[-1]["queued"]
                    seen[-1].pop("executed", None)
                if name.startswith("wait"):  # from a script of Redis 7.2 and later it may be called; FaHA's never
                    del seen[-1]["script"], seen[-1]["function"]
                connection.socket.close()
            assert seen[0] == seen[1], f"{name}, {case}, RESP{protocol}: {rules}\nstock: {seen[0]}\nFaHA:  {seen[1]}"
            denied += seen[1]["direct"] != "allowed"
    assert denied > 6 * len(CALLS)
    for admin in admins:
        admin.call("ACL", "DELUSER", "judged")


def split_rules(rules):
    """At spaces, but a selector is one."""
    parts, depth = [""], 0
    for char in rules:
        depth += (char == "(") - (char == ")")
        if char == " " and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part for part in parts if part]


RULES = "~k:* resetchannels -@all +get +set (~l:* resetchannels -@all +del)"


def test_rules_are_shown_and_saved_as_they_were_given(make_server, folder):
    file = folder / "users.acl"
    file.write_text(f"user default on nopass ~* &* +@all\nuser app on nopass {RULES}\n")
    server = make_server(args=["--aclfile", str(file)]).start()
    admin = server.client()
    app = Connection(server.port)
    assert app.call("AUTH", "app", "any") == ("+", "OK")

    def check():
        assert app.call("SET", "k:1", "v") == ("+", "OK") and app.call("DEL", "l:1")[0] == ":"
        for line in ("SET l:1 v", "DEL k:1", "STRLEN k:1"):
            assert app.call(*words(line))[1].startswith("NOPERM"), line
        for text in (str(admin.execute_command("ACL", "LIST")), str(admin.execute_command("ACL", "GETUSER", "app"))):
            assert "faha" not in text

    check()
    assert admin.acl_save()
    assert "faha" not in file.read_text()
    check()
    assert admin.acl_load()
    app = Connection(server.port)  # Redis drops the clients of users that are loaded anew
    assert app.call("AUTH", "app", "any") == ("+", "OK")
    check()
    # Within a transaction, what comes behind a change goes by it.
    both = Connection(server.port)
    both.send_raw(encode("MULTI") + encode("ACL", "SETUSER", "app", "-set") + encode("ACL", "LIST") + encode("EXEC"))
    _, _, _, (_, (_, (_, listed))) = (both.read() for _ in range(4))
    assert "faha" not in str(listed)
    assert app.call("SET", "k:1", "v")[1].startswith("NOPERM") and app.call("GET", "k:1") == ("$", "v")


def test_own_commands_are_for_administrators(make_server):
    server = make_server().start()
    admin = server.client()
    rules = {"plain": "+@all -@dangerous", "named": "-@all +faha.status", "taken": "+@all -faha.status", "all": "+@all"}
    for name, rule in rules.items():
        admin.execute_command("ACL", "SETUSER", name, "on", "nopass", "~*", *rule.split())
    may = {}
    for name in rules:
        client = Connection(server.port)
        client.call("AUTH", name, "x")
        replies = [client.call(*words(line)) for line in ("FAHA.STATUS", "FAHA.PROMOTE", "FAHA.FORGET h 1", "FAHA.FAILOVER")]
        may[name] = [not (kind == "-" and text.startswith("NOPERM")) for kind, text in replies]
    assert may == {"plain": [False] * 4, "named": [True] + [False] * 3, "taken": [False] + [True] * 3, "all": [True] * 4}


# --- Names.


def test_the_filters_own_names_are_nobody_elses(make_server):
    """A subcommand's name that passed its first argument on gave all that the container can do."""
    server = make_server().start()
    admin = server.client()
    admin.set("a", "v")
    admin.execute_command("ACL", "SETUSER", "low", "on", "nopass", "-@all", "+acl|deluser", "+eval", "+multi", "+exec", "~*")
    low = Connection(server.port)
    assert low.call("AUTH", "low", "x") == ("+", "OK")
    top = Connection(server.port)
    for args in (["faha.acl.deluser", "SETUSER", "low", "+@all"], ["faha.debug.object", "SEGFAULT", "a"], ["FAHA.SET", "a", "w"],
                 ["faha.function.load", "FLUSH", "SYNC"], ["faha.replicaof", "no", "one"], ["faha.refuse", "x"]):  # fmt: skip
        for connection in (low, top):
            assert connection.call(*args)[0] == "-", args
            assert connection.call("EVAL", SCRIPT, 0, *args)[0] == "-", args
        top.send_raw(encode("MULTI") + encode(*args) + encode("EXEC"))
        assert [top.read()[0] for _ in range(3)] == ["+", "-", "-"], args
    assert low.call("CONFIG", "GET", "port")[1].startswith("NOPERM") and admin.get("a") == "v"


@pytest.mark.parametrize("renames", [["SET", "W", "GET", "SET"], ["GET", "", "SET", "GET"], ["DEL", "", "STRLEN", "DEL"]])
def test_a_name_that_another_command_has_taken(make_server, renames):
    args = [word for old, new in zip(renames[::2], renames[1::2]) for word in ("--rename-command", old, new or '""')]
    stock, faha = make_server(faha=False, args=args).start(), make_server(args=args).start()
    replies = []
    for server in (stock, faha):
        client = Connection(server.port)
        client.call("MSET", "a", "1", "b", "2")
        calls = [["W", "a", "3"], ["SET", "a"], ["GET", "a", "4"], ["GET", "a"], ["DEL", "a"], ["MGET", "a", "b"]]
        replies.append([client.call(*call) for call in calls])
    # Redis 8 takes what is renamed SET for SET where it counts the words.
    assert all(stock == faha or "wrong number" in stock[1] for stock, faha in zip(*replies)), replies


def test_sort_reads_what_its_caller_may(make_server):
    """BY and GET read keys that the command does not name."""
    servers = make_server(faha=False).start(), make_server().start()
    admins = [server.client() for server in servers]
    calls = [f"{sort} l{rest}" for rest in ("", " BY w_*", " BY nosort", " GET #", " BY w_* GET x_* LIMIT 0 1") for sort in ("SORT", "SORT_RO")]
    calls += ["SORT l STORE t", "SORT l BY w_* STORE t", "SORT l GET w_* STORE t", "SORT_RO l STORE t"]
    for rules in ("~*", "~l ~t", "%R~*", "%R~* %W~t", "%W~* %R~l", "~l ~t (%R~* +sort_ro)", "~l (~* +sort)", "allkeys", "%RW~*"):
        clients = []
        for admin, server in zip(admins, servers):
            admin.acl_deluser("u")
            selector = rules.partition("(")
            admin.execute_command("ACL", "SETUSER", "u", "on", "nopass", "+@all", *selector[0].split(), *([selector[1] + selector[2]] if selector[1] else []))
            admin.execute_command("SET", "t", "there")
            clients.append(Connection(server.port))
            assert clients[-1].call("AUTH", "u", "x") == ("+", "OK")
        for line in calls:
            for args in (words(line), ["EVAL", "return redis.pcall(unpack(ARGV))", 0, *words(line)]):
                stock, faha = [client.call(*args) for client in clients]
                assert stock == faha, (rules, args)
            assert admins[0].exists("t") == admins[1].exists("t"), (rules, line)


def test_a_name_with_a_bar_is_not_served(make_server):
    server = make_server(args=["--rename-command", "SET", "w|set", "--rename-command", "LPUSH", "l|p"]).start()
    client = Connection(server.port)
    for args in (["w|set", "k", "v"], ["l|p", "k", "v"]):
        assert client.call(*args)[1].startswith("ERR unknown command"), args
    assert client.call("DBSIZE") == (":", 0) and server.native_keys() == 0


@pytest.mark.skipif(SANITIZED, reason="a stock server cannot load the module")
def test_the_module_is_not_loaded_into_an_open_transaction(make_server, folder):
    server = make_server(faha=False, args=["--enable-module-command", "yes"]).start()
    client, other = Connection(server.port), Connection(server.port)
    load = ["MODULE", "LOADEX", MODULE, "CONFIG", "faha.pool-path", str(folder / "pool"), "CONFIG", "faha.pool-bytes", "256mb"]
    client.send_raw(encode("MULTI") + encode("SET", "k", "v"))
    assert [client.read() for _ in range(2)] == [("+", "OK"), ("+", "QUEUED")]
    assert other.call(*load)[0] == "-" and "UNAVAILABLE a client is in a transaction" in server.log()
    assert client.call("DISCARD") == ("+", "OK")
    assert other.call(*load) == ("+", "OK")
    assert client.call("SET", "k", "v") == ("+", "OK") and server.native_keys() == 0


@pytest.mark.skipif(SANITIZED, reason="a stock server cannot load the module")
def test_the_module_is_not_loaded_while_a_client_waits(make_server, folder):
    server = make_server(faha=False, args=["--enable-module-command", "yes"]).start()
    client, other = Connection(server.port), Connection(server.port)
    _, number = client.call("CLIENT", "ID")
    client.send_raw(encode("BLPOP", "l", "0"))
    wait_for(lambda: server.client().info("clients")["blocked_clients"] == 1, what="the client to wait")
    load = ["MODULE", "LOADEX", MODULE, "CONFIG", "faha.pool-path", str(folder / "pool"), "CONFIG", "faha.pool-bytes", "256mb"]
    assert other.call(*load)[0] == "-" and "UNAVAILABLE a client waits" in server.log()
    assert other.call("CLIENT", "UNBLOCK", number) == (":", 1) and client.read() == ("*", None)
    assert other.call(*load) == ("+", "OK")


@pytest.mark.skipif(SANITIZED, reason="a stock server cannot load the module")
def test_the_module_is_not_loaded_where_a_replica_would_stay_empty(make_server, folder):
    server = make_server(faha=False, args=["--enable-module-command", "yes"]).start()
    replica = make_server(faha=False, args=["--replicaof", HOST, str(server.port)]).start()
    wait_for(lambda: replica.client().info("replication")["master_link_status"] == "up", what="the replica")
    load = ["MODULE", "LOADEX", MODULE, "CONFIG", "faha.pool-path", str(folder / "pool"), "CONFIG", "faha.pool-bytes", "256mb"]
    assert Connection(server.port).call(*load)[0] == "-" and "UNAVAILABLE a replica without FaHA" in server.log()


def test_a_renamed_command_is_known_by_its_new_name_alone(make_server):
    renames = {"SET": "PUT", "FLUSHALL": "", "OBJECT": "THING", "SORT": "ORDER", "WATCH": "LOOK", "XADD": "SHOVE"}
    args = [word for old, new in renames.items() for word in ("--rename-command", old, new or '""')]
    server = make_server(args=args).start()
    client = Connection(server.port)
    for line in ("SET a 1", "FLUSHALL", "OBJECT ENCODING a", "SORT a", "XADD x * f v"):
        assert client.call(*words(line))[1].startswith("ERR unknown command"), line
    assert client.call("PUT", "a", "1") == ("+", "OK") and client.call("put", "b", "2") == ("+", "OK")
    assert client.call("GET", "a") == ("$", "1") and client.call("DBSIZE") == (":", 2)
    assert client.call("THING", "ENCODING", "a") == ("$", "int")
    assert client.call("ORDER", "none") == ("*", [])
    assert client.call("SHOVE", "x", "*", "f", "v")[1].startswith("UNSUPPORTED")
    assert client.call("EVAL", "return redis.call('PUT', 'c', '3')", 0) == ("+", "OK")
    # What a flush must tell the watchers of does not depend on names either.
    assert client.call("LOOK", "a") == ("+", "OK")
    assert Connection(server.port).call("FLUSHDB") == ("+", "OK")
    client.send_raw(encode("MULTI") + encode("PING") + encode("EXEC"))
    assert [client.read() for _ in range(3)][2] == ("*", None)
    assert server.native_keys() == 0
    server.kill()
    server.start()
    assert Connection(server.port).call("DBSIZE") == (":", 0)


@pytest.mark.parametrize("name", ["CONFIG", "CLIENT", "REPLICAOF", "COMMAND", "ACL"])
def test_what_the_module_needs_must_have_its_name(make_server, name):
    server = make_server(args=["--rename-command", name, "other"])
    server.spawn()
    wait_for(lambda: server.process.poll() is not None, what="the server to refuse")
    assert f"BADCONFIG FaHA calls the command {name.lower()}, which rename-command has taken away" in server.log()


@pytest.mark.parametrize("length", [64, 65, 128, 5000])
def test_a_renamed_command_may_have_a_long_name(make_server, length):
    names = {"SET": "s" * length, "XADD": "x" * length, "FUNCTION": "f" * length}
    server = make_server(args=[word for old, new in names.items() for word in ("--rename-command", old, new)]).start()
    client = Connection(server.port)
    assert client.call(names["SET"].upper(), "k", "v") == ("+", "OK") and client.call("GET", "k") == ("$", "v")
    assert client.call(names["XADD"], "x", "*", "f", "v")[1].startswith("UNSUPPORTED")
    assert client.call(names["FUNCTION"], "LOAD", LIBRARY) == ("$", "rights")
    server.kill()
    server.start()
    client = Connection(server.port)
    assert client.call("GET", "k") == ("$", "v") and "rights" in str(client.call(names["FUNCTION"], "LIST"))
    assert server.native_keys() == 0


FIRST_ARGUMENTS = [
    ("+get|a +set|foo -ping", ["GET a", "GET b", "SET foo 1", "SET a 1"]),
    ("+@all -@read +get|a +mget|a", ["GET a", "GET b", "MGET a b", "MGET b", "STRLEN a", "SET b 1"]),
    ("+info|server +flushall|async +get -get +strlen|a", ["INFO server", "INFO", "FLUSHALL ASYNC", "FLUSHALL", "GET a", "STRLEN a"]),
    ("-@all (+get|a ~a) (+set ~b)", ["GET a", "GET b", "SET b 1", "SET a 1"]),
]
SELECTORS = [
    "(+set +get %R~* %R~a %W~*)", "(+get %R~* %W~*)", "(+get +set ~x ~*)", "(+set %W~a* %R~b*)", "(allkeys +get) (+set %RW~a)",
]  # fmt: skip


@pytest.mark.parametrize("rules, calls", FIRST_ARGUMENTS + [(rules, ["GET a", "SET a 1", "SET x 1", "GET b"]) for rules in SELECTORS])
def test_first_arguments_and_selectors_mean_what_they_mean(pair, rules, calls):
    answers = []
    for server in pair:
        admin = server.client()
        admin.execute_command("ACL", "SETUSER", "narrow", "reset", "on", "nopass", *(["~*"] if "~" not in rules else []), *shlex_rules(rules))
        client = Connection(server.port)
        assert client.call("AUTH", "narrow", "x") == ("+", "OK")
        denied = [(call, client.call(*words(call))[1]) for call in calls]
        answers.append([(call, str(answer).startswith("NOPERM")) for call, answer in denied])
        # Redis lists commands in the order of numbers that differ from start to start.
        answers[-1].append(sorted(re.findall(r"[^' ,\[\]]+", str(admin.execute_command("ACL", "GETUSER", "narrow")))))
        admin.execute_command("ACL", "DELUSER", "narrow")
    assert answers[0] == answers[1]


def shlex_rules(rules):
    """The words of ACL SETUSER: a selector is one."""
    return re.findall(r"\([^)]*\)|\S+", rules)


def test_secrets_go_to_no_log(make_server):
    server = make_server(args=["--slowlog-log-slower-than", "0"]).start()
    client = Connection(server.port)
    watching = Connection(server.port)
    assert watching.call("MONITOR") == ("+", "OK")
    assert client.call("CONFIG", "SET", "maxclients", "1000", "FAHA.Sentinel-Password", "hunter-2") == ("+", "OK")
    for args in (["requirepass", ""], ["MasterAuth", "hunter-2"], ["nosuch", "1", "masterauth", "hunter-2"], ["masteruser", "hunter-2"]):
        client.call("CONFIG", "SET", *args)
    client.send_raw(encode("MULTI") + encode("CONFIG", "SET", "masterauth", "hunter-2") + encode("EXEC"))
    assert [client.read()[0] for _ in range(3)] == ["+", "+", "*"]
    for args in (["faha.config.set", "masterauth", "hunter-2"], ["CONFIG|SET", "masterauth", "hunter-2"], ["CONFIG", "SET\0x", "masterauth", "hunter-2"],
                 ["faha.refuse", "hunter-2"], ["faha.refuse-replica", "hunter-2"]):  # fmt: skip
        assert client.call(*args)[0] == "-"
    for name in ("MIGRATE", "migrate"):
        client.call(name, "127.0.0.1", "1", "k", "0", "1000", "AUTH", "hunter-2")
        client.call(name, "127.0.0.1", "1", "k", "0", "1000", "AUTH2", "me", "hunter-2")
    assert "hunter-2" not in str(client.call("SLOWLOG", "GET", "-1")) and "redacted" in str(client.call("SLOWLOG", "GET", "-1"))
    client.call("ECHO", "the end")
    shown = ""
    while "the end" not in shown:
        shown += str(watching.read())
    assert "hunter-2" not in shown


def test_a_zero_byte_hides_no_command(make_server):
    server = make_server(args=["--enable-debug-command", "yes"]).start()
    client = Connection(server.port)
    for suffix in (f"\0{char}" for char in "abcdefghijklmnopqrstuvwxyz0123456789"):
        for args in (["SET" + suffix, "k", "v"], ["DEBUG", "POPULATE" + suffix, "3"], ["OBJECT", "FREQ" + suffix, "k"]):
            assert client.call(*args)[0] == "-", args
    assert client.call("SET" + "\0" + "x" * 100, "k", "v")[0] == "-"
    assert client.call("DBSIZE") == (":", 0) and server.native_keys() == 0


# --- Strangers.


def with_password(make_server):
    server = make_server().start()
    admin = server.client()
    admin.config_set("requirepass", "secret")
    return server, server.client(password="secret")


@pytest.mark.skipif(SANITIZED, reason="what is freed stays with the sanitizer")
def test_strangers_do_not_fill_memory_by_watching(make_server):
    server, admin = with_password(make_server)
    for i in range(100):
        admin.set(f"k{i}", "v")
    before = admin.info("memory")["used_memory_rss"]
    stranger = Connection(server.port)
    for i in range(400):  # Redis lets strangers send no more at once
        stranger.send("WATCH", *(f"{i}.{j}." + "x" * 16_000 for j in range(9)))
        assert stranger.read()[1].startswith("NOAUTH")
    assert admin.info("memory")["used_memory_rss"] - before < 20 << 20
    # What is bounded is only what is remembered, not what is right.
    watcher = Connection(server.port)
    watcher.call("AUTH", "secret")
    watcher.call("WATCH", "k7")
    admin.flushdb()
    watcher.send_raw(encode("MULTI") + encode("PING") + encode("EXEC"))
    assert [watcher.read() for _ in range(3)][2] == ("*", None)


def test_watched_names_go_with_the_clients(make_server):
    server = make_server().start()
    size = lambda: server.client().info("memory")["used_memory"]
    before = size()
    watcher = Connection(server.port)
    for i in range(500):
        assert watcher.call("WATCH", f"{i}." + "x" * 5_000) == ("+", "OK")
    assert size() > before + 2_000_000
    watcher.socket.close()
    wait_for(lambda: size() < before + 1_000_000, what="the names to be forgotten")


def test_only_who_may_publish_is_heard_on_sentinels_channel(make_server):
    server, admin = with_password(make_server)
    admin.execute_command("ACL", "SETUSER", "reader", "on", "nopass", "+@all", "~*", "resetchannels", "&news")
    stranger, reader = Connection(server.port), Connection(server.port)
    assert reader.call("AUTH", "reader", "x") == ("+", "OK")
    for connection, word in ((stranger, "NOAUTH"), (reader, "NOPERM")):
        assert connection.call("PUBLISH", "__sentinel__:hello", "x")[1].startswith(word)
    listener = Connection(server.port)
    listener.call("AUTH", "secret")
    listener.call("SUBSCRIBE", "__sentinel__:hello")
    assert admin.publish("__sentinel__:hello", "hello") == 1
    assert listener.read() == ("*", [("$", "message"), ("$", "__sentinel__:hello"), ("$", "hello")])
