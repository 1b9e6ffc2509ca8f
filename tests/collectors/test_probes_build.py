"""From perfloop.yml to probes: what is configured is asked, and a reload knows which probes stayed the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfloop.app.collectors import build_collectors
from perfloop.app.recipe import Recipe
from perfloop.config import parse
from perfloop.errors import ConfigInvalid
from tests.collectors.name_server import NameServer
from tests.collectors.pages import lint, page_of
from tests.collectors.web_server import WebServer

ONLY = "collectors: {{system: {{enabled: false}}, {}}}"
PROBE = """application: {{probes: [{{component: shop, url: "http://127.0.0.1/", timeout_seconds: {seconds},
           tls: {{ca_file: ca.pem}}, basic_auth: {{user: probe, password: {{env: PASSWORD}}}}}}]}}"""


def built(text: str, folder: Path, **environ: str) -> list[Recipe]:
    return build_collectors(parse(ONLY.format(text)), base=folder, environ=environ)


def test_every_kind_of_probe_is_made_and_succeeds(web_server: WebServer, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(web_server.ca_file.read_text())
    (tmp_path / "secret").write_text("s3cret\n")
    with NameServer() as server:
        recipes = built(
            f"""
            application: {{probes: [
              {{component: shop, url: "https://{web_server.good}/asked", tls: {{ca_file: ca.pem}},
                basic_auth: {{user: probe, password: {{file: secret}}}},
                expect_body: "auth=Basic cHJvYmU6czNjcmV0 "}}]}},
            network: {{
              targets: [{{component: shop, address: "{web_server.http}"}}],
              ping: [{{component: shop, host: 127.0.0.1, ip_version: 4}}],
              dns: [{{component: shop, name: a.test, server: "{server.address}", expect: [192.0.2.1]}}],
              tls: [{{component: shop, address: "{web_server.good}", ca_file: ca.pem, minimum_version: "1.3"}}]}}
            """,
            tmp_path,
        )
        sources = [source for source in (recipe.make() for recipe in recipes) if source.component == "shop"]
        page = page_of(*(source.collect() for source in sources))

    for name in ("application", "network", "network_ping", "network_dns", "network_tls"):
        assert page.value(f"perfloop_{name}_up", component="shop") == 1
    assert "s3cret" not in page.text
    assert lint(page.text) == ""


@pytest.mark.parametrize(
    ("seconds", "password", "kept"),
    [
        pytest.param(5, "one", 1, id="nothing changed"),
        pytest.param(4, "one", 0, id="another setting"),
        pytest.param(5, "two", 0, id="another secret"),
    ],
)
def test_a_reload_keeps_the_probes_that_stayed_the_same(tmp_path: Path, seconds: int, password: str, kept: int) -> None:
    (tmp_path / "ca.pem").touch()
    before = built(PROBE.format(seconds=5), tmp_path, PASSWORD="one")[-1]

    after = built(PROBE.format(seconds=seconds), tmp_path, PASSWORD=password)[-1]

    assert (after == before) == kept


def test_a_file_of_authorities_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"ca\.pem: is no file"):
        built(PROBE.format(seconds=5), tmp_path, PASSWORD="one")
