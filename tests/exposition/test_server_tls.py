"""HTTPS against real clients: curl, and Python's ssl with and without a certificate of its own."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.exposition.certificates import Authority
from tests.exposition.serving import Serving

TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key"
GET = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    authority.sign("server", "DNS:localhost", "IP:127.0.0.1")
    authority.sign("scraper", "DNS:prometheus.example.net", "IP:10.0.0.1")
    authority.sign("stranger", "DNS:elsewhere.example.net")
    return authority


@pytest.fixture
def serve(authority: Authority) -> Iterator[Callable[..., Serving]]:
    made: list[Serving] = []

    def make(config: str, **limits: float) -> Serving:
        made.append(Serving(authority.folder, config, **limits))
        return made[-1]

    yield make
    for serving in made:
        serving.stop()


def client(folder: Path, certificate: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if certificate:
        context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    return context


def exchange(connection: ssl.SSLSocket) -> bytes:
    """Return the answer; a refused certificate shows at the first read under TLS 1.3."""
    connection.sendall(GET)
    return connection.recv(1000)


def test_curl_gets_its_page_over_https(serve: Callable[..., Serving]) -> None:
    serving = serve(TLS + "}")

    assert serving.curl("--cacert", "ca.pem") == "GET /metrics"
    assert serving.curl("--cacert", "ca.pem", "--tls-max", "1.2") == "GET /metrics"


def test_a_kept_connection_carries_more_than_one_request(serve: Callable[..., Serving]) -> None:
    serving = serve(TLS + "}")

    with serving.secured(client(serving.folder)) as connection:
        answers = [exchange(connection) for _ in range(3)]

    assert all(answer.endswith(b"GET /metrics") for answer in answers)


def test_a_page_larger_than_any_buffer_arrives_whole(serve: Callable[..., Serving]) -> None:
    serving = serve(TLS + "}")

    assert serving.curl("--cacert", "ca.pem", path="/large") == "x" * 3_000_000


def test_plain_http_on_a_tls_port_is_told_so(serve: Callable[..., Serving]) -> None:
    serving = serve(TLS + "}")

    answer = serving.get()

    assert (answer.status, answer.read()) == (400, b"400 Bad Request: this port speaks HTTPS\n")


def test_a_session_is_resumed(serve: Callable[..., Serving]) -> None:
    serving = serve(TLS + "}")
    context = client(serving.folder)
    with serving.secured(context) as first:
        exchange(first)
        session = first.session

    with serving.secured(context, session=session) as second:
        exchange(second)

        assert second.session_reused


def test_a_handshake_that_does_not_end_is_ended(serve: Callable[..., Serving]) -> None:
    serving = serve(TLS + "}", request_seconds=0.2)

    with serving.connect() as silent, serving.connect() as midway:
        midway.sendall(b"\x16\x03\x01\x02\x00\x01")

        assert (silent.recv(10), midway.recv(10)) == (b"", b"")

    assert serving.curl("--cacert", "ca.pem") == "GET /metrics"


def test_garbage_instead_of_a_handshake_hurts_nobody_else(serve: Callable[..., Serving]) -> None:
    serving = serve(TLS + "}")

    for garbage in (b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x00\x02", b"\0" * 400, b"SSH-2.0-x\r\n"):
        with serving.connect() as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            drain(connection)

    assert serving.curl("--cacert", "ca.pem") == "GET /metrics"


def test_only_clients_with_a_certificate_of_the_authority_come_in(serve: Callable[..., Serving]) -> None:
    serving = serve(TLS + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}")

    assert serving.curl("--cacert", "ca.pem", "--cert", "scraper.pem", "--key", "scraper.key") == "GET /metrics"
    assert "certificate required" in serving.curl("--cacert", "ca.pem")


def test_a_certificate_may_be_left_out_where_it_is_only_verified_if_given(serve: Callable[..., Serving]) -> None:
    serving = serve(TLS + ", client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.pem}")

    assert serving.curl("--cacert", "ca.pem") == "GET /metrics"
    assert serving.curl("--cacert", "ca.pem", "--cert", "scraper.pem", "--key", "scraper.key") == "GET /metrics"


@pytest.mark.parametrize("allowed", ["prometheus.example.net", "10.0.0.1"])
def test_of_those_only_the_allowed_names_come_in(serve: Callable[..., Serving], allowed: str) -> None:
    serving = serve(
        TLS
        + f", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem, client_allowed_sans: [{allowed}]}}"
    )

    with serving.secured(client(serving.folder, "scraper")) as scraper:
        assert exchange(scraper).endswith(b"GET /metrics")
    with serving.secured(client(serving.folder, "stranger")) as stranger:
        assert exchange(stranger).startswith(b"HTTP/1.1 403 ")


def test_versions_and_ciphers_are_those_of_the_file(serve: Callable[..., Serving]) -> None:
    suites = "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]"
    serving = serve(TLS + f", max_version: TLS12, {suites}, curve_preferences: [CurveP256]}}")

    with serving.secured(client(serving.folder)) as connection:
        assert (connection.version(), connection.cipher()[0]) == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")  # type: ignore[index]
    assert "SSL" in serving.curl("--cacert", "ca.pem", "--tlsv1.3")
    assert "SSL" in serving.curl("--cacert", "ca.pem", "--curves", "X25519")


def test_certificate_and_key_may_stand_in_the_file(serve: Callable[..., Serving], authority: Authority) -> None:
    lines = {kind: (authority.folder / f"server.{kind}").read_text().splitlines() for kind in ("pem", "key")}
    indented = {kind: "".join(f"    {line}\n" for line in text) for kind, text in lines.items()}

    serving = serve(f"tls_server_config:\n  cert: |\n{indented['pem']}  key: |\n{indented['key']}")

    assert serving.curl("--cacert", "ca.pem") == "GET /metrics"


def test_a_renewed_certificate_is_shown_to_the_next_client(serve: Callable[..., Serving], authority: Authority) -> None:
    authority.sign("renewed", "DNS:localhost")
    serving = serve("tls_server_config: {cert_file: renewed.pem, key_file: renewed.key}")
    before = serial(serving)

    authority.sign("renewed", "DNS:localhost")
    assert serial(serving) == before, "looked at once a second at most"
    serving.seconds += 2

    assert serial(serving) != before


def test_a_certificate_whose_key_is_not_there_yet_leaves_the_old_one(
    serve: Callable[..., Serving], authority: Authority
) -> None:
    authority.sign("half", "DNS:localhost")
    serving = serve("tls_server_config: {cert_file: half.pem, key_file: half.key}")
    before = serial(serving)
    key = (authority.folder / "half.key").read_bytes()

    authority.sign("half", "DNS:localhost")
    new_key = (authority.folder / "half.key").read_bytes()
    (authority.folder / "half.key").write_bytes(key)
    serving.seconds += 2

    assert (serial(serving), serving.web.successful) == (before, False)
    (authority.folder / "half.key").write_bytes(new_key)
    serving.seconds += 2
    assert serial(serving) != before
    assert serving.web.successful


def test_plain_http_knows_nothing_of_ssl() -> None:
    script = "import sys, perfloop.app.web_file, perfloop.exposition.access; sys.exit('ssl' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=30)

    assert done.returncode == 0


def serial(serving: Serving) -> str:
    with serving.secured(client(serving.folder)) as connection:
        return str((connection.getpeercert() or {})["serialNumber"])


def drain(connection: socket.socket) -> None:
    deadline = time.monotonic() + 10
    try:
        while connection.recv(1000):
            assert time.monotonic() < deadline
    except ConnectionResetError:
        pass
