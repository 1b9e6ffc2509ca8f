"""What probes ask and expect: options of HTTP, TLS, DNS and ICMP, and the modules of /probe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from perfloop.config.schema.base import Address, Name, Secret, Section

ProbeSeconds = Annotated[float, Meta(gt=0, le=60)]
Host = Annotated[str, Meta(pattern=r"^[^\s/@\[\]]+$", description="a host name or an IP address")]
RecordType = Literal["A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"]


class TlsOptions(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which certificates are trusted."""

    #: Authorities that are trusted instead of the system's (PEM); a relative path starts at perfloop.yml's folder.
    ca_file: Path | None = None
    #: Whether certificates are verified; `false` also accepts an impostor's.
    verify: bool = True
    #: Name that is asked for and must be in the certificate; by default the target's host.
    server_name: str = ""
    #: Oldest version of TLS that is accepted.
    minimum_version: Literal["1.2", "1.3"] = "1.2"


class PingOptions(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a host is pinged."""

    #: Version of IP; by default the one that the system prefers.
    ip_version: Literal[4, 6] | None = None


class DnsOptions(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked, and what must be among the answers."""

    #: Name that is asked for.
    name: Host
    #: Type of the record that is asked for.
    record_type: RecordType = "A"
    #: What must be among the answers, as zone files write it (`10 mail.example.org.`); by default anything.
    expect: tuple[str, ...] = ()


class BasicAuth(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """User and password that are sent with each request."""

    #: Whom to log in as.
    user: Annotated[str, Meta(pattern=r"^[!-9;-~]+$", description="printable ASCII without a colon")]
    #: Where the password stands.
    password: Secret


class HttpOptions(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is sent, and what is expected of the answer; any status below 400 is good unless one is expected."""

    #: Method of the request.
    method: Literal["GET", "HEAD", "OPTIONS", "POST", "PUT"] = "GET"
    #: Headers that are sent besides Accept and User-Agent; never secrets.
    headers: dict[str, str] = field(default_factory=dict)
    #: What is sent after the headers.
    body: str = ""
    #: Bearer token that is sent; not to another host that a redirect leads to.
    bearer_token: Secret | None = None
    #: User and password that are sent instead of a token.
    basic_auth: BasicAuth | None = None
    #: The one status that counts as good; by default every one below 400 does.
    expect_status: Annotated[int, Meta(ge=100, le=599)] | None = None
    #: Regular expression that must be found in the first 64 KiB of the body.
    expect_body: str = ""
    #: Regular expression that must not be found in the first 64 KiB of the body.
    forbid_body: str = ""
    #: A larger body is a failure, and the rest of it is not read.
    max_body_bytes: Annotated[int, Meta(ge=0, le=1 << 26)] = 1 << 20
    #: How many redirects are followed; with 0 a redirect is the answer.
    max_redirects: Annotated[int, Meta(ge=0, le=10)] = 0
    #: Which certificates are trusted.
    tls: TlsOptions = field(default_factory=TlsOptions)


class ProbeModule(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How `/probe?target=TARGET&module=NAME` probes; only the options of its prober may be there."""

    #: What is done to the target; of `dns`, the target is the server.
    prober: Literal["http", "tcp", "tls", "ping", "dns"]
    #: How long a probe may take, at most; half a second less than Prometheus waits is the other limit.
    timeout_seconds: ProbeSeconds = 5.0
    #: Options of the prober `http`.
    http: HttpOptions | None = None
    #: Options of the prober `tls`.
    tls: TlsOptions | None = None
    #: Options of the prober `ping`.
    ping: PingOptions | None = None
    #: Options of the prober `dns`, which needs a name.
    dns: DnsOptions | None = None


class Probing(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Probes of targets that Prometheus names: `/probe?target=TARGET&module=NAME`."""

    #: Whether /probe is there.
    enabled: bool = True
    #: How many may run at once; further ones are answered with 503.
    max_concurrent: Annotated[int, Meta(ge=1, le=1000)] = 20
    #: Modules by name, besides the built-in `http_2xx`, `tcp_connect`, `tls_connect` and `icmp`.
    modules: dict[Name, ProbeModule] = field(default_factory=dict)


class PingTarget(PingOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A host that is pinged at each scrape; see [ping](collectors/ping.md) for the right that it needs."""

    #: Label `component` of what is measured here.
    component: Name
    #: Who is pinged.
    host: Host
    #: How long an answer may take.
    timeout_seconds: ProbeSeconds = 5.0


class DnsTarget(DnsOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question that a DNS server is asked at each scrape."""

    #: Label `component` of what is measured here.
    component: Name
    #: Who is asked; by default the servers in /etc/resolv.conf, in turn.
    server: Address | None = None
    #: How long the answer may take, over all servers.
    timeout_seconds: ProbeSeconds = 5.0


class TlsTarget(TlsOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address with which a TLS handshake is made at each scrape."""

    #: Label `component` of what is measured here.
    component: Name
    #: Where to connect to.
    address: Address
    #: How long connection and handshake may take.
    timeout_seconds: ProbeSeconds = 5.0
