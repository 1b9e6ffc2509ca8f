"""`perfloop optimizer` in a hurry: the real process on real servers, whose policies look after seconds, not minutes.

usage: python -m tests.integration.quick perfloop.yml
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from msgspec.structs import replace

from perfloop.app.optimizer import Optimizer, build_policy
from perfloop.config import Config, component_of, load
from perfloop.drivers import connect
from perfloop.executors import EXECUTORS
from perfloop.model import Timing
from perfloop.optimizer.decider import Parts
from perfloop.optimizer.evaluator import PrometheusEvaluator
from perfloop.optimizer.policy import Budget
from perfloop.prometheus.client import PrometheusClient
from perfloop.rules.catalogue import catalogue

TIMING = Timing(settle_seconds=4.0, sample_seconds=1.0, looks=(5, 10, 15), baseline_samples=10, minimum_samples=5)


def quick_parts(config: Config, *, base: Path, prometheus_url: str | None = None) -> Parts:
    """What the configuration says, with short looks."""
    metrics = catalogue(config.metrics)
    prometheus = PrometheusClient(prometheus_url or config.prometheus.url, timeout_seconds=1.0)
    components = {name: component_of(config, name, base=base, environ={}) for name in config.components}
    return Parts(
        own_rules=frozenset(config.performance_collection.alert_thresholds),
        alert_source=prometheus,
        policies=[replace(build_policy(section, config, metrics), timing=TIMING) for section in config.policies],
        components=frozenset(components),
        executors={name: executor(components, connect=connect) for name, executor in EXECUTORS.items()},
        evaluator=PrometheusEvaluator(prometheus, catalogue=metrics),
        budget=Budget(),
        action_timeout_seconds=300.0,
        decide_again_seconds=0.5,
    )


def main() -> None:
    """Serve until told to end."""
    file = Path(sys.argv[1])
    optimizer = Optimizer(file, environ=os.environ)
    optimizer.controller.reconfigure(quick_parts(load(file), base=file.parent))
    optimizer.serve()


if __name__ == "__main__":
    main()
