"""What the workers of test_rq.py do: each job leaves a line in a file, outside of Redis.  Called with the name of a queue:
a worker of it."""

import os
import pathlib
import sys

import redis.sentinel
import rq
import rq.job


def work(number):
    with open(pathlib.Path(os.environ["SITE_FOLDER"]) / "done", "a") as file:
        file.write(f"{number}\n")
    return number


class Job(rq.job.Job):
    """One whose result is in its hash: RQ adds it to a stream where the server's version has them, and FaHA serves none."""

    supports_redis_streams = False


class Worker(rq.SimpleWorker):
    """One that tries again each second."""

    exponential_backoff_factor = 1


if __name__ == "__main__":
    addresses = [tuple(address.split(":")) for address in os.environ["SITE_SENTINELS"].split(",")]
    sentinel = redis.sentinel.Sentinel(addresses, socket_timeout=0.5)
    connection = sentinel.master_for(os.environ["SITE_NAME"], socket_timeout=None)
    Worker([sys.argv[1]], connection=connection, job_class=Job).work(logging_level="WARNING")
