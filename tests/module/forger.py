"""A hostile client that knows the pool's format and not the pool: values that hold batches, in Python's own words."""

import ctypes
import random
import struct

_xxhash = ctypes.CDLL("libxxhash.so.0")
_xxhash.XXH3_64bits_withSeed.restype = ctypes.c_uint64
_xxhash.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]

LINE = 64  # bytes: of a batch's header, and the distance at which batches are looked for
MAX_LSN = (1 << 63) - 1
COLD = 16
NO_KEY = bytes(16)


def batch(generation, lsn, epoch, flags=0, payload=b"", records=0, key=NO_KEY):
    """A batch as it stands on the medium; `key`: the cluster's, of 16 bytes."""
    seed, mix = struct.unpack("<QQ", key)
    magic = 0x48435442 ^ (mix ^ mix >> 32) & 0xFFFFFFFF
    head = struct.pack("<IHHQQQQIIQ", magic, 2, flags, lsn, epoch, lsn - 1, generation, len(payload), records, 0)
    checksum = _xxhash.XXH3_64bits_withSeed(head + payload, len(head + payload), seed) ^ mix
    whole = head + struct.pack("<Q", checksum) + payload
    return whole + bytes(-len(whole) % LINE)


def record(key, value):
    put = struct.pack("<BBHIII", 1, 0, 0, len(key), len(value), 0) + key + value
    return put + bytes(-len(put) % 8)


def value(prefix, key, size, generations, guesses, pick=random):
    """At most `size` bytes, which start with `prefix`: nothing but batches of `generations`, for a SET of `key`."""
    head = 16 + len(key) + len(prefix)
    made = [prefix + bytes(-head % LINE)]
    left = size - len(made[0])
    while left >= 2 * LINE:
        payload = record(b"forged", b"f" * pick.randrange(40)) if pick.random() < 0.1 else b""
        # fmt: off
        made.append(batch(pick.choice(generations), MAX_LSN - pick.randrange(100), pick.choice((1, 2, 3, (1 << 64) - 1)),
                          pick.choice((0, 0, 0, COLD)), payload, 1 if payload else 0, pick.choice(guesses)))
        # fmt: on
        left -= len(made[-1])
    return b"".join(made)
