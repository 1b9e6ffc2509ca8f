"""Every mistake in a web configuration is said with its place: one file each, whose first line is the message."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfloop.config.web_config import load_web_config
from perfloop.errors import ConfigInvalid

FOLDER = Path(__file__).parent / "web_config"
FILES = sorted(FOLDER.glob("invalid-*.yml"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_mistake_is_said_with_its_place_and_what_was_expected(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    expected = file.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")

    with pytest.raises(ConfigInvalid) as caught:
        load_web_config(Path(file.name))

    assert caught.value.problems == (expected,)


def test_a_missing_file_is_a_mistake_like_any_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"web\.yml: No such file or directory"):
        load_web_config(tmp_path / "web.yml")


@pytest.mark.parametrize("text", ["", "tls_server_config:\n", "http_server_config: {http2: false, headers: {}}\n"])
def test_what_asks_for_nothing_is_plain_http_for_everybody(text: str, tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(text)

    loaded = load_web_config(tmp_path / "web.yml")

    assert loaded.tls is None
    assert loaded.config.basic_auth_users == {}


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [("0", 0), ("1s", 1), ("500ms", 0.5), ("1m30s", 90), ("1.5h", 5400), ("'0'", 0)],
)
def test_durations_are_those_of_go(interval: str, seconds: float, tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(f"rate_limit: {{interval: {interval}, burst: 1}}\n")

    assert load_web_config(tmp_path / "web.yml").config.rate_limit.interval_seconds == seconds


def test_no_secret_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(
        "basic_auth_users: {alice: hunter2, bob: [hunter2], carol: $2b$10$hunter2}\n"
        'tls_server_config: {cert: hunter2, key: "hunter2"}\n'
    )

    with pytest.raises(ConfigInvalid) as caught:
        load_web_config(tmp_path / "web.yml")

    assert "hunter2" not in str(caught.value)
