"""The documents are true: links lead somewhere, snippets are valid, and nothing that exists is left out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from perfloop import config
from perfloop.app.compile import compile_all
from perfloop.cli import COMMANDS
from perfloop.cli.actions import command as actions
from perfloop.config.schema import Config, PolicySection
from perfloop.executors import EXECUTORS
from perfloop.exposition.web_config import WebConfig
from perfloop.model import Direction, Operator
from perfloop.rules.catalogue import shipped
from perfloop.rules.links import Links
from perfloop.rules.shipped import names as names_of_shipped_alerts
from perfloop.rules.thresholds import documented
from perfloop.stack.process import find_binary

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
RULES = ROOT / "rules" / "generated" / "rules"
_WORSE = {Direction.LOWER: Operator.GREATER_THAN, Direction.HIGHER: Operator.LESS_THAN}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Return what GitHub makes of the headings of a page."""
    prose = re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))
    headings = re.findall(r"(?m)^#+ (.*)$", prose)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def snippets(language: str) -> list[Any]:
    """Return every fenced block of a language in all pages, named by page and line."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(rf"(?ms)^```{language}\n(.*?)^```$", text):
            line = text.count("\n", 0, block.start()) + 1
            found.append(pytest.param(block[1], id=f"{page.name}:{line}"))
    return found


# -- links -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))

    for link in links:
        path, _, anchor = link.partition("#")
        if link.startswith(("https://", "http://")):
            continue
        target = (page.parent / path) if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


# -- snippets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("snippet", snippets("yaml"))
def test_every_yaml_snippet_is_valid_for_whom_it_is_meant(snippet: str, tmp_path: Path) -> None:
    keys = set(yaml.safe_load(snippet))

    if keys <= set(Config.__struct_fields__):
        compile_all(config.parse(snippet), config_path=tmp_path / "perfloop.yml")
    elif keys <= set(PolicySection.__struct_fields__):
        msgspec.convert(yaml.safe_load(snippet), _part_of(PolicySection, keys))
    elif keys <= set(WebConfig.__struct_fields__):
        msgspec.convert(yaml.safe_load(snippet), WebConfig, dec_hook=lambda _, value: Path(value))
    elif "scrape_configs" in keys:
        _ask("promtool", "check", "config", _with_rules(snippet, tmp_path))
    elif "receivers" in keys:
        _ask("amtool", "check-config", _file(snippet, tmp_path))
    else:
        pytest.fail(f"for whom is this meant? {keys}")


def _part_of(struct: type[msgspec.Struct], keys: set[str]) -> Any:
    fields = [(info.encode_name, info.type) for info in msgspec.structs.fields(struct) if info.encode_name in keys]
    return msgspec.defstruct("Part", fields, forbid_unknown_fields=True)


def _with_rules(snippet: str, folder: Path) -> Path:
    (folder / "rules").mkdir()
    for path in RULES.iterdir():
        (folder / "rules" / path.name).write_bytes(path.read_bytes())
    return _file(snippet, folder)


def _file(snippet: str, folder: Path) -> Path:
    file = folder / "snippet.yml"
    file.write_text(snippet, encoding="utf-8")
    return file


def _ask(*argv: str | Path) -> None:
    name, *arguments = argv
    done = subprocess.run([find_binary(str(name)), *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


# -- nothing is left out, and nothing is there that does not exist -----------------------------------------------------


def test_every_alert_has_its_page_and_no_other_has() -> None:
    names = {*documented(), *names_of_shipped_alerts(), "ErrorBudgetBurn", "README"}

    assert {page.stem for page in (ROOT / "docs" / "alerts").iterdir()} == names


def test_every_runbook_url_of_the_compiled_rules_leads_to_a_page() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in RULES.iterdir())

    urls = set(re.findall(r"runbook_url: (\S+)", text))

    assert urls
    base = Links().runbook_base_url
    assert urls <= {f"{base}/{page.name}" for page in (ROOT / "docs" / "alerts").iterdir()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_only_metrics_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    known = set(re.findall(r"(?m)^\| `(perfloop_\w+)` \|", text_of("docs/metrics.md")))
    raw = set(re.findall(r"`(perfloop_[a-z0-9_]+)[`{\[]", text))
    recorded = set(re.findall(r"\bperfloop:([a-z0-9_]+)", text))

    assert raw <= known
    assert recorded <= set(shipped())


@pytest.mark.parametrize("name", ["metrics", "configuration"])
def test_generated_pages_are_fresh(name: str, tmp_path: Path) -> None:
    script = ROOT / "scripts" / f"generate_{name}.py"

    subprocess.run([sys.executable, script, tmp_path / "page.md"], check=True, timeout=60)

    assert (tmp_path / "page.md").read_text(encoding="utf-8") == text_of(f"docs/{name}.md"), "make generate"


def test_every_key_of_perfloop_yml_is_explained() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \|.*\| (.*) \|$", text_of("docs/configuration.md"))

    assert len(rows) > 50
    assert [key for key, meaning in rows if not meaning.strip().endswith(".")] == []


def test_an_explanation_of_several_lines_is_there_to_its_end() -> None:
    reference = text_of("docs/configuration.md")
    schemas = (ROOT / "exporter" / "perfloop" / "config" / "schema").glob("*.py")

    lines = [line for file in schemas for line in re.findall(r"(?m)^    #: (.*)$", file.read_text(encoding="utf-8"))]

    assert len(lines) > 50
    assert [line for line in lines if line not in reference] == []


def test_the_readme_has_every_command_section_mode_and_executor() -> None:
    text = text_of("README.md")

    named = set(re.findall(r"`(\w+)`", text)) | set(re.findall(r"(?m)^\| `perfloop (\w+)` \|", text))

    wanted = {*COMMANDS, *actions.commands, *Config.__struct_fields__, *EXECUTORS}
    assert wanted <= named
    assert {"observe", "suggest", "approve", "auto"} <= named


def test_pages_name_no_folder_of_the_machine_they_were_written_on() -> None:
    for page in PAGES:
        assert not re.search(r"/(work|root|home|tmp)/", page.read_text(encoding="utf-8")), page.name
