"""What the worker of test_celery.py does: each job leaves a line in a file, outside of Redis."""

import os
import pathlib
import signal

import celery

FOLDER = pathlib.Path(os.environ["SITE_FOLDER"])
URL = ";".join(f"sentinel://{address}/0" for address in os.environ["SITE_SENTINELS"].split(","))
RETRIES = {"max_retries": 300, "interval_start": 0.1, "interval_step": 0, "interval_max": 0.1}
OPTIONS = {
    "master_name": os.environ["SITE_NAME"],
    "visibility_timeout": 2,
    "socket_timeout": 5,
    "socket_connect_timeout": 1,
    "retry_policy": RETRIES,
}

app = celery.Celery("applications", broker=URL, backend=URL)
app.conf.update(
    broker_transport_options=OPTIONS,
    result_backend_transport_options=OPTIONS,
    task_publish_retry_policy=RETRIES,
    task_acks_late=True,
    # With 1, a worker of one process waits for ten seconds between two jobs, whatever the server is.
    worker_prefetch_multiplier=10,
)


def leave(name, line):
    with open(FOLDER / name, "a") as file:
        file.write(f"{line}\n")


@app.task
def work(number):
    leave("done", number)
    return number


@app.task
def part(number, kills):
    leave("parts", number)
    if kills and not (FOLDER / "killed").exists():
        leave("killed", number)
        os.kill(int(os.environ["SITE_PRIMARY_PID"]), signal.SIGKILL)
    return number


@app.task
def whole(numbers):
    leave("whole", sorted(numbers))
    return sum(numbers)
