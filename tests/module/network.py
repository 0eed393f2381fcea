"""Hosts on a network of their own that can be cut: a network namespace each, joined to a bridge.

All of it lives in namespaces of the process that enters: nothing of it is seen outside, and nothing outlives that process.
What a cut loses is lost in silence, as by a broken switch: no error reaches the sender.
"""

import os
import shutil
import subprocess
import sys

from cluster import Place

CLIENTS = "10.77.0.1"
NOWHERE = "10.77.255.1"  # packets that are sent by way of it go to a MAC address that nobody has
LOSSY = "77"  # the routing table that sends everything there
INSIDE = "FAHA_NETWORK"
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def enter():
    """Runs this program again in namespaces of its own, where Network can be made.  Returns why not, if that may not be."""
    if INSIDE in os.environ:
        return None
    for tool in ("unshare", "ip"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    probe = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "probe", "/run"], capture_output=True, text=True)
    if probe.returncode != 0:
        return probe.stderr.strip() or "unshare failed"
    sys.stdout.flush()
    os.execvpe(UNSHARE[0], [*UNSHARE, sys.executable, *sys.argv], os.environ | {INSIDE: "entered"})


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


class Network:
    """`count` hosts; on each one address for a node and one for a Sentinel.  Clients are outside of all of them."""

    def __init__(self, count):
        # Where `ip netns` notes its namespaces: outside nobody shall find them.
        subprocess.run(["mount", "-t", "tmpfs", "faha", "/run"], check=True)
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "bridge", "type", "bridge")
        _ip("addr", "add", f"{CLIENTS}/16", "dev", "bridge")
        _ip("link", "set", "bridge", "up")
        self.hosts = range(count)
        for host in self.hosts:
            self._add(host)

    def _add(self, host):
        name = f"host{host}"
        _ip("netns", "add", name)
        _ip("link", "add", f"port{host}", "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", f"port{host}", "master", "bridge", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "link", "set", "eth0", "up")
        for place in (self.node(host), self.sentinel(host)):
            _ip("-n", name, "addr", "add", f"{place.host}/16", "dev", "eth0")
        _ip("-n", name, "neigh", "add", NOWHERE, "lladdr", "02:00:00:00:de:ad", "dev", "eth0", "nud", "permanent")
        _ip("-n", name, "route", "add", "default", "via", NOWHERE, "dev", "eth0", "table", LOSSY)

    @staticmethod
    def node(host):
        return Place(f"10.77.{host + 1}.1", ("ip", "netns", "exec", f"host{host}"))

    @staticmethod
    def sentinel(host):
        return Place(f"10.77.{host + 1}.2", ("ip", "netns", "exec", f"host{host}"))

    def isolate(self, host):
        """From everybody, clients too."""
        _ip("link", "set", f"port{host}", "down")

    def lose(self, sender, receiver, nodes_only=False):
        """Packets from one host to another; those the other way arrive.  `nodes_only`: Sentinels hear each other and all nodes."""
        source = ("from", self.node(sender).host) if nodes_only else ()
        target = self.node(receiver).host if nodes_only else f"10.77.{receiver + 1}.0/24"
        _ip("-n", f"host{sender}", "rule", "add", *source, "to", target, "lookup", LOSSY)

    def cut(self, one, other, nodes_only=False):
        self.lose(one, other, nodes_only)
        self.lose(other, one, nodes_only)

    def heal(self):
        """All that was cut."""
        for host in self.hosts:
            _ip("link", "set", f"port{host}", "up")
            # Fails once there are no more.
            while subprocess.run(["ip", "-n", f"host{host}", "rule", "del", "lookup", LOSSY], capture_output=True).returncode == 0:
                pass
