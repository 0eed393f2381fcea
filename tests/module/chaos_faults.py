"""What is done to a cluster.  Each fault breaks something, yields, and mends it.

It yields what is to be waited for before it goes on: a condition, or None for clients that carry on.
"""

import contextlib
import signal
import time

import redis
from chaos_clients import Overwriter
from cluster import Server
from sentinels import NAME

# Of each node.  Under overwrites a third of it is live, so there is space for whoever cleans.
POOL_BYTES, SEGMENT_BYTES = 64 << 20, 1 << 20
LIVE_BYTES = POOL_BYTES // 3
# A log that is taken as a whole is begun again so often at most.
RESTARTS = 2


class Scene:
    """What a fault has to do with; `network` is None where there is none to cut.  What is wrong it adds to `problems`."""

    def __init__(self, cluster, sentinels, network, clocks, generator, problems):
        self.cluster, self.sentinels, self.network, self.generator = cluster, sentinels, network, generator
        self.clocks = clocks  # of each node
        self.problems = problems
        self.primary = None

    @contextlib.contextmanager
    def overwrites(self):
        """While clients overwrite a part of the pool without pause; nobody may be told meanwhile that it is full."""
        with Overwriter(self.sentinels, LIVE_BYTES) as overwriter:
            yield overwriter
        if overwriter.no_space:
            self.problems.append(f"{overwriter.no_space} writes were refused for want of space, although two thirds of the pool are dead")

    def taken(self, node):
        """How often that node has begun to take the whole log of another."""
        return node.log().count("taking the whole log of")

    def judge_installs(self, node, before):
        begun = self.taken(node) - before
        if begun > 1 + RESTARTS:
            self.problems.append(f"{node.port} has begun {begun} times to take the whole log")

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


def lasts(seconds):
    """A condition: so much time has passed."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def kill_primary_and_restart(scene):
    """It is back before, while or after another one is elected."""
    scene.primary.kill()
    yield lasts(scene.generator.uniform(0.05, 3))
    scene.primary.start()
    yield


def terminate_primary(scene):
    scene.primary.signal(signal.SIGTERM)
    yield lambda: scene.primary.process.poll() is not None
    yield
    scene.primary.start()


def kill_all_and_start_two(scene):
    """Just a majority returns, with or without the old primary."""
    nodes = scene.cluster.nodes[:]
    scene.generator.shuffle(nodes)
    for node in nodes:
        node.kill()
    for node in nodes[:2]:
        node.start()
    yield
    nodes[2].start()


def kill_primary_without_redis_link(scene):
    """Redis' own replication may not connect, so that Sentinel has FaHA's word alone for the backups."""
    backups = scene.backups()
    for node in backups:
        tell(node, "CONFIG", "SET", "masteruser", "nobody", "masterauth", "wrong")
        tell(node, "CLIENT", "KILL", "TYPE", "master")
    yield lambda: all(node.info()["redis_link"] == "down" for node in backups)
    scene.primary.kill()
    yield
    scene.primary.start()
    for node in backups:
        tell(node, "CONFIG", "SET", "masteruser", "", "masterauth", "")


def step_clocks(scene):
    """The time of day of one node or of all is set by five minutes; leases and elections do not go by it."""
    hosts = scene.generator.choice([[0], [1], [2], [0, 1, 2]])
    seconds = scene.generator.choice([-300, 300])
    for host in hosts:
        scene.clocks[host].step(seconds)
    yield lasts(1)
    yield
    if scene.cluster.primary() is not scene.primary:
        scene.problems.append(f"{scene.primary.port} has lost its role as the clocks of {hosts} were set by {seconds} s")
    for host in hosts:
        scene.clocks[host].step(0)


def tell(node, *command):
    with contextlib.closing(node.client()) as client:
        client.execute_command(*command)


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


def overwritten(overwriter, pools):
    """A condition: what the pool holds has been written so many times from now on."""
    until = overwriter.written + pools * POOL_BYTES
    return lambda: overwriter.written >= until


def pause_backup_under_overwrites(scene):
    """For as long as the pool is written twice: what the backup has not acknowledged must not be in the way."""
    backup = scene.backups()[0]
    with scene.overwrites() as overwriter:
        yield overwritten(overwriter, 1)
        backup.signal(signal.SIGSTOP)
        yield overwritten(overwriter, 2)
        backup.signal(signal.SIGCONT)
        yield lambda: in_sync(scene, len(scene.cluster.nodes) - 1)


def rejoin_under_overwrites(scene):
    """What the backup lacks has been cleaned away when it is back."""
    backup = scene.backups()[0]
    with scene.overwrites() as overwriter:
        yield overwritten(overwriter, 1)
        backup.kill()
        yield overwritten(overwriter, 2)
        taken = scene.taken(backup)
        backup.start()
        yield lambda: in_sync(scene, len(scene.cluster.nodes) - 1)
    scene.judge_installs(backup, taken)


def join_under_overwrites(scene):
    """A node that was never there comes, and leaves."""
    # No Sentinel takes it for one that can be promoted.
    args = [*scene.primary.args, "--replica-priority", "0"]
    newcomer = Server(scene.primary.folder.parent / "newcomer" / str(scene.generator.randrange(1 << 30)), args=args, place=scene.primary.place)
    with scene.overwrites() as overwriter, contextlib.closing(scene.primary.client()) as primary:
        yield overwritten(overwriter, 1)
        try:
            newcomer.start().client().execute_command("REPLICAOF", scene.primary.place.host, scene.primary.port)
            yield lambda: in_sync(scene, len(scene.cluster.nodes)) and newcomer.info()["members"] == len(scene.cluster.nodes) + 1
        finally:
            newcomer.kill()
        yield lambda: forgotten(primary, newcomer)
    scene.judge_installs(newcomer, 0)


def in_sync(scene, backups):
    return scene.primary.info()["in_sync_backups"] == backups


def forgotten(primary, node):
    """Whether it is no member any more; it is told until then, for it may not have hung up yet."""
    with contextlib.suppress(redis.ResponseError):
        return primary.execute_command("FAHA.FORGET", node.place.host, node.port)
    return False


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


# fmt: off
ON_PROCESSES = (kill_primary, kill_primary_and_restart, terminate_primary, kill_all_and_start_two, kill_primary_without_redis_link, step_clocks, pause_primary, kill_backup, pause_backup, hand_over, pause_backup_under_overwrites,
                rejoin_under_overwrites, join_under_overwrites)
ON_NETWORKS = (cut_primary, cut_backup, cut_primary_from_backups, cut_pair, cut_backups_apart, mute_primary, deafen_primary,
               mute_backup, deafen_backup)
