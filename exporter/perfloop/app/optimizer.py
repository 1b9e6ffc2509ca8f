"""The optimizer process: store, controller, evaluator, executors and HTTP API, wired from the configuration."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import uvicorn
from prometheus_client import disable_created_metrics

from perfloop.app.compile import own_rules
from perfloop.app.history import RecordedHistory
from perfloop.app.listener import listen
from perfloop.app.notifiers import build_notifiers
from perfloop.config import Config, component_of, load, read_secret
from perfloop.config.schema import PolicySection, StepSection
from perfloop.drivers import connect
from perfloop.errors import ConfigInvalid, StackFailed
from perfloop.executors import EXECUTORS
from perfloop.model import CatalogueMetric, Guard, Limits, Objective, Policy, Step, Timing
from perfloop.optimizer.controller import Controller
from perfloop.optimizer.decider import Parts
from perfloop.optimizer.evaluator import PrometheusEvaluator
from perfloop.optimizer.policy import Budget
from perfloop.prometheus.client import PrometheusClient
from perfloop.prometheus.history import PrometheusHistory
from perfloop.protocols import Clock, Notifier
from perfloop.rules.catalogue import catalogue
from perfloop.stores import SqlStore
from perfloop.web.api import Api
from perfloop.web.metrics import OptimizerMetrics

logger = logging.getLogger(__name__)

# A cache has to fill before its hit rate says anything.
_WARM_UP_SECONDS = {"cache": 300.0}


class Optimizer:
    """The running optimizer. `serve` blocks until SIGTERM or SIGINT; `reload` swaps the configuration in."""

    def __init__(self, config_file: Path, *, environ: Mapping[str, str], clock: Clock = time.time) -> None:
        self._file, self._base, self._environ = config_file, config_file.resolve().parent, environ
        config = load(config_file)
        parts, self._token = self._build(config)
        self._recorded = self._build_history(config, clock)
        self._notifiers = self._build_notifiers(config)
        store_path = self._base / config.store.path
        self._lock = _lock_store(store_path)
        self.store = SqlStore(store_path)
        self.controller = Controller(self.store, parts, clock=clock)
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.metrics = OptimizerMetrics(self.store, last_tick_at=lambda: self.controller.last_tick_at)
        self._clock = clock
        self._address = config.web.optimizer_address
        self._server = self._make_server()
        self._expect_notifications()
        self._note_reload(succeeded=True)

    def stop(self) -> None:
        """End `serve`. May come from a signal."""
        self._server.should_exit = True

    def serve(self, *, address: str | None = None) -> None:
        """Serve HTTP and drive the controller until told to end. Raises StackFailed if the address is taken."""
        listener = listen(address or self._address)  # before anything is done: a taken port is somebody's optimizer
        stop = threading.Event()
        driver = threading.Thread(target=self.controller.run, args=(stop,), name="controller")
        driver.start()
        try:
            self._server.run(sockets=[listener])
        finally:
            stop.set()
            self.controller.wake()
            driver.join()
            self.store.close()
            self._lock.close()

    def _make_server(self) -> uvicorn.Server:
        api = Api(
            store=self.store,
            steering=self.controller,
            metrics=self.metrics,
            token=lambda: self._token,
            reload=self.reload,
            notifiers=lambda: self._notifiers,
            history=lambda: self._recorded,
            clock=self._clock,
        )
        return uvicorn.Server(uvicorn.Config(api.build(), log_config=None, access_log=False, server_header=False))

    def reload(self) -> None:
        """Read the configuration again. Raises ConfigInvalid and leaves the running one in force if it is broken."""
        try:
            config = load(self._file)
            parts, token = self._build(config)
            notifiers = self._build_notifiers(config)
        except ConfigInvalid as error:
            self._note_reload(succeeded=False)
            logger.error("reload failed; the running configuration stays", extra={"problems": error.problems})  # noqa: TRY400
            raise
        self._token, self._notifiers = token, notifiers
        self._recorded = self._build_history(config, self._clock)
        self._expect_notifications()
        self.controller.reconfigure(parts)
        self._note_reload(succeeded=True)
        logger.info("configuration reloaded")

    def _note_reload(self, *, succeeded: bool) -> None:
        self.metrics.reload_ok.set(float(succeeded))
        if succeeded:
            self.metrics.reload_at.set(self._clock())

    @staticmethod
    def _build_history(config: Config, clock: Clock) -> RecordedHistory:
        return RecordedHistory(config, client=PrometheusHistory(config.prometheus.url), clock=clock)

    def _build_notifiers(self, config: Config) -> dict[str, Notifier]:
        return build_notifiers(config, config_path=self._file, environ=self._environ)

    def _expect_notifications(self) -> None:
        for channel in self._notifiers:
            self.metrics.expect_notifications(channel)

    def _build(self, config: Config) -> tuple[Parts, str]:
        token = read_secret(config.web.token, base=self._base, environ=self._environ)
        metrics = catalogue(config.metrics)
        components = {
            name: component_of(config, name, base=self._base, environ=self._environ) for name in config.components
        }
        prometheus = PrometheusClient(config.prometheus.url)
        parts = Parts(
            own_rules=own_rules(config),
            alert_source=prometheus,
            policies=[build_policy(section, config, metrics) for section in config.policies],
            components=frozenset(components),
            executors={name: executor(components, connect=connect) for name, executor in EXECUTORS.items()},
            evaluator=PrometheusEvaluator(prometheus, catalogue=metrics),
            budget=Budget(
                max_concurrent=config.optimization.max_concurrent_optimizations,
                actions_per_hour=config.optimization.actions_per_hour,
            ),
            action_timeout_seconds=config.optimization.optimization_timeout,
            decide_again_seconds=max(5.0, config.performance_collection.collection_interval),
        )
        return parts, token


def build_policy(section: PolicySection, config: Config, metrics: Mapping[str, CatalogueMetric]) -> Policy:
    """Return a policy with every default filled in from the rest of the configuration."""
    objective = metrics[section.objective.metric]
    interval = config.performance_collection.collection_interval
    sample_seconds = float(max(interval, config.rate_range_seconds))
    settle_seconds = section.settle_seconds or max(
        2 * config.rate_range_seconds + interval, _WARM_UP_SECONDS.get(section.executor, 0.0)
    )
    return Policy(
        name=section.name,
        matchers=section.match,
        executor=section.executor,
        component=section.component,
        parameters={name: _step(value) for name, value in section.parameters.items()},
        objective=Objective(
            metric=objective.name,
            matchers=section.objective.match,
            control=section.objective.control,
            direction=objective.direction,
            scale=objective.scale,
            impact_threshold_ratio=section.objective.impact_threshold or config.optimization.impact_threshold,
        ),
        guards=tuple(
            Guard(
                metric=guard.metric,
                matchers=guard.match,
                direction=metrics[guard.metric].direction,
                scale=metrics[guard.metric].scale,
                margin_ratio=guard.margin_ratio,
                hard_limit=guard.hard_limit,
            )
            for guard in section.guards
        ),
        mode=section.mode,
        limits=Limits(
            actions_per_hour=section.limits.actions_per_hour,
            actions_per_day=section.limits.actions_per_day,
            cooldown_seconds=section.limits.cooldown_seconds,
            retry_seconds=section.limits.retry_seconds,
        ),
        timing=Timing(settle_seconds=float(settle_seconds), sample_seconds=sample_seconds),
        on_inconclusive=section.on_inconclusive,
        on_unverifiable=section.on_unverifiable,
        approval_seconds=section.approval_seconds,
        priority=section.priority,
    )


def _step(value: StepSection | str | float | bool) -> Step:  # noqa: FBT001 - YAML reads `jit: off` as a boolean
    if isinstance(value, StepSection):
        return Step(
            set=_word(value.set),
            increase_ratio=value.increase_ratio,
            min=_word(value.min),
            max=_word(value.max),
        )
    return Step(set=_word(value))


def _word(value: str | float | bool | None) -> str | None:  # noqa: FBT001
    if isinstance(value, bool):
        return "on" if value else "off"
    return None if value is None else str(value)


def _lock_store(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_suffix(".lock").open("a", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StackFailed(f"{path} is in use by another optimizer; one store serves one") from error
    return lock


def on_signal(optimizer: Optimizer) -> Callable[[], None]:
    """Return what SIGHUP does: reload in a thread of its own; mistakes are in the log and in a metric."""

    def reload() -> None:
        try:
            optimizer.reload()
        except ConfigInvalid:
            return

    return lambda: threading.Thread(target=reload, name="reload").start()
