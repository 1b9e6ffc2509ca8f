"""From perfloop.yml to the page: what others measured."""

from __future__ import annotations

from pathlib import Path

from perfloop.app.collectors import build_collectors
from perfloop.app.push import Pushing
from perfloop.collectors.others.pushes import PushStore
from perfloop.config import parse
from perfloop.exposition.http import Request
from tests.collectors.pages import Page, lint, page_of

YML = """
collectors:
  system: {enabled: false}
  cgroup: {enabled: false}
  network: {enabled: false}
  benchmarks:
    sources: [{component: orders, path: bench.txt, tool: go}]
  textfile:
    folders: [files]
  push:
    token: {env: PUSH_TOKEN}
"""


def push(store: PushStore, body: bytes) -> int:
    pushing = Pushing(store, parse(YML).collectors.push, token="secret")
    headers = {"authorization": "Bearer secret"}
    request = Request(method="POST", path="/push/nightly", headers=headers, keep_alive=True, body=body)
    return pushing.answer(request).status


def scrape(store: PushStore, folder: Path, *, compat: frozenset[str] = frozenset()) -> Page:
    recipes = build_collectors(parse(YML), base=folder, environ={}, store=store, compat=compat)
    return page_of(*[recipe.make().collect() for recipe in recipes])


def test_files_and_pushes_come_together_on_one_page(tmp_path: Path) -> None:
    (tmp_path / "bench.txt").write_text("BenchmarkParse 10 2000 ns/op\n")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.prom").write_text("# HELP a One.\n# TYPE a gauge\na 1\n")
    store = PushStore()

    status = push(store, b"# HELP b Two.\n# TYPE b gauge\nb 2\n")

    page = scrape(store, tmp_path)
    assert status == 200
    assert (page.value("a"), page.value("b", job="nightly")) == (1, 2)
    assert page.values("perfloop_benchmark_mean_seconds") == [2e-6]
    assert lint(page.text) == ""
    assert push(store, b"a 1\n") == 409, "a file has this name"


def test_names_that_compat_gives_to_others_are_theirs(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "bad.prom").write_text("node_load1 1\n")
    (folder / "good.prom").write_text("node_reboot_required 1\n")
    compat = frozenset({"node", "redis"})
    store = PushStore()

    page = scrape(store, tmp_path, compat=compat)

    assert page.value("perfloop_textfile_success", file=str(folder / "bad.prom")) == 0
    assert page.value("node_reboot_required") == 1
    assert page.value("node_textfile_scrape_error") == 1
    assert push(store, b"redis_up 1\n") == 409
    assert push(store, b"pg_up 1\n") == 200
