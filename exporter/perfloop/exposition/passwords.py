"""Passwords against bcrypt hashes: each combination is computed once, in a thread, and then known by a salted hash."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from hashlib import blake2b
from hmac import compare_digest

import bcrypt
from msgspec import Struct

# Combinations that wait for their turn of some 70 ms each, and wrong ones that are remembered.
MAX_WAITING = 32
MAX_WRONG = 128
# As far as bcrypt reads.
_MAX_PASSWORD_BYTES = 72


class Check(Struct, eq=False):
    """One combination whose outcome is not known before bcrypt has computed."""

    digest: bytes
    user: str
    password: bytes
    hashed: bytes
    known: bool
    outcome: bool | None = None


class Passwords:
    """Says who may come in. An unknown user takes as long as a wrong password; one thread computes, if any."""

    def __init__(self, *, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._salt = os.urandom(32)
        self._right: dict[str, bytes] = {}
        self._wrong: dict[bytes, None] = {}
        self._checks: dict[bytes, Check] = {}
        self._waiting: deque[Check] = deque()
        self._lock = threading.Lock()
        self._working = False

    def check(self, users: Mapping[str, str], user: str, password: bytes) -> bool | Check | None:
        """Return the outcome, or the check that will have it; None if too many others wait already."""
        hashed = users.get(user)
        digest = self._digest(user, hashed or "", password)
        with self._lock:
            if compare_digest(self._right.get(user, b""), digest):
                return True
            if digest in self._wrong:
                return False
            if digest not in self._checks:
                if len(self._waiting) >= MAX_WAITING:
                    return None
                check = Check(digest, user, password, (hashed or _decoy(users)).encode(), hashed is not None)
                self._checks[digest] = check
                self._waiting.append(check)
                self._start()
            return self._checks[digest]

    def close(self) -> None:
        """Compute nothing more; who waits will not learn the outcome."""
        with self._lock:
            self._waiting.clear()

    def _digest(self, user: str, hashed: str, password: bytes) -> bytes:
        """Name a combination; with the hash in it, a changed password makes the old one unknown."""
        keyed = blake2b(key=self._salt, digest_size=32)
        for part in (user.encode(), hashed.encode(), password):
            keyed.update(len(part).to_bytes(4, "big") + part)
        return keyed.digest()

    def _start(self) -> None:
        if not self._working:
            # No daemon: Python would end it in the middle of bcrypt, and that would end the process with an abort.
            threading.Thread(target=self._work, name="passwords").start()
            self._working = True

    def _work(self) -> None:
        """Compute until nobody waits. bcrypt lets other threads run meanwhile."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._working = False
                    return
                check = self._waiting.popleft()
            outcome = _matches(check) and check.known
            with self._lock:
                self._remember(check, outcome=outcome)
            self._wake()

    def _remember(self, check: Check, *, outcome: bool) -> None:
        check.outcome = outcome
        del self._checks[check.digest]
        if outcome:
            self._right[check.user] = check.digest
            return
        self._wrong[check.digest] = None
        if len(self._wrong) > MAX_WRONG:
            del self._wrong[next(iter(self._wrong))]


def _matches(check: Check) -> bool:
    try:
        return bcrypt.checkpw(check.password[:_MAX_PASSWORD_BYTES], check.hashed)
    except ValueError:
        return False


def _decoy(users: Mapping[str, str]) -> str:
    """Return a hash that no password has, as costly as the users' own."""
    cost = max((hashed.split("$")[2] for hashed in users.values()), default="10")
    return f"$2b${cost}${'.' * 53}"
