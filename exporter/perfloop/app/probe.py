"""`/probe?target=TARGET&module=NAME`: one probe in a thread of its own, and a page that holds nothing else."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from perfloop.app.scrape import patience_seconds
from perfloop.app.sections.targets import fetch_of, question_of, trust_of
from perfloop.collectors.connect import connect
from perfloop.collectors.dns import ask
from perfloop.collectors.probes.fetch import fetch
from perfloop.collectors.probes.icmp import ping
from perfloop.collectors.probes.probing import Deadline, Outcome, ProbeFailed, Reason
from perfloop.collectors.tls import shake
from perfloop.config.schema.probes import HttpOptions, PingOptions, ProbeModule, TlsOptions
from perfloop.config.schema.probes import Probing as ProbingSection
from perfloop.errors import QueryInvalid
from perfloop.exposition.block import Block
from perfloop.exposition.http import Request, Response, error_response
from perfloop.exposition.page import render_page
from perfloop.exposition.text import CONTENT_TYPE, Samples, number
from perfloop.model import Family, MetricType

logger = logging.getLogger(__name__)

# The probe ends at its own deadline; what comes later than this is a resolver that cannot be interrupted.
_GRACE_SECONDS = 0.1
BUILT_IN = {
    "http_2xx": ProbeModule(prober="http", http=HttpOptions(max_redirects=5)),
    "tcp_connect": ProbeModule(prober="tcp"),
    "tls_connect": ProbeModule(prober="tls"),
    "icmp": ProbeModule(prober="ping"),
}
DEFAULT_MODULE = "http_2xx"
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+):([0-9]{1,5})")
_HOST = re.compile(r"[^\s/@\[\]]+")


def _family(name: str, text: str, *labels: str) -> Family:
    return Family(name=f"perfloop_probe_{name}", type=MetricType.GAUGE, help=text, labels=labels)


SUCCESS = _family("success", "Whether the target answered in time and as expected.")
DURATION = _family("duration_seconds", "How long the probe took, all of it.")
FAILURE = _family("failure", "Whether the probe failed for this reason.", "reason")
PHASE = _family("phase_seconds", "How long each phase of the probe took, over all redirects.", "phase")
STATUS = _family("http_status_code", "Status code of the last answer.")
EXPIRY = _family("certificate_expiry_timestamp_seconds", "When the first certificate expires of those that were sent.")
FAMILIES = (SUCCESS, DURATION, FAILURE, PHASE, STATUS, EXPIRY)

Prober = Callable[[str, Deadline], Outcome]


class Module:
    """A checked module: which targets it takes, and what it does to them."""

    def __init__(self, section: ProbeModule, *, base: Path, environ: Mapping[str, str]) -> None:
        self.timeout_seconds, self._kind = section.timeout_seconds, section.prober
        self.probe = _prober(section, base=base, environ=environ)

    def target(self, text: str) -> str:
        """Return the target as the prober wants it. Raises QueryInvalid; the message does not repeat the target."""
        if self._kind == "http":
            return _url(text)
        pattern, expected = (_HOST, "a host") if self._kind == "ping" else (_ADDRESS, "HOST:PORT")
        if not text.isprintable() or not pattern.fullmatch(text):
            raise QueryInvalid(f"expected {expected} as the target")
        return text


class Probing:
    """Answers /probe; `replace` gives it the modules of another configuration, and counts running probes on."""

    def __init__(self, *, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._modules: dict[str, Module] = {}
        self._most, self._running, self._lock = 0, 0, threading.Lock()

    def replace(self, section: ProbingSection, *, base: Path, environ: Mapping[str, str]) -> None:
        """Take the modules of a configuration. Raises ConfigInvalid, and then keeps the old ones."""
        sections = {**BUILT_IN, **section.modules} if section.enabled else {}
        self._modules = {name: Module(module, base=base, environ=environ) for name, module in sections.items()}
        self._most = section.max_concurrent

    def answer(self, request: Request) -> Response | Answer:
        """Begin a probe. Raises QueryInvalid when the query names no module or no target that may be probed."""
        if not self._modules:
            return error_response(HTTPStatus.NOT_FOUND)
        name = _single(request, "module", default=DEFAULT_MODULE)
        module = self._modules.get(name)
        if module is None:
            raise QueryInvalid(f"no such module; there are {', '.join(sorted(self._modules))}")
        target = module.target(_single(request, "target"))
        answer = Answer(min(module.timeout_seconds, patience_seconds(request)))
        run = partial(self._run, module.probe, target, answer)
        thread = threading.Thread(target=run, name=f"probe {name}", daemon=True)
        with self._lock:
            if self._running >= self._most:
                return error_response(HTTPStatus.SERVICE_UNAVAILABLE, ("Retry-After", "1"))
            # Counted once it runs: the system may have no thread left, and a place that nobody has would stay taken.
            thread.start()
            self._running += 1
        return answer

    def _run(self, probe: Prober, target: str, answer: Answer) -> None:
        try:
            answer.outcome = probe(target, Deadline(answer.seconds))
        except Exception:
            # The thread's own error must not be silent; the target is not logged, as it may hold a token.
            logger.exception("probe broke")
            answer.outcome = Outcome(failure=ProbeFailed(Reason.ANSWER, "the probe broke"))
        finally:
            answer.ended_at = time.monotonic()
            with self._lock:
                self._running -= 1
            self._notify()


class Answer:
    """One client's answer: its page, when the probe has ended or its time is up."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._started_at = seconds, time.monotonic()
        self.deadline = self._started_at + seconds + _GRACE_SECONDS
        self.ended_at: float | None = None
        self.outcome: Outcome | None = None

    @property
    def ready(self) -> bool:
        """Whether the probe has ended."""
        return self.ended_at is not None

    def response(self) -> Response:
        """Return the page."""
        outcome = self.outcome or Outcome(failure=Deadline(self.seconds).passed())
        ended_at = self.ended_at or time.monotonic()
        body = render_page(samples(outcome, duration_seconds=ended_at - self._started_at))
        return Response(body=body, content_type=CONTENT_TYPE)


def samples(outcome: Outcome, *, duration_seconds: float) -> Samples:
    """Return what a probe found out; every reason is there, so that the one that comes first can be alerted on."""
    failure = outcome.failure
    row = (int(failure is None), duration_seconds, outcome.status, outcome.certificate_expires_at)
    yield from Block((SUCCESS, DURATION, STATUS, EXPIRY)).render_row([number(value) for value in row])
    reasons = [(number(int(failure is not None and failure.reason is reason)),) for reason in Reason]
    yield from Block([FAILURE]).render([(reason,) for reason in Reason], reasons)
    phases = outcome.phases
    yield from Block([PHASE]).render([(phase,) for phase in phases], [(number(s),) for s in phases.values()])


def _single(request: Request, key: str, *, default: str = "") -> str:
    values = request.query.get(key, ())
    if len(values) > 1:
        raise QueryInvalid(f"{key} stands there more than once")
    value = values[0] if values else default
    if not value:
        raise QueryInvalid(f"{key} is missing")
    return value


def _url(text: str) -> str:
    """Return a URL that may be probed; without a scheme, http:// is meant."""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise QueryInvalid("expected a URL as the target") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise QueryInvalid("expected an http:// or https:// URL as the target")
    if "@" in parts.netloc:
        raise QueryInvalid("no credentials in the target; they belong into the module")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise QueryInvalid("expected a URL without spaces, in ASCII, as the target")
    return url


def _prober(section: ProbeModule, *, base: Path, environ: Mapping[str, str]) -> Prober:
    if section.prober == "http":
        wanted = fetch_of(section.http or HttpOptions(), base=base, environ=environ)
        return lambda target, deadline: fetch(target, wanted, deadline)
    if section.prober == "tls":
        trust = trust_of(section.tls or TlsOptions(), base=base)
        return lambda target, deadline: shake(target, trust, deadline)
    if section.prober == "ping":
        ip_version = (section.ping or PingOptions()).ip_version or 0
        return lambda target, deadline: ping(target, ip_version=ip_version, sequence=0, deadline=deadline)
    options = section.dns
    if section.prober == "dns" and options is not None:
        return lambda target, deadline: ask(question_of(options, server=target), deadline)
    return connect
