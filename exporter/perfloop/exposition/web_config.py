"""The settings of `--web.config.file`, in the format of Prometheus' exporter-toolkit: TLS, users, headers, a rate."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

HeaderText = Annotated[str, Meta(pattern=r"^[\x20-\x7e]*$", description="one line of printable ASCII characters")]
Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_DURATION = re.compile(rf"({_DURATION_PART.pattern})+")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
ClientAuthType = Literal[
    "NoClientCert",
    "RequestClientCert",
    "RequireClientCert",
    "RequireAnyClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
]


class TlsServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The server's certificate, and what it demands of clients."""

    #: The server's certificate and those between it and the authority, in PEM.
    cert_file: Path | None = None
    #: Its private key.
    key_file: Path | None = None
    #: The certificate itself, instead of `cert_file`.
    cert: str = ""
    #: The private key itself, instead of `key_file`.
    key: str = ""
    #: Whether clients have to show a certificate.
    client_auth_type: ClientAuthType | None = None
    #: Certificates of the authorities that clients' certificates come from.
    client_ca_file: Path | None = None
    #: Those certificates themselves, instead of `client_ca_file`.
    client_ca: str = ""
    #: Names (DNS, IP, e-mail, URI) of which a client's certificate must have one.
    client_allowed_sans: tuple[str, ...] = ()
    #: The oldest version of TLS that is accepted.
    min_version: Version = "TLS12"
    #: The newest one.
    max_version: Version = "TLS13"
    #: Cipher suites for TLS 1.2, by their IANA names.
    cipher_suites: tuple[str, ...] = ()
    #: Whether the order of `cipher_suites` counts rather than the client's.
    prefer_server_cipher_suites: bool = True
    #: The curve of the key exchange.
    curve_preferences: tuple[Literal["CurveP256", "CurveP384", "CurveP521", "X25519"], ...] = ()

    @property
    def enabled(self) -> bool:
        """Whether anything here asks for TLS."""
        return bool(
            self.cert_file or self.cert or self.key_file or self.key or self.verifies or self.client_ca_file
            or self.client_ca or self.client_auth_type
        )  # fmt: skip

    @property
    def verifies(self) -> bool:
        """Whether clients' certificates are verified."""
        return self.client_auth_type in {"VerifyClientCertIfGiven", "RequireAndVerifyClientCert"}


class ResponseHeaders(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The headers that may be added to answers."""

    content_security_policy: HeaderText | None = field(name="Content-Security-Policy", default=None)
    x_frame_options: Literal["deny", "sameorigin"] | None = field(name="X-Frame-Options", default=None)
    x_content_type_options: Literal["nosniff"] | None = field(name="X-Content-Type-Options", default=None)
    x_xss_protection: HeaderText | None = field(name="X-XSS-Protection", default=None)
    strict_transport_security: HeaderText | None = field(name="Strict-Transport-Security", default=None)


class HttpServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How HTTP is spoken."""

    #: Accepted and without effect: only HTTP/1.1 is spoken.
    http2: bool = True
    #: Headers that every answer gets.
    headers: ResponseHeaders = field(default_factory=ResponseHeaders)


class RateLimit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most one request each `interval`, and `burst` of them at once."""

    #: Time between two requests in Go's syntax, like 500ms or 1m30s; 0 is no limit.
    interval: str | int = 0
    #: Requests that may come at once.
    burst: Annotated[int, Meta(ge=0)] = 0

    @property
    def interval_seconds(self) -> float:
        """Return the interval. Raises ValueError if it is no duration."""
        text = str(self.interval)
        if text != "0" and not _DURATION.fullmatch(text):
            raise ValueError(f"expected a duration like 500ms, 1s or 1m30s, got {self.interval!r}")
        return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


class WebConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole `--web.config.file`; an empty one is plain HTTP for everybody."""

    tls_server_config: TlsServerConfig = field(default_factory=TlsServerConfig)
    http_server_config: HttpServerConfig = field(default_factory=HttpServerConfig)
    #: Names and bcrypt hashes; anything but strings is refused without being shown.
    basic_auth_users: dict[str, Any] = field(default_factory=dict)
    rate_limit: RateLimit = field(default_factory=RateLimit)


class LoadedWebConfig(Struct, frozen=True, kw_only=True):
    """The settings, what makes TLS connections (None: plain HTTP), and the files that all of it came from."""

    config: WebConfig = WebConfig()
    tls: Any = None
    files: tuple[Path, ...] = ()
