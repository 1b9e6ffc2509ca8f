"""What one value cannot say alone: names that must exist, orders that must hold, secrets with one source."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from perfloop.config.reader import Document
from perfloop.config.schema import AlertThreshold, Config, Operator, PolicySection, Secret
from perfloop.errors import ConfigInvalid
from perfloop.executors import EXECUTORS
from perfloop.optimizer.matchers import parse_matcher
from perfloop.rules.catalogue import catalogue


def check(document: Document, config: Config) -> None:
    """Report every mistake between the parts of the configuration to the document."""
    metrics = catalogue(config.metrics)
    for name, threshold in config.performance_collection.alert_thresholds.items():
        path = f"performance_collection.alert_thresholds.{name}"
        _check_known(document, path, name, metrics, "metric")
        _check_threshold(document, path, threshold)
    _check_secret(document, "web.token", config.web.token)
    for name, component in config.components.items():
        if component.password is not None:
            _check_secret(document, f"components.{name}.password", component.password)
    _check_unique(document, config)
    for i, policy in enumerate(config.policies):
        _check_policy(document, f"policies[{i}]", policy, config, metrics)


def _check_threshold(document: Document, path: str, threshold: AlertThreshold) -> None:
    warning, critical = threshold.warning_threshold, threshold.critical_threshold
    if warning is None and critical is None:
        document.report(path, "expected warning_threshold, critical_threshold or both")
    if warning is None or critical is None:
        return
    if threshold.operator is Operator.GREATER_THAN and warning >= critical:
        document.report(path, f"warning_threshold {warning:g} must be below critical_threshold {critical:g}")
    if threshold.operator is Operator.LESS_THAN and warning <= critical:
        document.report(path, f"warning_threshold {warning:g} must be above critical_threshold {critical:g}")


def _check_policy(document: Document, path: str, policy: PolicySection, config: Config, metrics: Iterable[str]) -> None:
    _check_known(document, f"{path}.executor", policy.executor, EXECUTORS, "executor")
    _check_known(document, f"{path}.objective.metric", policy.objective.metric, metrics, "metric")
    for i, guard in enumerate(policy.guards):
        _check_known(document, f"{path}.guards[{i}].metric", guard.metric, metrics, "metric")
    if policy.component is not None:
        _check_known(document, f"{path}.component", policy.component, config.components, "component")
    for i, matcher in enumerate(policy.match):
        try:
            parse_matcher(matcher)
        except ConfigInvalid as error:
            document.report(f"{path}.match[{i}]", str(error))


def _check_secret(document: Document, path: str, secret: Secret) -> None:
    if (secret.file is None) == (secret.env is None):
        document.report(path, "expected exactly one of file and env")


def _check_unique(document: Document, config: Config) -> None:
    seen: set[str] = set()
    for i, policy in enumerate(config.policies):
        if policy.name in seen:
            document.report(f"policies[{i}].name", f"another policy is already called {policy.name}")
        seen.add(policy.name)


def _check_known(document: Document, path: str, name: str, known: Iterable[str], what: str) -> None:
    names = list(known)
    if name in names:
        return
    close = difflib.get_close_matches(name, names, n=1)
    hint = (
        f"did you mean {close[0]}?"
        if close
        else f"expected one of {', '.join(sorted(names)) or 'none, as none is configured'}"
    )
    document.report(path, f"there is no {what} {name!r}; {hint}")
