"""channels_redis: the layer by which processes of a Django site send messages to channels and groups.

The layer repeats nothing by itself: who sends or receives tries again.  A receiver takes with BZPOPMIN and only then
writes the message down as being worked on, so the layer loses one if the server ends between the two.  The primary is
killed when a receiver has all that there is for it, and waits, while another channel holds messages that nobody has
fetched yet.
"""

import asyncio
import collections
import contextlib
import time

import pytest
import redis
from sentinels import NAME

pytest.importorskip("channels_redis")
from channels_redis.core import RedisChannelLayer  # noqa: E402

MESSAGES = 200
AGAIN = (redis.RedisError, OSError)


async def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)


async def receive_all(layer, channel, received):
    while len(set(received)) < MESSAGES:
        with contextlib.suppress(*AGAIN):
            received.append((await layer.receive(channel))["number"])
            continue
        await asyncio.sleep(0.02)


async def converse(site, early, late, repeated):
    layer = RedisChannelLayer(hosts=[{"sentinels": site.addresses, "master_name": NAME}], capacity=10 * MESSAGES)
    for channel in ("early", "late"):
        await layer.group_add("room", channel)
    receiver = asyncio.ensure_future(receive_all(layer, "early", early))
    for number in range(MESSAGES):
        if number == MESSAGES // 2:
            await until(lambda: len(early) == number and not layer.receive_cleaners)
            site.kill_primary()
        end = time.monotonic() + 30
        while True:
            try:
                await layer.group_send("room", {"type": "message", "number": number})
                break
            except AGAIN:
                repeated.add(number)
                assert time.monotonic() < end, "no primary"
                await asyncio.sleep(0.05)
    await asyncio.wait_for(receiver, 30)
    await asyncio.wait_for(receive_all(layer, "late", late), 30)


def test_a_group_s_messages_arrive(site):
    early, late, repeated = [], [], set()
    asyncio.run(converse(site, early, late, repeated))
    site.heir()
    for received in (early, late):
        assert set(received) == set(range(MESSAGES))
        assert {number for number, count in collections.Counter(received).items() if count > 1} <= repeated
        assert received == sorted(received)
    assert repeated, "messages were to be sent in the middle of it"
