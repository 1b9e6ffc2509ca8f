"""A proxy that loses answers, closed after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.drivers.proxy import Proxy


@pytest.fixture
def losing() -> Iterator[Callable[..., Proxy]]:
    proxies: list[Proxy] = []

    def make(address: str, *, after: bytes) -> Proxy:
        proxies.append(Proxy(address, lose_after=after))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()
