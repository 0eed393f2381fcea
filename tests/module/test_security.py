"""Who may speak on the replication port: the secret and where it is kept, and TLS."""

import contextlib
import os
import pathlib
import socket
import ssl
import subprocess
import threading

import pytest
import redis

from cluster import HOST, PORT_OFFSET, Server, free_port, wait_for


def secret_file(folder, text, mode=0o600):
    path = folder / "secret"
    path.write_bytes(text)
    path.chmod(mode)
    return path


def ends_with(server, code):
    """The server ends and has made no pool; returns the one line with `code`."""
    server.spawn()
    assert server.process.wait(timeout=30) != 0
    server.process = None
    lines = [line for line in server.log().splitlines() if f"faha: {code} " in line]
    assert len(lines) == 1, server.log()
    assert not server.pool_path.exists()
    return lines[0]


# --- The secret's file.


BAD_FILES = {
    "an empty one": (b"", 0o600, "empty"),
    "an empty first line": (b"\nsecond line\n", 0o600, "empty"),
    "a long line": (b"x" * 201, 0o600, "more than 200 characters"),
    "one that others read": (b"secret\n", 0o644, "chmod 600"),
    "one that its group reads": (b"secret\n", 0o640, "chmod 600"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_secret_file_that_cannot_be_used(make_server, folder, what):
    text, mode, why = BAD_FILES[what]
    path = secret_file(folder, text, mode)
    line = ends_with(make_server(args=["--faha.secret-file", str(path)]), "BADCONFIG")
    assert str(path) in line and why in line


def test_a_secret_file_that_is_not_there_or_no_file(make_server, folder):
    assert "No such file" in ends_with(make_server(args=["--faha.secret-file", str(folder / "none")]), "BADCONFIG")
    os.mkfifo(folder / "pipe", 0o600)
    assert "is no file" in ends_with(make_server(args=["--faha.secret-file", str(folder / "pipe")]), "BADCONFIG")


def test_a_secret_and_a_file(make_server, folder):
    path = secret_file(folder, b"secret\n")
    server = make_server(args=["--faha.secret-file", str(path), "--faha.secret", "secret"])
    assert "both" in ends_with(server, "BADCONFIG")


def test_a_secret_of_a_file_is_that_of_the_setting(make_cluster, make_server, folder):
    """The first line alone counts, and 200 characters are not too many."""
    secret = "s" * 200
    path = secret_file(folder, f"{secret}\nnot a part of it\n".encode())
    cluster = make_cluster(size=2, args=["--faha.secret-file", str(path)])
    assert cluster[0].client().config_get("faha.secret*") == {"faha.secret": "", "faha.secret-file": str(path)}
    stranger = make_server(args=["--faha.secret", "another"]).start()
    stranger.client().execute_command("REPLICAOF", "127.0.0.1", cluster[0].port)
    wait_for(lambda: str(stranger.info()["last_error"]).startswith("DENIED"), what="the refusal")
    stranger.kill()
    friend = make_server(args=["--faha.secret", secret]).start()
    friend.client().execute_command("REPLICAOF", "127.0.0.1", cluster[0].port)
    wait_for(lambda: cluster[0].info()["in_sync_backups"] == 2, what="the one that knows it")
    with pytest.raises(redis.exceptions.ResponseError, match="immutable"):
        friend.client().config_set("faha.secret-file", str(path))


def test_a_connection_that_is_lost_in_the_handshake_is_no_denial(make_server):
    """That a peer hangs up before it has proved anything says nothing about its secret."""
    server = make_server(args=["--faha.secret", "the same"]).start()
    primary = free_port()
    with socket.create_server((HOST, primary + PORT_OFFSET)) as peer:
        server.client().execute_command("REPLICAOF", HOST, primary)

        def hang_up_and_look():
            peer.accept()[0].close()
            return "before its handshake was over" in str(server.info()["last_error"])

        wait_for(hang_up_and_look, what="the node to say that it lost the connection")
    assert str(server.info()["last_error"]).startswith("UNAVAILABLE")
    assert "DENIED" not in server.log()


# --- TLS.


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Ca:
    """A CA, and nodes that it vouches for."""

    def __init__(self, folder, name):
        self.folder, self.name = folder / name, name
        self.folder.mkdir()
        self.key, self.certificate = self.folder / "ca.key", self.folder / "ca.crt"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.certificate,
                "-days", 2, "-subj", f"/CN={name}")  # fmt: skip

    def node(self, name):
        """Server arguments, but faha.tls: the node's files."""
        node = self.folder / name
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{node}.key", "-out", f"{node}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{node}.csr", "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                "-days", 2, "-out", f"{node}.crt")  # fmt: skip
        return ["--tls-cert-file", f"{node}.crt", "--tls-key-file", f"{node}.key", "--tls-ca-cert-file", str(self.certificate)]


TLS = ["--faha.tls", "yes", "--faha.fabric", "auto"]


def tls_version(server, files, port=None):
    """The version that the replication port speaks with a node that has these files; None if it speaks no TLS."""
    context = ssl.create_default_context(cafile=files[5])
    context.check_hostname = False
    context.load_cert_chain(files[1], files[3])
    with socket.create_connection((HOST, port or server.port + PORT_OFFSET), timeout=30) as raw:
        try:
            with context.wrap_socket(raw) as wrapped:
                return wrapped.version()
        except (ssl.SSLError, ConnectionError):
            return None


def last_error(server):
    return str(server.info()["last_error"])


def follow(server, primary):
    server.client().execute_command("REPLICAOF", HOST, primary.port)


def test_three_servers_with_tls(make_cluster, folder):
    files = Ca(folder, "ours").node("node")
    cluster = make_cluster(args=[*TLS, *files])
    assert tls_version(cluster[0], files) == "TLSv1.3"
    info = cluster[0].info()
    assert info["fabric"] == "tcp" and "TLS" in info["fabric_remark"]
    values = {f"key {i}": "x" * (i * 500) for i in range(200)}
    with cluster[0].client() as client:
        client.mset(values)
    cluster[0].kill()
    cluster.promote(cluster[1])
    with cluster[1].client() as client:
        assert client.mget(values) == list(values.values())
        client.set("after", "1")
    cluster[0].start()
    cluster.wait_in_sync(cluster[1])


def test_another_ca_and_no_tls_are_denied_at_both_ends(make_cluster, make_server, folder):
    ours = Ca(folder, "ours")
    cluster = make_cluster(size=2, args=[*TLS, *ours.node("node")])
    stranger = make_server(args=[*TLS, *Ca(folder, "theirs").node("node")]).start()
    follow(stranger, cluster[0])
    wait_for(lambda: last_error(stranger).startswith("DENIED") and "certificate" in last_error(stranger), what="refusal")
    wait_for(lambda: last_error(cluster[0]).startswith("DENIED"), what="the refusal at the other end")
    stranger.kill()
    plain = make_server(args=["--faha.tls", "no"]).start()
    follow(plain, cluster[0])
    for server in (plain, cluster[0]):
        wait_for(lambda s=server: last_error(s).startswith("DENIED") and "faha.tls" in last_error(s), what="refusal")
    friend = make_server(args=[*TLS, *ours.node("friend")]).start()
    follow(friend, cluster[0])
    wait_for(lambda: cluster[0].info()["in_sync_backups"] == 2, what="the one with a certificate")


def test_tls_towards_a_node_without(make_server, folder):
    primary = make_server().start()
    backup = make_server(args=[*TLS, *Ca(folder, "ours").node("node")]).start()
    follow(backup, primary)
    for server in (primary, backup):
        wait_for(lambda s=server: last_error(s).startswith("DENIED") and "faha.tls" in last_error(s), what="refusal")


def test_new_certificates_without_a_restart(make_cluster, make_server, folder):
    ours, next_ca = Ca(folder, "ours"), Ca(folder, "next")
    files = ours.node("node")
    cluster = make_cluster(size=2, args=[*TLS, *files])
    # Broken files: those that were read before go on.
    path = pathlib.Path(files[1])
    good = path.read_bytes()
    path.write_bytes(b"half a certificate\n")
    third = make_server(args=[*TLS, *ours.node("third")]).start()
    follow(third, cluster[0])
    wait_for(lambda: cluster[0].info()["in_sync_backups"] == 2, what="the third node")
    assert "BADCONFIG faha.tls: tls-cert-file" in cluster[0].log()
    path.write_bytes(good)
    # Another CA: new links are of it, and what is there goes on.
    for old, new in zip(files[1::2], next_ca.node("node")[1::2]):
        pathlib.Path(old).write_bytes(pathlib.Path(new).read_bytes())
    newcomer = make_server(args=[*TLS, *next_ca.node("newcomer")]).start()
    follow(newcomer, cluster[0])
    wait_for(lambda: cluster[0].info()["in_sync_backups"] == 3, what="the node of the next CA")
    assert "the TLS files have changed" in cluster[0].log()
    with cluster[0].client() as client:
        client.set("key", "value")
    assert cluster[0].info()["in_sync_backups"] == 3


def test_tls_as_the_server_does(make_server, folder):
    """auto: what the server's own replication does."""
    files = Ca(folder, "ours").node("node")
    with_tls, without = make_server(args=[*files, "--tls-replication", "yes"]).start(), make_server(args=files).start()
    assert with_tls.client().config_get("faha.tls") == {"faha.tls": "auto"}
    assert tls_version(with_tls, files) == "TLSv1.3"
    assert tls_version(without, files) is None


class TlsServer(Server):
    """One that clients, and Redis' own replication, reach by TLS alone."""

    def __init__(self, folder, files):
        super().__init__(folder, args=[*files, "--tls-replication", "yes", "--port", "0"])
        self.args += ["--tls-port", str(self.port)]
        self.options = dict(ssl=True, ssl_certfile=files[1], ssl_keyfile=files[3], ssl_ca_certs=files[5], ssl_check_hostname=False)

    def client(self, **options):
        return super().client(**self.options, **options)


def test_servers_that_speak_tls_alone(folder):
    ours = Ca(folder, "ours")
    first, second = (TlsServer(folder / name, ours.node(name)) for name in ("a", "b"))
    try:
        first.start()
        follow(second.start(), first)
        wait_for(lambda: first.info()["in_sync_backups"] == 1, what="the backup")
        assert first.client().set("key", "value")
        assert tls_version(second, ours.node("c")) == "TLSv1.3"
        # Redis' own link, too.
        wait_for(lambda: second.client().info("replication")["master_link_status"] == "up", what="Redis' roles")
        first.kill()
        second.client().execute_command("FAHA.PROMOTE", "FORCE")
        assert second.client().get("key") == "value"
    finally:
        first.kill()
        second.kill()


def test_tls_that_cannot_be_used(make_server, folder):
    ours = Ca(folder, "ours")
    files, other = ours.node("node"), ours.node("other")
    bad = {
        "tls-cert-file": [],
        "tls-ca-cert-file or tls-ca-cert-dir": files[:4],
        "No such file": [*files[:3], str(folder / "none"), *files[4:]],
        "key values mismatch": [*files[:3], other[3], *files[4:]],
        "faha.fabric": [*files, "--faha.fabric", "rdma"],
    }
    for why, arguments in bad.items():
        assert why in ends_with(make_server(args=[*TLS, *arguments]), "BADCONFIG")


# A client's first words to TLS, a frame's header with no end, a whole frame of nonsense, and silence.
NONSENSE = [b"\x16\x03\x01\x02\x00\x01\x00", os.urandom(7), os.urandom(4000), b"FAHA" + b"\xff" * 60, b""]


@contextlib.contextmanager
def flooded(nodes, sources):
    """Connections to the replication ports of `nodes` from `sources`, as fast as they go, some 200 open at a time."""
    stop = threading.Event()

    def flood(node, source):
        held, turn = [], 0
        while not stop.is_set():
            turn += 1
            with contextlib.suppress(OSError):
                held.append(socket.create_connection((HOST, node.port + PORT_OFFSET), 1, (source, 0)))
                held[-1].sendall(NONSENSE[turn % len(NONSENSE)])
            if len(held) > 200:
                held.pop(0).close()

    floods = [threading.Thread(target=flood, args=(node, at)) for node in nodes for at in sources]
    for thread in floods:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in floods:
            thread.join()


def test_floods_of_strangers_while_a_backup_joins(make_cluster, folder):
    """Connections, garbage and handshakes that stop half-way, from a peer's address and from another one, at both ends
    of a backup that comes back under load and takes over."""
    secret = secret_file(folder, b"a secret of the cluster")
    cluster = make_cluster(args=["--faha.secret-file", str(secret)])
    primary, backup, _ = cluster.nodes
    client = primary.client()
    backup.kill()
    for i in range(2000):
        client.set(f"k{i}", "v" * 1000)
    with flooded([primary, backup], [HOST, "127.0.0.9"]):
        backup.start()
        cluster.wait_in_sync(primary, seconds=60)
        for i in range(300):
            assert client.set(f"l{i}", "v")
        assert client.execute_command("FAHA.FAILOVER", "TO", HOST, backup.port) == "OK"
        cluster.wait_in_sync(backup, seconds=60)
        assert backup.client().get("k7") == "v" * 1000 and backup.client().get("l299") == "v"
    # Floods do not fill the log: the server's own start and the roles take most of these lines.
    assert all(len(node.log().splitlines()) < 300 for node in cluster.nodes)


def test_a_node_that_is_refused_does_not_fill_its_log(make_cluster, make_server, folder):
    """Neither FaHA's own connections nor those of Redis' replication try again without a pause."""
    cluster = make_cluster(args=["--faha.secret-file", str(secret_file(folder, b"a secret of the cluster"))])
    other = make_server(args=["--faha.secret", "another secret", "--replicaof", HOST, str(cluster[0].port)]).start()
    wait_for(lambda: "DENIED" in other.log() and other.log().count("Connecting to MASTER") >= 4, what="a few attempts")
    assert len(other.log().splitlines()) < 300 and len(cluster[0].log().splitlines()) < 300


@pytest.mark.parametrize("missing", ["a secret", "TLS"])
def test_a_node_that_hears_nothing_says_what_may_be_the_cause(make_server, folder, missing):
    """Each waits for the other's first word: a node with a secret dials one without, or one that wants TLS first."""
    secret = ["--faha.secret", "a secret"]
    primary = make_server(args=[*secret, *TLS, *Ca(folder, "ours").node("node")] if missing == "TLS" else []).start()
    backup = make_server(args=[*secret, "--replicaof", HOST, str(primary.port)]).start()
    wait_for(lambda: "has not the same faha.secret and faha.tls" in backup.info()["last_error"], what="the line")
