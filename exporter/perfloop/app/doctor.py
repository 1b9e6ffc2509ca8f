"""Whether Prometheus and Alertmanager run what perfloop.yml compiles to; each finding says what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from perfloop.app.compile import Targets, compile_all
from perfloop.app.rules import rule_groups
from perfloop.config import Config
from perfloop.errors import PerfloopError, Rejected
from perfloop.prometheus.status import AlertmanagerStatus, LoadedGroup, PrometheusStatus
from perfloop.protocols import Clock
from perfloop.rules.agreement import disagreements
from perfloop.rules.comparison import Compared, Plain, compare, plain
from perfloop.rules.compile import ALERTMANAGER_FILE
from perfloop.rules.prometheus import reachable
from perfloop.rules.promql import duration, seconds_of
from perfloop.rules.targets import Version, written

_SKEW_SECONDS = 5.0
_OWN_GROUPS = "perfloop-"
_RELOADED = (
    '{__name__=~"perfloop_(exporter|optimizer)_config_last_reload_successful'
    '|(prometheus|alertmanager)_config_last_reload_successful"} == 0'
)
_LOAD = "perfloop compile --out FOLDER, let Prometheus' rule_files name FOLDER/rules/*.yml, and reload it"
_ROUTE = "perfloop compile --out FOLDER, take FOLDER/alertmanager.yml over, and reload Alertmanager"


class Finding(Struct, frozen=True, kw_only=True):
    """What is not as perfloop.yml says, where, and what to do."""

    where: str
    what: str
    remedy: str


class Doctor:
    """Looks at the Prometheus and the Alertmanager of one configuration. Writes nothing."""

    def __init__(
        self,
        config: Config,
        *,
        config_path: Path,
        targets: Targets,
        prometheus: PrometheusStatus,
        alertmanager: AlertmanagerStatus,
        clock: Clock,
    ) -> None:
        self._config, self._path, self._targets = config, config_path, targets
        self._prometheus, self._alertmanager, self._clock = prometheus, alertmanager, clock

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong. A server that does not answer is a finding, and the others are still looked at."""
        prometheus = self._config.prometheus.url
        alertmanager = self._config.prometheus.alertmanager_url
        yield from _answered(prometheus, "prometheus.url", self._about_prometheus)
        yield from _answered(alertmanager, "prometheus.alertmanager_url", self._about_alertmanager)

    def _about_prometheus(self) -> Iterator[Finding]:
        url = self._config.prometheus.url
        yield from _version(url, "Prometheus", self._prometheus.version(), self._targets.prometheus)
        yield from self._about_clock(url)
        yield from self._about_retention(url)
        yield from self._about_rules(url)
        yield from self._about_targets(url)
        if not self._prometheus.alertmanagers():
            remedy = f"add alerting.alertmanagers with {self._config.prometheus.alertmanager_url}, and reload it"
            yield Finding(where=url, what="sends alerts to no Alertmanager", remedy=remedy)
        for found in self._prometheus.query(_RELOADED):
            job, instance = found.labels.get("job", ""), found.labels.get("instance", "")
            what = f"{job} at {instance} goes on with an old configuration: its last reload failed"
            yield Finding(where=url, what=what, remedy="its log says why; mend the file, and reload")

    def _about_clock(self, url: str) -> Iterator[Finding]:
        before = self._clock()
        theirs = self._prometheus.clock()
        after = self._clock()
        skew = theirs - after if theirs > after else min(0.0, theirs - before)
        if abs(skew) > _SKEW_SECONDS:
            words = f"its clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
            yield Finding(
                where=url, what=words, remedy="run NTP on both: samples before and after an action are compared"
            )

    def _about_retention(self, url: str) -> Iterator[Finding]:
        wanted = self._config.performance_collection.retention_period
        kept = self._prometheus.retention()
        try:
            enough = seconds_of(kept.partition(" ")[0]) >= wanted
        except ValueError:
            return
        if not enough:
            remedy = f"start it with --storage.tsdb.retention.time={duration(wanted)}, or lower retention_period"
            yield Finding(where=url, what=f"keeps samples for {kept}, and not for {duration(wanted)}", remedy=remedy)

    def _about_rules(self, url: str) -> Iterator[Finding]:
        groups = [group for group in self._prometheus.groups() if group.name.startswith(_OWN_GROUPS)]
        if not groups:
            yield Finding(where=url, what="has none of perfloop's rules", remedy=_LOAD)
            return
        ours = plain(rule_groups(self._config, config_path=self._path))
        for each in compare(_loaded(groups), ours, normal=self._formatted):
            yield Finding(where=url, what=_words(each), remedy=_LOAD)
        for rule in (rule for group in groups for rule in group.rules if rule.health == "err"):
            what = f"cannot evaluate {rule.name}: {rule.last_error}"
            yield Finding(where=url, what=what, remedy=f"perfloop rules explain {rule.name} shows its PromQL")

    def _about_targets(self, url: str) -> Iterator[Finding]:
        targets = self._prometheus.targets()
        interval = self._config.performance_collection.collection_interval
        wanted = {"perfloop": self._config.prometheus.exporters}
        wanted["perfloop-optimizer"] = (reachable(self._config.web.optimizer_address),)
        for job, addresses in wanted.items():
            known = {target.labels.get("instance") for target in targets if target.labels.get("job") == job}
            for address in addresses:
                if address not in known:
                    remedy = f"add {address} to a job named {job}, as compiled prometheus.yml has it"
                    yield Finding(where=url, what=f"does not scrape {address} as job {job}", remedy=remedy)
        for target in targets:
            job, instance = target.labels.get("job", ""), target.labels.get("instance", "")
            if target.health == "down":
                what = f"{job} at {instance} is down: {target.last_error}"
                yield Finding(where=url, what=what, remedy=f"start it, or see that {target.scrape_url} can be reached")
            elif job in wanted and target.scrape_interval and seconds_of(target.scrape_interval) != interval:
                what = f"scrapes {job} at {instance} every {target.scrape_interval}, not every {duration(interval)}"
                yield Finding(
                    where=url, what=what, remedy="let scrape_interval be performance_collection.collection_interval"
                )

    def _about_alertmanager(self) -> Iterator[Finding]:
        url = self._config.prometheus.alertmanager_url
        yield from _version(url, "Alertmanager", self._alertmanager.version(), self._targets.alertmanager)
        compiled = compile_all(self._config, config_path=self._path, targets=self._targets)[ALERTMANAGER_FILE]
        running: Any = yaml.safe_load(self._alertmanager.configuration())
        for problem in disagreements(yaml.safe_load(compiled), running):
            yield Finding(where=url, what=problem, remedy=_ROUTE)

    def _formatted(self, expr: str) -> str:
        try:
            return self._prometheus.formatted(expr)
        except Rejected:  # others that speak this API have no such call
            return expr


def _answered(url: str, key: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except PerfloopError as error:
        yield Finding(where=url, what=str(error), remedy=f"start it, or correct {key} in perfloop.yml")


def _version(url: str, program: str, version: str, oldest: Version) -> Iterator[Finding]:
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) < oldest:
        what = f"is {program} {version}, older than {written(oldest)}, which the rules are compiled for"
        yield Finding(where=url, what=what, remedy=f"upgrade {program}")


def _loaded(groups: list[LoadedGroup]) -> Iterator[Plain]:
    for group in groups:
        for rule in group.rules:
            yield Plain(
                group=group.name,
                interval_seconds=group.interval,
                name=rule.name,
                kind="alert" if rule.type == "alerting" else "recorded series",
                expr=rule.query,
                for_seconds=rule.duration,
                keep_firing_for_seconds=rule.keep_firing_for,
                labels=rule.labels,
                annotations=rule.annotations,
            )


_CHANGES = {"added": "is missing", "removed": "is loaded, and not in perfloop.yml any more"}


def _words(each: Compared) -> str:
    said = f"the {each.kind} {each.rule}"
    if each.change in _CHANGES:
        return f"{said} {_CHANGES[each.change]}"
    parts = (f"{one.what} is {one.old or 'missing'}, expected {one.new or 'none'}" for one in each.differences)
    return f"{said} is not as compiled: {'; '.join(parts)}"
