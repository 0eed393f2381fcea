"""docs/commands.md lists what the server serves (FAHA_UPDATE=1 writes its table anew), and --help and --version answer."""

import os
import pathlib
import re
import subprocess

import pytest

from cluster import MODULE, ROOT
from resp import Connection

CHECK = os.environ.get("FAHA_CHECK", str(pathlib.Path(MODULE).with_name("faha-check")))
PAGE = ROOT / "docs" / "commands.md"
OWN = {"failover", "forget", "promote", "status"}  # beside the built-in ones
BEGIN, END = "<!-- generated: FAHA_UPDATE=1 pytest tests/module/test_docs.py -->\n", "<!-- end -->\n"
# What is not as with Redis; the page says more.
NOTES = {
    "PFCOUNT": "native; keeps no count in the value",
    "OBJECT ENCODING": "as after a SET or a RESTORE",
    "OBJECT FREQ": "0 where Redis counts",
    "OBJECT IDLETIME": "0",
    "OBJECT REFCOUNT": "1",
    "MEMORY STATS": "native; the keys are FaHA's",
    "MEMORY USAGE": "native; as after a SET; of a collection of more than 1000 elements an estimate",
    "RESTORE": "native; no streams",
    "DEBUG OBJECT": "native; with `enable-debug-command yes`",
    "DEBUG DIGEST": "with `enable-debug-command yes`",
    "DEBUG DIGEST-VALUE": "with `enable-debug-command yes`",
    "DEBUG POPULATE": "with `enable-debug-command yes`",
    "DEBUG RELOAD": "commits; with `enable-debug-command yes`",
    "DEBUG SET-ACTIVE-EXPIRE": "with `enable-debug-command yes`",
    "SAVE": "to a file of its own",
    "BGSAVE": "to a file of its own",
    "INFO": "Keyspace and Replication are FaHA's",
    "CONFIG REWRITE": "refused where FaHA is loaded from elsewhere than the config file",
    "REPLCONF": "the port of a replica; only FaHA's backups may replicate",
    "WAIT": "counts persistent copies",
    "WAITAOF": "the same; where the server has it (7.2)",
    **dict.fromkeys(["REPLICAOF", "SLAVEOF"], "an order to FaHA; Redis' role follows"),
    "SWAPDB": "client-side caches forget everything",
    **dict.fromkeys(["LCS", "PFADD", "PFMERGE"], "native"),
    "DUMP": "native; of a collection its plain form",
}


def table(server):
    """All of FaHA's commands, but the one that only the filter calls."""
    arities = {entry[1][0][1]: entry[1][1][1] for entry in Connection(server.port).call("COMMAND")[1]}
    rows = []
    for name, arity in sorted(arities.items()):
        if not name.startswith("faha.") or name.startswith("faha.refuse"):
            continue
        builtin = name.removeprefix("faha.")
        title = name if builtin in OWN else builtin.replace(".", " ")
        rows.append((title.upper(), name, arity))
    unknown = set(NOTES) - {title for title, _, _ in rows}
    assert not unknown, f"notes on no command: {unknown}"
    lines = [f"| {title} | `{name}` | {arity} | {NOTES.get(title, '')} |\n" for title, name, arity in rows]
    return "| command | FaHA's name | arity | |\n|---|---|---|---|\n" + "".join(lines)


def test_the_page_lists_what_is_served(make_server):
    head, rest = PAGE.read_text().split(BEGIN)
    written, tail = rest.split(END)
    served = table(make_server().start())
    if os.environ.get("FAHA_UPDATE"):
        PAGE.write_text(head + BEGIN + served + END + tail)
    else:
        assert written == served


SCRIPTS = [path for path in (ROOT / "scripts").iterdir() if path.is_file() and os.access(path, os.X_OK)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_says_what_it_does_and_does_nothing(script):
    said = subprocess.run([script, "--help"], capture_output=True, text=True, check=True, timeout=20)
    head = re.match(r"#!.*\n((?:#.*\n)+)", script.read_text())[1]
    assert said.stdout == re.sub(r"^# ?", "", head, flags=re.MULTILINE) and said.stderr == ""


def test_all_have_one_version(make_server):
    version = re.search(r"^project\(faha VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)[1]
    server = make_server().start()
    assert server.info()["version"] == version
    major, minor, patch = map(int, version.split("."))
    assert server.client().module_list()[0]["ver"] == 10000 * major + 100 * minor + patch
    for command in [CHECK, *SCRIPTS]:
        told = subprocess.run([command, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
        assert told.split()[-1] == version, command
