"""Who may speak on the replication port: the secret and where it is kept."""

import os

import pytest
import redis

from cluster import wait_for


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
