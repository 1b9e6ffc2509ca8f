"""TLS handshakes of probes: whom they trust, and what they find out of a certificate that they do not trust."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from perfloop.collectors.probes.probing import Deadline, Dialled, ProbeFailed, Reason

if TYPE_CHECKING:
    import ssl


class Trust(Struct, frozen=True, kw_only=True):
    """Which certificates are good; `ca_file` replaces the system's authorities."""

    ca_file: str = ""
    verify: bool = True
    server_name: str = ""
    minimum_version: str = "1.2"


class Secured(Struct, frozen=True, kw_only=True):
    """A connection after its handshake."""

    socket: ssl.SSLSocket
    certificate_expires_at: float | None


def secure(dialled: Dialled, host: str, trust: Trust, deadline: Deadline) -> Secured:
    """Shake hands. Raises ProbeFailed; where the certificate is not trusted, that says when it expires.

    OpenSSL keeps no certificate that it refused, so that takes a second handshake, which sends nothing.
    """
    from ssl import SSLCertVerificationError, SSLError  # noqa: PLC0415 - 5 MB, only if configured

    try:
        return _shake(dialled, host, trust, deadline)
    except SSLCertVerificationError as error:
        text = f"certificate: {error.verify_message}"
        expires_at = _expiry_of_untrusted(dialled, host, trust, deadline)
        raise ProbeFailed(Reason.TLS, text, certificate_expires_at=expires_at) from error
    except TimeoutError as error:
        raise deadline.passed() from error
    except (SSLError, OSError, ValueError) as error:
        raise ProbeFailed(Reason.TLS, f"TLS: {getattr(error, 'reason', None) or error}") from error


def _shake(dialled: Dialled, host: str, trust: Trust, deadline: Deadline) -> Secured:
    from perfloop.collectors.probes.certificate import earliest_expiry  # noqa: PLC0415 - 5 MB, only if configured

    context = _context(trust, _version(trust.ca_file))
    dialled.socket.settimeout(deadline.left_seconds())
    dialled.socket = secured = context.wrap_socket(dialled.socket, server_hostname=trust.server_name or host)
    return Secured(socket=secured, certificate_expires_at=earliest_expiry(secured))


def _expiry_of_untrusted(dialled: Dialled, host: str, trust: Trust, deadline: Deadline) -> float | None:
    unverified = Trust(verify=False, server_name=trust.server_name, minimum_version=trust.minimum_version)
    try:
        with dialled.again(deadline) as second:
            return _shake(second, host, unverified, deadline).certificate_expires_at
    except (OSError, ValueError, ProbeFailed):
        return None


def _version(ca_file: str) -> tuple[int, ...]:
    """Return what changes when somebody writes the file anew."""
    if not ca_file:
        return ()
    status = Path(ca_file).stat()
    return (status.st_ino, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=32)
def _context(trust: Trust, _: tuple[int, ...]) -> ssl.SSLContext:
    """Return the context, one for all targets with the same trust: the system's authorities take 1 MB."""
    import ssl  # noqa: PLC0415 - 5 MB, only if configured

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not trust.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif trust.ca_file:
        context.load_verify_locations(trust.ca_file)
    else:
        context.load_default_certs()
    context.minimum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[trust.minimum_version]
    return context
