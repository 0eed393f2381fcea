"""What is done to a cluster.  Each fault breaks something, yields, and mends it.

It yields what is to be waited for before it goes on: a condition, or None for clients that carry on.
"""

import contextlib
import signal

import redis
from sentinels import NAME


class Scene:
    """What a fault has to do with; `network` is None where there is none to cut."""

    def __init__(self, cluster, sentinels, network, generator):
        self.cluster, self.sentinels, self.network, self.generator = cluster, sentinels, network, generator
        self.primary = None

    def backups(self):
        """In an order of chance."""
        backups = [node for node in self.cluster.nodes if node is not self.primary]
        self.generator.shuffle(backups)
        return backups

    def host(self, node):
        return self.cluster.nodes.index(node)

    def hosts(self):
        """The primary's, and those of its backups."""
        return self.host(self.primary), [self.host(node) for node in self.backups()]


def moved(scene):
    """Whether the first Sentinel has found another primary, which it is told to do until then."""
    if scene.sentinels.primary() != scene.primary.port:
        return True
    # It refuses while it is busy with one, and for a while after one that has failed.
    with contextlib.closing(scene.sentinels.client()) as client, contextlib.suppress(redis.ResponseError):
        client.execute_command("SENTINEL", "FAILOVER", NAME)
    return False


def kill_primary(scene):
    scene.primary.kill()
    yield
    scene.primary.start()


def pause_primary(scene):
    scene.primary.signal(signal.SIGSTOP)
    yield
    scene.primary.signal(signal.SIGCONT)


def kill_backup(scene):
    backup = scene.backups()[0]
    backup.kill()
    yield
    backup.start()


def pause_backup(scene):
    backup = scene.backups()[0]
    backup.signal(signal.SIGSTOP)
    yield
    backup.signal(signal.SIGCONT)


def hand_over(scene):
    # Not FAHA.FAILOVER: Sentinel would take half a minute to believe what it has not ordered.
    yield lambda: moved(scene)
    yield lambda: scene.cluster.primary() not in (None, scene.primary)
    yield


def cut_primary(scene):
    """From everybody."""
    scene.network.isolate(scene.host(scene.primary))
    yield
    scene.network.heal()


def cut_backup(scene):
    """From everybody."""
    scene.network.isolate(scene.host(scene.backups()[0]))
    yield
    scene.network.heal()


def cut_primary_from_backups(scene):
    """Clients and Sentinels reach it still, and it answers them: it must find out by itself that it may not serve."""
    primary, backups = scene.hosts()
    for backup in backups:
        scene.network.cut(primary, backup, nodes_only=True)
    yield lambda: scene.primary.info()["state"] != "serving"
    # Sentinel sees nothing wrong: the backups say it.
    yield lambda: scene.sentinels.primary() != scene.primary.port
    yield
    scene.network.heal()


def cut_pair(scene):
    primary, backups = scene.hosts()
    scene.network.cut(primary, backups[0])
    yield
    scene.network.heal()


def cut_backups_apart(scene):
    scene.network.cut(*scene.hosts()[1])
    yield
    scene.network.heal()


def mute_primary(scene):
    """The backups do not hear it; it hears them."""
    primary, backups = scene.hosts()
    for backup in backups:
        scene.network.lose(primary, backup)
    yield
    scene.network.heal()


def deafen_primary(scene):
    """It does not hear the backups; they hear it."""
    primary, backups = scene.hosts()
    for backup in backups:
        scene.network.lose(backup, primary)
    yield
    scene.network.heal()


def mute_backup(scene):
    """Its primary does not hear it; it hears its primary."""
    primary, backups = scene.hosts()
    scene.network.lose(backups[0], primary)
    yield
    scene.network.heal()


def deafen_backup(scene):
    """It does not hear its primary; that hears it."""
    primary, backups = scene.hosts()
    scene.network.lose(primary, backups[0])
    yield
    scene.network.heal()


ON_PROCESSES = (kill_primary, pause_primary, kill_backup, pause_backup, hand_over)
# fmt: off
ON_NETWORKS = (cut_primary, cut_backup, cut_primary_from_backups, cut_pair, cut_backups_apart, mute_primary, deafen_primary,
               mute_backup, deafen_backup)
