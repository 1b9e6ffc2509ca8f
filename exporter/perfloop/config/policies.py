"""Mistakes in policies: names that do not exist, parameters that do not fit, metrics that cannot be measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from perfloop.config.names import check_known
from perfloop.config.reader import Document
from perfloop.config.schema import Config, GuardSection, ObjectiveSection, PolicySection
from perfloop.errors import ConfigInvalid
from perfloop.executors import EXECUTORS
from perfloop.model import CatalogueMetric
from perfloop.model.matchers import parse_matcher

_SOURCE = re.compile(r"perfloop_(postgresql|pgbouncer|redis)_")
_COMPONENT = re.compile(r'\s*component\s*=\s*"([^"]*)"\s*$')


def check_policies(document: Document, config: Config, metrics: Mapping[str, CatalogueMetric]) -> None:
    """Report every mistake in the policies to the document."""
    _check_unique(document, config)
    for i, policy in enumerate(config.policies):
        _check_policy(document, f"policies[{i}]", policy, config, metrics)


def _check_policy(
    document: Document, path: str, policy: PolicySection, config: Config, metrics: Mapping[str, CatalogueMetric]
) -> None:
    check_known(document, f"{path}.executor", policy.executor, EXECUTORS, "executor")
    check_known(document, f"{path}.objective.metric", policy.objective.metric, metrics, "metric")
    for i, guard in enumerate(policy.guards):
        check_known(document, f"{path}.guards[{i}].metric", guard.metric, metrics, "metric")
    if policy.component is not None:
        check_known(document, f"{path}.component", policy.component, config.components, "component")
    _check_parameters(document, path, policy, config)
    _check_matchers(document, f"{path}.match", policy.match)
    _check_measured(document, path, policy, config, metrics)


def _check_measured(
    document: Document, path: str, policy: PolicySection, config: Config, metrics: Mapping[str, CatalogueMetric]
) -> None:
    """Report metrics that no component has, and those measured twice over in different places."""
    measured: dict[str, tuple[str, ...]] = {}
    guards = [(f"guards[{i}]", guard) for i, guard in enumerate(policy.guards)]
    sections: list[tuple[str, ObjectiveSection | GuardSection]] = [("objective", policy.objective), *guards]
    for place, section in sections:
        below = f"{path}.{place}"
        _check_matchers(document, f"{below}.match", section.match)
        entry = metrics.get(section.metric)
        if entry is not None and entry.per == "host" and not section.match:
            expected = "add match: ['instance=\"HOST:PORT\"'] to say which host"
            document.report(f"{below}.metric", f"{section.metric} is measured per host, not per component; {expected}")
        driver = _driver(policy, config)
        sources = set(_SOURCE.findall(entry.expr)) if entry is not None else set()
        if driver and sources and driver not in sources and not section.match:
            of = " and ".join(sorted(sources))
            expected = "add match: ['component=\"NAME\"'] to say whose"
            document.report(f"{below}.metric", f"{section.metric} is measured at {of}, not at {driver}; {expected}")
        if isinstance(section, ObjectiveSection) and section.control:
            _check_matchers(document, f"{below}.control", section.control)
            own = section.match or (f'component="{_component(policy)}"',)
            if set(section.control) == set(own):
                document.report(f"{below}.control", "expected series that the action does not touch, got its own")
        if measured.setdefault(section.metric, section.match) != section.match:
            document.report(f"{below}.match", f"{section.metric} is measured twice in this policy, with other labels")


def _driver(policy: PolicySection, config: Config) -> str | None:
    """Return the driver of the component that the policy names, if it names one."""
    component = config.components.get(_component(policy))
    return component.driver if component is not None else None


def _component(policy: PolicySection) -> str:
    """Return the component that the policy names, itself or in a matcher, or nothing."""
    named = [found[1] for matcher in policy.match if (found := _COMPONENT.match(matcher))]
    return policy.component or (named[0] if named else "")


def _check_matchers(document: Document, path: str, matchers: Sequence[str]) -> None:
    for i, matcher in enumerate(matchers):
        try:
            parse_matcher(matcher)
        except ConfigInvalid as error:
            document.report(f"{path}[{i}]", str(error))


def _check_parameters(document: Document, path: str, policy: PolicySection, config: Config) -> None:
    """Report a component that the executor cannot act on, and parameters that it does not have there."""
    executor, component = EXECUTORS.get(policy.executor), config.components.get(policy.component or "")
    if executor is None:
        return
    drivers = executor.parameters
    if component is not None and component.driver not in drivers:
        expected = f"{policy.executor} acts on {' and '.join(drivers)}"
        document.report(f"{path}.component", f"{expected}, not on {component.driver}, which {policy.component} is")
        return
    known = drivers[component.driver] if component else [name for table in drivers.values() for name in table]
    for name in policy.parameters:
        place = f"{path}.parameters.{name}"
        if name in executor.elsewhere:
            document.report(place, f"cannot be set here; {executor.elsewhere[name]}")
        else:
            check_known(document, place, name, known, "parameter")


def _check_unique(document: Document, config: Config) -> None:
    seen: set[str] = set()
    for i, policy in enumerate(config.policies):
        if policy.name in seen:
            document.report(f"policies[{i}].name", f"another policy is already called {policy.name}")
        seen.add(policy.name)
