"""The configuration file: FaHA changes one line of it, and CONFIG REWRITE is refused where it would do harm."""

import pytest
import redis
from cluster import HOST, MODULE, SERVER, wait_for

SECRET = "a secret of the tests"


def configured(make_server, faha="main", secret="main"):
    """A server whose settings stand in files; those that load FaHA and name the secret in that one, or on the command line."""
    server = make_server()
    main, included = server.folder / "redis.conf", server.folder / "included.conf"
    load = f"loadmodule {MODULE}\nfaha.pool-path {server.pool_path}\nfaha.pool-bytes 64mb\nfaha.segment-bytes 4mb\n"
    main.write_text(
        f"# of the operator\nport {server.port}\nbind {HOST}\ndir {server.folder}\nlogfile {server.log_path}\n"
        f'include "{included}"\nsave ""\n'
        + (load if faha == "main" else "")
        + (f'faha.secret "{SECRET}"\n' if secret == "main" else "")
    )
    included.write_text("appendonly yes\nappendfsync always\n" + (load if faha == "included" else ""))
    for file in (main, included):
        file.chmod(0o600)
    more = []
    if faha == "command":
        more += ["--loadmodule", MODULE, *(word for line in load.splitlines()[1:] for word in ("--" + line).split(" "))]
    if secret == "command":
        more += ["--faha.secret", SECRET]
    server.command = lambda: [SERVER, str(main), *more]
    server.main = main
    return server


@pytest.mark.parametrize("secret", ["main", "command"])
@pytest.mark.parametrize("faha", ["main", "included", "command"])
def test_after_changes_of_roles_every_node_starts_again(make_server, faha, secret):
    nodes = [configured(make_server, faha, secret).start() for _ in range(3)]
    before = [node.main.read_text() for node in nodes]
    for node in nodes[1:]:
        node.client().execute_command("REPLICAOF", HOST, nodes[0].port)
    wait_for(lambda: nodes[0].info()["in_sync_backups"] == 2 and nodes[0].info()["members"] == 3, what="the backups")
    line = f"replicaof {HOST} {nodes[0].port}\n"
    for node, text in zip(nodes[1:], before[1:]):
        wait_for(lambda node=node, text=text: node.main.read_text() == text + line, what="the line")
    assert nodes[0].client().execute_command("FAHA.FAILOVER", "TO", HOST, nodes[1].port)
    line = f"replicaof {HOST} {nodes[1].port}\n"
    for node, text, kept in zip(nodes, before, (line, "", line)):
        wait_for(lambda node=node, text=text, kept=kept: node.main.read_text() == text + kept, what="the line to follow the role")
    # As Sentinel does.
    for node in nodes:
        pipe = node.client().pipeline(transaction=True)
        pipe.execute_command("CONFIG", "REWRITE")
        (answer,) = pipe.execute(raise_on_error=False)
        if faha == "main":
            assert answer in (True, "OK", b"OK"), answer
        else:
            assert str(answer).startswith("BADCONFIG ") and "twice" in str(answer)
    for node in nodes:
        assert node.main.stat().st_mode & 0o777 == 0o600
        assert (SECRET in node.main.read_text()) == (secret == "main")
        assert node.main.read_text().count("loadmodule") == (faha == "main")
        assert not [path for path in node.folder.iterdir() if path.name.startswith("redis.conf.")]
    assert nodes[1].client().set("k", "v")
    for node in nodes:
        node.kill()
    for node in nodes:
        node.start()
    primary = wait_for(lambda: next((node for node in nodes if node.info()["state"] == "serving"), None), 60, "a primary")
    assert primary.client().get("k") == "v"


def test_what_was_set_is_rewritten(make_server):
    server = configured(make_server).start()
    server.client().config_set("faha.hot-bytes", 12345678)
    server.client().config_set("maxclients", 321)
    server.client().config_rewrite()
    assert server.main.read_text().startswith("# of the operator\n")
    server.kill()
    server.start()
    assert server.client().config_get("maxclients") == {"maxclients": "321"}
    assert server.client().config_get("faha.hot-bytes") == {"faha.hot-bytes": "12345678"}
    assert server.client().config_get("faha.secret") == {"faha.secret": SECRET}


def test_without_a_file_config_rewrite_says_what_stock_says(make_server):
    answers = []
    for server in (make_server().start(), make_server(faha=False).start()):
        with pytest.raises(redis.exceptions.ResponseError) as error:
            server.client().config_rewrite()
        answers.append(str(error.value))
    assert answers[0] == answers[1]


def test_a_file_that_cannot_be_changed_is_told_of_once(make_server):
    """And the roles change all the same."""
    first, second = (configured(make_server).start() for _ in range(2))
    second.main.unlink()  # as where it was on a medium that is gone
    second.client().execute_command("REPLICAOF", HOST, first.port)
    wait_for(lambda: first.info()["in_sync_backups"] == 1, what="the backup")
    wait_for(lambda: "IOERROR" in second.log(), what="the line")
    assert second.log().count("IOERROR") == 1 and "redis.conf cannot be changed" in second.log()
    assert second.redis_role() == "slave"
