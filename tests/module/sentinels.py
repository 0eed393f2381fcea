"""Redis Sentinels, unmodified, beside a cluster of FaHA."""

import contextlib
import pathlib
import subprocess

import redis
import redis.sentinel
from cluster import HERE, free_port, wait_for

NAME = "cluster"


class Sentinels:
    """`count` Sentinels that watch `primary`; a majority of them decides."""

    def __init__(self, folder, primary, count=3, down_after=1500, places=None, password=None):
        self.password = password
        self.places = places or [HERE] * count
        self.processes, self.ports = [], []
        for i, place in enumerate(self.places):
            home = pathlib.Path(folder) / f"sentinel{i}"
            home.mkdir(parents=True, exist_ok=True)
            port = free_port()
            config = home / "sentinel.conf"
            config.write_text(
                f"port {port}\nbind {place.host}\nbind-source-addr {place.host}\nprotected-mode no\n"
                f"dir {home}\nlogfile {home}/sentinel.log\n"
                f"sentinel monitor {NAME} {primary.place.host} {primary.port} {count // 2 + 1}\n"
                f"sentinel down-after-milliseconds {NAME} {down_after}\n"
                f"sentinel failover-timeout {NAME} 3000\n"
                + (f"requirepass {password}\nsentinel sentinel-pass {password}\n" if password else "")
            )
            self.ports.append(port)
            self.processes.append(subprocess.Popen([*place.enter, "redis-server", str(config), "--sentinel"], stdout=subprocess.DEVNULL))
        self.folder = pathlib.Path(folder)

    def client(self, i=0):
        return redis.Redis(self.places[i].host, self.ports[i], decode_responses=True, socket_timeout=5, password=self.password)

    def finder(self, **options):
        """What an application has: it asks for the primary whenever it connects."""
        addresses = [(place.host, port) for place, port in zip(self.places, self.ports)]
        return redis.sentinel.Sentinel(addresses, socket_timeout=0.5, **options)

    def know(self, nodes):
        """Have all of them found each other, and every node?"""
        for i in range(len(self.ports)):
            with contextlib.closing(self.client(i)) as client:
                state = client.sentinel_master(NAME)
                if state["num-other-sentinels"] != len(self.ports) - 1 or state["num-slaves"] != nodes - 1:
                    return False
        return True

    def calm(self, nodes):
        """Do all of them see a primary and its replicas, each fit to take over, and no failover?"""
        for i in range(len(self.ports)):
            with contextlib.closing(self.client(i)) as client:
                replicas = client.sentinel_slaves(NAME)
                fit = [each for each in replicas if each["flags"] == "slave" and each["slave-priority"] > 0]
                if client.sentinel_master(NAME)["flags"] != "master" or len(fit) != nodes - 1:
                    return False
        return True

    def wait_calm(self, nodes):
        wait_for(lambda: self.calm(nodes), 90, "the Sentinels to see that all is well")

    def at_rest(self):
        """Has none of them looked at a replica within the last second, as is so nine times of ten?"""
        for i in range(len(self.ports)):
            with contextlib.closing(self.client(i)) as client:
                # One that left for good is never looked at, which reads as just now.
                if any(each["info-refresh"] < 1000 and "s_down" not in each["flags"] for each in client.sentinel_slaves(NAME)):
                    return False
        return True

    def wait_at_rest(self):
        """So that what follows is not in step with Sentinel's looks, by which calm is known."""
        wait_for(self.at_rest, 90, "the Sentinels to rest")

    def wait_ready(self, nodes):
        wait_for(lambda: self.know(nodes), 60, "the Sentinels to find each other and the nodes")

    def primary(self, i=0):
        with contextlib.closing(self.client(i)) as client:
            return int(client.sentinel_get_master_addr_by_name(NAME)[1])

    def logs(self):
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("sentinel*/sentinel.log")))

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
