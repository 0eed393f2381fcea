"""kombu: a producer, and a consumer that acknowledges, over kombu's own transport for Sentinel.

kombu's consumer takes a message with BRPOP and only then writes it down as not acknowledged, so it loses one if the
server ends between the two.  Here the consumer itself kills the primary while it holds a message: it has no BRPOP on
its way then, and every message must arrive.
"""

import collections
import threading

import pytest
from cluster import wait_for
from sentinels import NAME

kombu = pytest.importorskip("kombu")
from kombu.mixins import ConsumerMixin  # noqa: E402

MESSAGES = 1000
RETRIES = {"interval_start": 0.1, "interval_step": 0, "interval_max": 0.1}
QUEUE = kombu.Queue("work", kombu.Exchange("work"), "work")


def connect(site):
    return kombu.Connection(
        site.url(),
        transport_options={
            "master_name": NAME,
            "visibility_timeout": 1,
            "socket_timeout": 5,
            "socket_connect_timeout": 1,
        },
    )


class Consumer(ConsumerMixin):
    def __init__(self, site):
        self.site, self.connection = site, connect(site)
        self.seen = collections.Counter()
        self.held = None
        self.killed = threading.Event()

    def get_consumers(self, Consumer, channel):
        channel.basic_qos(0, 10, False)
        return [Consumer([QUEUE], callbacks=[self.on_message])]

    def on_message(self, number, message):
        self.seen[number] += 1
        if self.seen.total() == 300:
            self.held = number
            self.site.kill_primary()
            self.killed.set()
        message.ack()


def publish(site, consumer, repeated):
    with connect(site) as connection:
        producer = connection.Producer()
        for number in range(MESSAGES):
            if number == 600:
                consumer.killed.wait(30)
            # Called when the outcome is unknown: kombu will then publish the message again.
            unknown = lambda error, interval, number=number: repeated.add(number)  # noqa: E731
            producer.publish(
                number, routing_key="work", exchange=QUEUE.exchange, declare=[QUEUE] if number == 0 else [],
                retry=True, retry_policy={**RETRIES, "errback": unknown},
            )  # fmt: skip


def test_every_message_arrives(site):
    consumer, repeated = Consumer(site), set()
    threads = [
        threading.Thread(target=consumer.run, daemon=True),
        threading.Thread(target=publish, args=(site, consumer, repeated), daemon=True),
    ]
    for thread in threads:
        thread.start()
    # The message that was held is delivered again after the time that it may be unacknowledged.
    wait_for(lambda: len(consumer.seen) == MESSAGES and consumer.seen[consumer.held] > 1, 40, "every message")
    threads[1].join(30)
    client = site.master()
    wait_for(lambda: client.llen("work") == 0 and client.hlen("unacked") == 0, what="an empty queue")
    consumer.should_stop = True
    threads[0].join(30)
    assert not threads[0].is_alive() and not threads[1].is_alive()
    site.heir()
    twice = {number for number, count in consumer.seen.items() if count > 1}
    assert set(consumer.seen) == set(range(MESSAGES))
    assert twice <= repeated | {consumer.held}
    assert repeated and min(repeated) >= 300, "the producer was to be in the middle of its work"
