"""The compiled files as objects of the Prometheus Operator: what Kubernetes is given instead of files.

Everything is translated from the files, so that both say the same. A file with a secret becomes a key of a Secret,
called `perfloop-` and the file's name; the key is that name, as `kubectl create secret generic --from-file` has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import msgspec
import yaml

from perfloop.errors import ConfigInvalid
from perfloop.rules.compile import RuleInputs, alert_groups, alertmanager, header_of, recording_groups
from perfloop.rules.groups import as_mapping, to_yaml
from perfloop.rules.promql import duration

RULES, MONITORS = "perfloop-prometheusrules.yml", "perfloop-servicemonitors.yml"
TARGETS, ROUTES = "perfloop-scrapeconfig.yml", "perfloop-alertmanagerconfig.yml"

# What alerts ask for as `job`, and the Services that have it.
_JOBS = {"perfloop": "perfloop-exporter", "perfloop-optimizer": "perfloop-optimizer"}
_LOOPBACK = re.compile(r"127\.[\d.]+|localhost|\[::1\]|0\.0\.0\.0|\[::\]|\*")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"((?:\\.|[^"\\])*)"')
_ESCAPED = re.compile(r"\\(.)")
_PLAIN = ("receiver", "continue", "name", "to", "from", "smarthost", "channel", "text", "url", "equal", "type")
_RENAMED = {"require_tls": "requireTLS", "inhibit_rules": "inhibitRules"}
_SECRETS = {
    "auth_password_file": "authPassword",
    "api_url_file": "apiURL",
    "credentials_file": "credentials",
}
# Newer than what the operator's objects can say; Alertmanager's defaults do instead.
_LEFT_OUT = ("timeout", "threading")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the objects are made, and the labels by which Prometheus and Alertmanager select them."""

    namespace: str = "monitoring"
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)


def compile_operator(inputs: RuleInputs, place: Place) -> dict[str, str]:
    """Return the text of each manifest by its name. Raises ConfigInvalid for what an object cannot say."""
    host, _, port = inputs.optimizer.rpartition(":")
    if _LOOPBACK.fullmatch(host):
        # What the optimizer listens on says nothing of where Alertmanager finds it.
        service = f"{_JOBS['perfloop-optimizer']}.{place.namespace}.svc:{port}"
        inputs = msgspec.structs.replace(inputs, optimizer=service)
    alerts = alert_groups(inputs)
    rules = {"perfloop-recording": recording_groups(inputs), "perfloop": alerts}
    routes = yaml.safe_load(alertmanager(inputs, alerts))
    header = header_of(inputs.source, inputs.digest)
    manifests = {
        RULES: [_object("PrometheusRule", name, as_mapping(groups), place) for name, groups in rules.items()],
        MONITORS: [_monitor(job, service, inputs.interval_seconds, place) for job, service in _JOBS.items()],
        TARGETS: _scrape_configs(inputs, place),
        ROUTES: [_routes(routes, place)],
    }
    return {name: header + "---\n".join(map(to_yaml, objects)) for name, objects in manifests.items() if objects}


def secrets(manifests: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the Secrets that the manifests refer to."""
    names = re.findall(r"(?m)^ +name: (perfloop-\S+)\n +key: ", manifests[ROUTES])
    return tuple(sorted(set(names)))


def _object(kind: str, name: str, spec: Mapping[str, Any], place: Place, *, version: str = "v1") -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "perfloop", **place.labels}
    return {
        "apiVersion": f"monitoring.coreos.com/{version}",
        "kind": kind,
        "metadata": {"name": name, "namespace": place.namespace, "labels": labels},
        "spec": dict(spec),
    }


def _named(job: str) -> list[dict[str, str]]:
    return [{"action": "replace", "targetLabel": "job", "replacement": job}]


def _monitor(job: str, service: str, interval_seconds: int, place: Place) -> dict[str, Any]:
    endpoint = {
        "port": "metrics",
        "interval": duration(interval_seconds),
        "scrapeTimeout": duration(min(interval_seconds, 10)),
        "relabelings": _named(job),
    }
    selector = {"matchLabels": {"app.kubernetes.io/name": service}}
    return _object("ServiceMonitor", service, {"selector": selector, "endpoints": [endpoint]}, place)


def _scrape_configs(inputs: RuleInputs, place: Place) -> list[dict[str, Any]]:
    """Return what scrapes the exporters outside of Kubernetes; those on loopback are not told apart from Pods."""
    targets = [each for each in inputs.exporters if not _LOOPBACK.fullmatch(each.rpartition(":")[0])]
    if not targets:
        return []
    spec = {
        "scrapeInterval": duration(inputs.interval_seconds),
        "scrapeTimeout": duration(min(inputs.interval_seconds, 10)),
        "staticConfigs": [{"targets": targets}],
        "relabelings": _named("perfloop"),
    }
    return [_object("ScrapeConfig", "perfloop-exporters", spec, place, version="v1alpha1")]


def _routes(document: Mapping[str, Any], place: Place) -> dict[str, Any]:
    _check_apart(document)
    return _object("AlertmanagerConfig", "perfloop", _translated(document), place, version="v1alpha1")


def _translated(value: Any) -> Any:  # noqa: ANN401 - any part of a YAML document
    if isinstance(value, list):
        return [_translated(item) for item in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for key, item in value.items():
        if key == "http_headers":
            raise ConfigInvalid(["an AlertmanagerConfig has no headers for webhooks; leave them out of `channels`"])
        if key in _LEFT_OUT:
            continue
        if key in {"matchers", "source_matchers", "target_matchers"}:
            name = {"matchers": key, "source_matchers": "sourceMatch", "target_matchers": "targetMatch"}[key]
            found[name] = [_matcher(text) for text in item]
        elif key in _SECRETS:
            found[_SECRETS[key]] = _secret(item)
        else:
            found[_RENAMED.get(key) or _camel(key)] = item if key in _PLAIN else _translated(item)
    return found


def _camel(key: str) -> str:
    first, *others = key.split("_")
    return first + "".join(word.capitalize() for word in others)


def _matcher(text: str) -> dict[str, str]:
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ConfigInvalid([f"cannot read the matcher {text!r}"])
    name, operator, value = found.groups()
    plain = _ESCAPED.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], value)
    return {"name": name, "matchType": operator, "value": plain}


def _secret(file: str) -> dict[str, str]:
    name = re.sub(r"[^a-z0-9.-]+", "-", PurePath(file).name.lower()).strip("-.")
    return {"name": f"perfloop-{name}", "key": re.sub(r"[^\w.-]", "_", PurePath(file).name)}


def _check_apart(document: Any) -> None:  # noqa: ANN401 - any part of a YAML document
    """Refuse two files that would be one Secret."""
    made: dict[str, str] = {}
    for file in _files(document):
        other = made.setdefault(_secret(file)["name"], file)
        if other != file:
            raise ConfigInvalid([f"{other} and {file} would both be the Secret {_secret(file)['name']}; rename one"])


def _files(value: Any) -> Sequence[str]:  # noqa: ANN401 - any part of a YAML document
    if isinstance(value, list):
        return [file for item in value for file in _files(item)]
    if not isinstance(value, dict):
        return []
    own = [item for key, item in value.items() if key in _SECRETS]
    return [*own, *(file for item in value.values() for file in _files(item))]
