"""TLS for the server: a context from the settings, and a transport that never waits for a handshake."""

from __future__ import annotations

import ipaddress
import os
import re
import select
import socket
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from perfloop.errors import ConfigInvalid
from perfloop.exposition.http import BadRequestError
from perfloop.exposition.transport import CHUNK_BYTES, Transport
from perfloop.exposition.web_config import TlsServerConfig

_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
# IANA's names → OpenSSL's.
CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    # Those of TLS 1.3, of which there is nothing to choose.
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}


def server_context(config: TlsServerConfig) -> ssl.SSLContext:
    """Make a context. Raises ConfigInvalid with one problem, which begins with the key that it is about."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        # Who writes TLS10 into the file knows that it is old.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = _VERSIONS[config.min_version]
        context.maximum_version = _VERSIONS[config.max_version]
    if not config.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    for curve in config.curve_preferences:
        context.set_ecdh_curve(_CURVES[curve])
    with _saying("cipher_suites"):
        if ciphers := [CIPHERS[name] for name in config.cipher_suites if CIPHERS[name]]:
            context.set_ciphers(":".join(ciphers))
    with _saying("cert_file"):
        _load_certificate(context, config)
    if config.verifies:
        with _saying("client_ca_file"):
            context.load_verify_locations(config.client_ca_file, cadata=config.client_ca or None)
        required = config.client_auth_type == "RequireAndVerifyClientCert"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


@contextmanager
def _saying(key: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or re.sub(r"^\[.*?\] | \(_ssl\.c:\d+\)$", "", str(error))
        raise ConfigInvalid([f"{key}: OpenSSL refuses it: {reason.replace('_', ' ').lower()}"]) from error


def _load_certificate(context: ssl.SSLContext, config: TlsServerConfig) -> None:
    with _as_file(config.cert_file, config.cert) as cert, _as_file(config.key_file, config.key) as key:
        # Without a password, OpenSSL would ask the terminal for one.
        context.load_cert_chain(cert, key, password="")


@contextmanager
def _as_file(path: Path | None, text: str) -> Iterator[str]:
    """Give text the name of a file, which OpenSSL asks for; it stays in memory."""
    if path is not None:
        yield str(path)
        return
    number = os.memfd_create("perfloop")
    try:
        os.write(number, text.encode())
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)


def alternative_names(certificate: Any) -> frozenset[str]:  # noqa: ANN401 - as ssl's getpeercert gives it
    """Return all names that a certificate was issued for besides its subject."""
    names = certificate.get("subjectAltName", ()) if certificate else ()
    return frozenset(str(ipaddress.ip_address(name)) if kind == "IP Address" else name for kind, name in names)


class TlsTransport(Transport):
    """A connection under TLS. The handshake is part of the first `read`s, and of the client's time for a request."""

    def __init__(self, client: socket.socket, context: ssl.SSLContext, *, allowed_sans: frozenset[str]) -> None:
        self._secured = context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        super().__init__(self._secured)
        self._allowed_sans = allowed_sans
        # Raw is what comes before and after TLS, or instead of it.
        self._shaken = self._raw = False

    def read(self) -> bytes | None:
        """Return what has arrived, nothing at the end, None if it is not there yet. Raises OSError, BadRequestError."""
        if self._raw:
            return super().read()
        self.interest = select.EPOLLIN
        try:
            if not self._shaken:
                self._shake_hands()
            return self.client.recv(CHUNK_BYTES)
        except (ssl.SSLWantReadError, BlockingIOError):
            return None
        except ssl.SSLWantWriteError:
            self.interest = select.EPOLLOUT
            return None

    def write(self, data: memoryview) -> memoryview:
        """Send what the client takes now and return the rest. Raises OSError."""
        try:
            return super().write(data)
        except ssl.SSLWantWriteError:
            self.interest = select.EPOLLOUT
        except ssl.SSLWantReadError:
            self.interest = select.EPOLLIN
        return data

    def end_writing(self) -> None:
        """Say that nothing more comes; what still arrives is not decrypted any more."""
        self._say_goodbye()
        self._raw = True
        super().end_writing()

    def close(self) -> None:
        """Close at once, with TLS's own goodbye, without which a client may take the answer for cut off."""
        self._say_goodbye()
        super().close()

    def _shake_hands(self) -> None:
        try:
            self._secured.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            # OpenSSL has told the client, unless that does not speak TLS at all.
            self._drop_tls()
            told = error.reason != "HTTP_REQUEST"
            raise BadRequestError(HTTPStatus.BAD_REQUEST, detail="this port speaks HTTPS", told=told) from error
        self._shaken = True
        if self._allowed_sans and not self._allowed_sans & alternative_names(self._secured.getpeercert()):
            raise BadRequestError(HTTPStatus.FORBIDDEN, detail="your certificate has none of the allowed names")

    def _drop_tls(self) -> None:
        """Go on with the bare socket."""
        self._raw = True
        self.client = socket.socket(fileno=self._secured.detach())
        self.client.settimeout(0)

    def _say_goodbye(self) -> None:
        if self._shaken and not self._raw:
            with suppress(OSError, ValueError):
                self._secured.unwrap()
