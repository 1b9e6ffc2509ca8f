"""What executors of settings do alike: plan from a table, look before writing, read back, undo only what is ours."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar

from msgspec.structs import replace

from perfloop.errors import ActionRefused, Conflict, OutcomeUnknown, PerfloopError, Rejected, Unavailable
from perfloop.executors.parameter import Parameter
from perfloop.model import Action, Change, Component, Probe, Reversibility, Setting
from perfloop.protocols import Driver, DriverFactory


class SettingExecutor:
    """Moves settings of components through their drivers. A subclass is a table, and two hooks if it needs them.

    No driver here compares and sets in one step: between the look and the write somebody else may still write, and
    reading back tells.
    """

    name: ClassVar[str]
    # By driver, then by the policy's name for it. Changes are made in the table's order and undone in reverse.
    parameters: ClassVar[Mapping[str, Mapping[str, Parameter]]]
    # Names that users look for here, and where they belong.
    elsewhere: ClassVar[Mapping[str, str]] = {}

    def __init__(self, components: Mapping[str, Component], *, connect: DriverFactory) -> None:
        self._components, self._connect = components, connect

    def plan(self, action: Action) -> tuple[Change, ...]:
        """Say what would change; reads, never writes. What stands right already is left out.

        Raises ActionRefused with the reason, also when nothing is left to change.
        """
        known = self._known(action)
        driver = self._driver(action.component)
        changes = []
        for name, parameter in known.items():
            if name in action.parameters:
                try:
                    change = self._change(driver, action, name, parameter)
                except (ActionRefused, Rejected) as error:
                    raise ActionRefused(f"{action.component}: {name} {error}") from error
                changes.append(change)
        wanted = tuple(change for change in changes if change.before.value != change.after.value)
        if not wanted:
            present = ", ".join(f"{change.key} is {change.before.value}" for change in changes)
            raise ActionRefused(f"{action.component}: nothing to change, {present or 'no parameters are given'}")
        return wanted

    def apply(self, change: Change) -> None:
        """Make the change and read it back; a change that stands there already is done."""
        self._make(change)

    def probe(self, change: Change) -> Probe:
        """Compare what stands there with the change."""
        seen = self.read_back(change)
        if seen == change.after:
            return Probe.AFTER
        return Probe.BEFORE if seen == change.before else Probe.OTHER

    def read_back(self, change: Change) -> Setting:
        """Return the value in force now."""
        return self._driver(change.target).get(change.key)

    def rollback(self, change: Change) -> None:
        """Put back the value from before; where it was not explicit, give the key back to the system."""
        driver, seen = self._driver(change.target), self.probe(change)
        if seen is Probe.AFTER:
            self.check_rollback(driver, change)
        if seen is Probe.BEFORE:
            # What we wrote may still wait for a reload, as PostgreSQL's does when the connection was lost in between.
            # A server that refuses this one took none of ours.
            with suppress(Rejected):
                write(driver, change.key, change.before)
        self._make(change.inverse())

    def reversibility(self, driver: Driver, change: Change) -> Reversibility:  # noqa: ARG002 - a hook
        """Say how well the planned change can be undone. Raises ActionRefused if it must not be made."""
        return Reversibility.FULL

    def check_rollback(self, driver: Driver, change: Change) -> None:
        """Raise ActionRefused where going back now would destroy something."""

    def _known(self, action: Action) -> Mapping[str, Parameter]:
        component = self._components.get(action.component)
        if component is None:
            raise ActionRefused(f"there is no component {action.component!r}")
        if component.driver not in self.parameters:
            works_on = " and ".join(self.parameters)
            raise ActionRefused(f"{action.component}: {self.name} works on {works_on}, not on {component.driver}")
        known = self.parameters[component.driver]
        for name in action.parameters:
            if name not in known:
                reason = self.elsewhere.get(name) or f"{self.name} on {component.driver} has {', '.join(known)}"
                raise ActionRefused(f"{action.component}: {name} cannot be set here; {reason}")
        return known

    def _change(self, driver: Driver, action: Action, name: str, parameter: Parameter) -> Change:
        before = driver.get(parameter.key)
        after = Setting(value=parameter.values.next(before.value, action.parameters[name]))
        change = Change(target=action.component, key=parameter.key, before=before, after=after)
        if before.value == after.value:
            return change
        if obstacle := driver.obstacle(parameter.key):
            raise ActionRefused(f"cannot be set: {obstacle}")
        return replace(change, reversibility=self.reversibility(driver, change))

    def _make(self, change: Change) -> None:
        driver = self._driver(change.target)
        seen = driver.get(change.key)
        if seen == change.after:
            return
        if seen != change.before:
            raise Conflict(f"{change.target} {change.key} is {said(seen)}, expected {said(change.before)}")
        write(driver, change.key, change.after)
        try:
            seen = driver.get(change.key)
        except Unavailable as error:
            raise OutcomeUnknown(
                f"{change.target} {change.key} was written but cannot be read back: {error}"
            ) from error
        if seen == change.after:
            return
        if seen == change.before:
            # The server may hold it for its next reload: leave nothing behind that acts later.
            with suppress(PerfloopError):
                write(driver, change.key, change.before)
            raise Rejected(f"{change.target} {change.key}: the write was answered, but {said(seen)} is still in force")
        raise Conflict(f"{change.target} {change.key} is {said(seen)} after writing {said(change.after)}")

    def _driver(self, component: str) -> Driver:
        if component not in self._components:
            raise ActionRefused(f"there is no component {component!r}")
        return self._connect(self._components[component])


def write(driver: Driver, key: str, setting: Setting) -> None:
    """Write what was explicit, and give back to the system what was not."""
    if setting.explicit:
        driver.set(key, setting.value)
    else:
        driver.reset(key)


def said(setting: Setting) -> str:
    """Tell an explicit value from the same one by default."""
    return setting.value if setting.explicit else f"{setting.value} (default)"
