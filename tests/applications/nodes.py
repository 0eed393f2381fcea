"""How tests run programs of node."""

import os
import pathlib
import shutil

import pytest

MODULES = pathlib.Path(
    os.environ.get("FAHA_NODE_MODULES", pathlib.Path(__file__).resolve().parents[2] / "build/applications/node_modules")
)
NODE = ("env", f"NODE_PATH={MODULES}", "node")


def needs_node():
    """Skips the tests of a file where node is not there, or scripts/test has not installed what they need."""
    if not shutil.which("node"):
        pytest.skip("there is no node", allow_module_level=True)
    if not MODULES.is_dir():
        pytest.skip(f"there is no {MODULES}: scripts/test installs it", allow_module_level=True)
