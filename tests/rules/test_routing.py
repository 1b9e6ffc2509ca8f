"""Who gets which alert, as amtool says of the compiled file; and files that are valid whatever names are in them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from perfloop import config
from perfloop.app.compile import compile_all
from perfloop.errors import ConfigInvalid
from perfloop.rules.alertmanager import compile_alertmanager
from perfloop.rules.channels import Channel, Email, GitHub, Slack, Webhook
from perfloop.rules.groups import Notice, Rule
from perfloop.rules.targets import Targets

CONFIG = """\
performance_collection:
  alert_thresholds:
    cpu_usage: {warning_threshold: 70, critical_threshold: 85}
    disk_usage: {warning_threshold: 80, channels: [mail, bugs], cooldown_minutes: 240}
    memory_usage: {warning_threshold: 80, channels: [bugs, bugs-of-ops, mail], cooldown_minutes: 2}
    error_rate: {warning_threshold: 1, channels: []}
alerts:
  channels: [mail, chat]
  override:
    Watchdog: {channels: [deadman], cooldown_minutes: 1}
    OptimizerDown: {channels: [bugs]}
channels:
  mail:
    email: {recipients: [ops@example.org], sender: perfloop@example.org, smarthost: "mail.example.org:587"}
  chat: {slack: {webhook_url_file: secrets/slack, channel: "#ops"}}
  deadman: {webhook: {url: "https://deadman.example.org/ping"}}
  bugs: {github: {repository: shop/web, token: {file: secrets/github}}}
  bugs-of-ops: {github: {repository: shop/ops, token: {file: secrets/github}}}
"""
HOOK = Webhook(url="https://example.org/hook")


def alert(rule: str, *channels: str, name: str = "", cooldown_seconds: int = 3600) -> Rule:
    notice = Notice(channels=channels, cooldown_seconds=cooldown_seconds)
    return Rule(alert=name or "Alert", expr="vector(1)", labels={"rule": rule, "severity": "critical"}, notice=notice)


def compiled(*alerts: Rule, channels: Mapping[str, Channel], targets: Targets = Targets()) -> str:  # noqa: B008
    return compile_alertmanager(
        webhook_url="http://127.0.0.1:9848/api/v1/alerts",
        credentials_file="token",
        interval_seconds=15,
        alerts=alerts,
        channels=channels,
        group_by=("alertname", "severity"),
        expressions=(),
        targets=targets,
    )


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The alertmanager.yml of the example."""
    file = tmp_path_factory.mktemp("routing") / "alertmanager.yml"
    file.write_text(alertmanager_of(CONFIG), encoding="utf-8")
    return file


def alertmanager_of(text: str) -> str:
    return compile_all(config.parse(text), config_path=Path("/etc/perfloop/perfloop.yml"))["alertmanager.yml"]


def amtool(*arguments: str | Path) -> str:
    done = subprocess.run(["amtool", *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def receivers(text: str, folder: Path, *labels: str) -> str:
    """Return who gets an alert with these labels, in order; amtool must find the file valid."""
    file = folder / "alertmanager.yml"
    file.write_text(text, encoding="utf-8")
    amtool("check-config", file)
    return amtool("config", "routes", "test", f"--config.file={file}", *labels)


def routes_of(text: str) -> list[dict[str, Any]]:
    """Return the routes of alerts, without those by which `perfloop alerts send-test` tries channels."""
    found: list[dict[str, Any]] = yaml.safe_load(text)["route"].get("routes", [])
    return [route for route in found if "perfloop_test" not in str(route.get("matchers"))]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param("rule=cpu_usage severity=critical instance=h", "perfloop,chat+mail", id="the channels of all"),
        pytest.param("rule=postgresql_down", "perfloop,chat+mail", id="a shipped one"),
        pytest.param("rule=disk_usage", "perfloop,bugs,mail", id="its own channels, one of them GitHub"),
        pytest.param("rule=memory_usage", "perfloop,bugs+bugs-of-ops,mail", id="two of GitHub"),
        pytest.param("rule=error_rate", "perfloop", id="no channels"),
        pytest.param("alertname=OptimizerDown rule=optimizer_down", "perfloop,bugs", id="GitHub only"),
        pytest.param(
            "alertname=Watchdog rule=watchdog severity=none", "perfloop,deadman", id="an override of Watchdog"
        ),
        pytest.param("rule=cpu_usage_of_others", "perfloop", id="a rule that only begins like one of ours"),
        pytest.param("rule=my_cpu_usage", "perfloop", id="and one that only ends so"),
        pytest.param("alertname=PerfloopTest rule=cpu_usage perfloop_test=bugs", "bugs", id="a test of one channel"),
        pytest.param("alertname=SomebodyElses severity=critical", "perfloop", id="somebody else's"),
    ],
)
def test_the_optimizer_is_always_told_and_people_by_their_channels(labels: str, expected: str, example: Path) -> None:
    amtool("config", "routes", "test", f"--config.file={example}", f"--verify.receivers={expected}", *labels.split())


def test_the_optimizer_comes_before_all_others_and_github_before_people(example: Path) -> None:
    first, *others = routes_of(example.read_text(encoding="utf-8"))

    assert first == {"receiver": "perfloop", "continue": True}
    assert [route["receiver"] for route in others if route.get("continue")] == ["bugs", "bugs", "bugs+bugs-of-ops"]


def test_watchdog_is_told_to_nobody_by_default_whoever_else_is() -> None:
    text = CONFIG.replace("    Watchdog: {channels: [deadman], cooldown_minutes: 1}\n", "    Watchdog: {duration: 5}\n")

    assert "watchdog" not in alertmanager_of(text)


def test_without_channels_there_is_one_route_and_one_receiver() -> None:
    files = compile_all(config.Config(), config_path=Path("/etc/perfloop/perfloop.yml"))

    document = yaml.safe_load(files["alertmanager.yml"])
    assert "routes" not in document["route"]
    assert [receiver["name"] for receiver in document["receivers"]] == ["perfloop"]
    assert "ExporterDownInhibitor" not in files["rules/perfloop-alerts.yml"]


@pytest.mark.parametrize(
    ("cooldown_seconds", "group_interval", "repeat_interval"),
    [
        pytest.param(4 * 3600, "5m", "4h", id="hours: a new alert of the group waits no longer than 5 minutes"),
        pytest.param(600, "150s", "10m", id="a quarter, so that a repetition is hardly late"),
        pytest.param(60, "15s", "1m", id="a minute"),
        pytest.param(20, "10s", "20s", id="never below group_wait"),
        pytest.param(0, None, None, id="no cooldown: as the optimizer"),
    ],
)
def test_the_cooldown_is_the_repeat_interval_and_the_group_interval_lets_it_hold(
    cooldown_seconds: int, group_interval: str | None, repeat_interval: str | None
) -> None:
    text = compiled(alert("x", "ops", cooldown_seconds=cooldown_seconds), channels={"ops": HOOK})

    route = routes_of(text)[-1]

    assert (route.get("group_interval"), route.get("repeat_interval")) == (group_interval, repeat_interval)


@pytest.mark.parametrize(
    ("rule", "argument"),
    [
        pytest.param('say "no"', r"rule=say \"no\"", id="quotes"),
        pytest.param("a.b", "rule=a.b", id="a dot"),
        pytest.param("a|b", "rule=a|b", id="an alternative"),
        pytest.param("x{1}(y)[z]^$+*?", "rule=x{1}(y)[z]^$+*?", id="every sign of regular expressions"),
        pytest.param("back\\slash", r"rule=back\\slash", id="a backslash"),
        pytest.param("größe 5 €", "rule=größe 5 €", id="beyond ASCII"),
    ],
)
def test_whatever_is_in_a_rule_means_itself(rule: str, argument: str, tmp_path: Path) -> None:
    alone = compiled(alert(rule, "ops"), channels={"ops": HOOK})
    among_others = compiled(alert(rule, "ops"), alert("other", "ops"), channels={"ops": HOOK})

    for text in (alone, among_others):
        assert receivers(text, tmp_path, argument) == "perfloop,ops"
        assert receivers(text, tmp_path, "rule=axb") == "perfloop"


def test_names_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    names = ("a", "b", "a_b", "a-b", "_", "A")
    alerts = [alert(f"r{i}", name) for i, name in enumerate(names)]

    text = compiled(*alerts, alert("both", "a", "b"), alert("turned", "b", "a"), channels=dict.fromkeys(names, HOOK))

    assert [receivers(text, tmp_path, f"rule=r{i}") for i in range(len(names))] == [f"perfloop,{n}" for n in names]
    assert receivers(text, tmp_path, "rule=both") == receivers(text, tmp_path, "rule=turned") == "perfloop,a+b"
    assert len(routes_of(text)) == 2 + len(names)


def test_thirty_channels_of_four_kinds_are_one_valid_receiver_in_any_order(tmp_path: Path) -> None:
    kinds: list[Channel] = [
        HOOK,
        Slack(webhook_url_file="slack", channel="#ops"),
        Email(recipients=("a@example.org",), sender="b@example.org", smarthost="mail:25", user="u", password_file="p"),
        GitHub(repository="a/b"),
    ]
    channels = {f"channel-{i}": kinds[i % 4] for i in range(30)}

    text = compiled(alert("x", *channels), channels=channels)
    turned = compiled(alert("x", *reversed(channels)), channels=dict(reversed(channels.items())))

    assert text == turned
    github = "+".join(sorted(name for name, channel in channels.items() if isinstance(channel, GitHub)))
    people = "+".join(sorted(name for name, channel in channels.items() if not isinstance(channel, GitHub)))
    assert receivers(text, tmp_path, "rule=x") == f"perfloop,{github},{people}"


def test_the_file_reads_as_it_was_accepted() -> None:
    """Set PERFLOOP_UPDATE_ROUTES=1 to accept what is compiled now; then read the diff."""
    golden = Path(__file__).with_name("routes.golden.yml")
    channels: dict[str, Channel] = {
        "mail": Email(
            recipients=("ops@example.org", "Night <night@example.org>"),
            sender="perfloop@example.org",
            smarthost="mail.example.org:587",
            user="perfloop",
            password_file="/etc/perfloop/secrets/mail",
        ),
        "chat": Slack(webhook_url_file="/etc/perfloop/secrets/chat", channel="#ops"),
        "pager": Webhook(url="https://pager.example.org/alerts", token_file="secrets/pager"),
        "bugs": GitHub(repository="shop/web"),
    }
    alerts = (
        alert("cpu_usage", "chat", "mail", name="CpuUsageHigh"),
        alert("memory_usage", "mail", "chat", name="MemoryUsageHigh"),
        alert("disk_usage", "bugs", "mail", name="DiskUsageHigh", cooldown_seconds=14400),
        alert("watchdog", "pager", name="Watchdog", cooldown_seconds=60),
        alert("exporter_down", name="ExporterDown"),
    )

    text = compiled(*alerts, channels=channels)

    if os.environ.get("PERFLOOP_UPDATE_ROUTES"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_alerts_of_one_rule_may_have_different_channels(tmp_path: Path) -> None:
    alerts = (alert("pool", "a", name="PoolWaitHigh"), alert("pool", "b", name="PoolFull"), alert("pool", name="Pool"))

    text = compiled(*alerts, alert("other", "a"), channels={"a": HOOK, "b": HOOK})

    assert receivers(text, tmp_path, "rule=pool", "alertname=PoolWaitHigh") == "perfloop,a"
    assert receivers(text, tmp_path, "rule=pool", "alertname=PoolFull") == "perfloop,b"
    assert receivers(text, tmp_path, "rule=pool", "alertname=Pool") == "perfloop"
    assert receivers(text, tmp_path, "rule=other", "alertname=Alert") == "perfloop,a"


def test_alerts_that_nothing_tells_apart_must_have_the_same_channels() -> None:
    with pytest.raises(ConfigInvalid, match="the alerts Alert of pool differ in channels or cooldown"):
        compiled(alert("pool", "a"), alert("pool", "b"), channels={"a": HOOK, "b": HOOK})


def test_group_by_is_for_people_and_an_issue_is_about_one_thing() -> None:
    text = CONFIG.replace("alerts:\n", "alerts:\n  group_by: [alertname, instance]\n")

    compiled_text = alertmanager_of(text)

    by_receiver = {route["receiver"]: route.get("group_by") for route in routes_of(compiled_text)}
    assert by_receiver["mail"] == by_receiver["deadman"] == ["alertname", "instance"]
    assert by_receiver["bugs"] == ["rule", "component", "instance"]
    assert yaml.safe_load(compiled_text)["route"]["group_by"] == ["alertname", "component", "instance"]
