"""A cache's daily work on a Redis at loopback: look up, and on a miss fetch and store. For the demo and tests.

usage: python -m perfloop.stack.cache_load PORT
"""

from __future__ import annotations

import random
import sys
import time

import redis

KEYS = 40_000
VALUE = b"x" * 400
BATCH = 40
PAUSE_SECONDS = 0.01


def work(port: int, *, seed: int = 1) -> None:
    """Ask for keys, the popular ones more often, until the process is told to end."""
    client = redis.Redis(host="127.0.0.1", port=port)
    draw = random.Random(seed)
    while True:
        keys = [f"session:{int(KEYS * draw.random() ** 2)}" for _ in range(BATCH)]
        found = client.mget(keys)
        missing = {key: VALUE for key, value in zip(keys, found, strict=True) if value is None}
        if missing:
            client.mset(missing)
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    work(int(sys.argv[1]))
