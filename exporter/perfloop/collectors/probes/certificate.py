"""When certificates expire, read from their DER form (RFC 5280, section 4.1).

The standard library does not say it of certificates that it did not verify.
"""

from __future__ import annotations

import ssl
from calendar import timegm
from collections.abc import Iterable
from datetime import datetime
from typing import Any

_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


def earliest_expiry(connection: ssl.SSLSocket) -> float | None:
    """Return the Unix time at which the first certificate of those expires that the server sent, if it sent any."""
    return min(_readable(_sent(connection)), default=None)


def expires_at(certificate: bytes) -> float:
    """Return the end of a certificate's validity in Unix seconds. Raises ValueError."""
    body, _ = _read(_read(certificate, _SEQUENCE)[0], _SEQUENCE)
    if body[:1] == bytes([_VERSION]):
        _, body = _read(body)
    for _ in ("serial number", "signature algorithm", "issuer"):
        _, body = _read(body)
    validity, _ = _read(body, _SEQUENCE)
    _, after_start = _read(validity)
    end, _ = _read(after_start)
    text, tag = end.decode("ascii"), after_start[0]
    if tag == _UTC_TIME and len(text) == 13:
        # Two digits of the year, from 1950 to 2049.
        text = ("19" if text >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError(f"a time was expected, found the tag {tag:#x}")
    return float(timegm(datetime.strptime(text, "%Y%m%d%H%M%SZ").timetuple()))  # noqa: DTZ007 - Z stands in the format


def _readable(certificates: Iterable[bytes]) -> Iterable[float]:
    for certificate in certificates:
        try:
            yield expires_at(certificate)
        except ValueError:
            continue


def _sent(connection: ssl.SSLSocket) -> list[bytes]:
    connected: Any = connection
    if hasattr(connected, "get_unverified_chain"):
        return list(connected.get_unverified_chain())
    # Public from Python 3.13 on; from 3.10 on it was there, but not for all to see.
    chain = connected._sslobj.get_unverified_chain() or ()
    return [certificate.public_bytes(ssl._ssl.ENCODING_DER) for certificate in chain]  # type: ignore[attr-defined]


def _read(data: bytes, expected: int | None = None) -> tuple[bytes, bytes]:
    """Return the content of the first value and what follows it."""
    if len(data) < 2 or (expected is not None and data[0] != expected):
        raise ValueError("this is no certificate")
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    if start + length > len(data):
        raise ValueError("the certificate is cut off")
    return data[start : start + length], data[start + length :]
