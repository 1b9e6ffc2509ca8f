"""What can be acted on, and how it changes: components, settings, changes, steps."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field


class Encryption(Struct, frozen=True, kw_only=True):
    """How a connection is encrypted: absolute paths of PEM files, empty where the default is meant."""

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    server_name: str = ""
    verify: bool = True


class Component(Struct, frozen=True, kw_only=True):
    """Something that is measured and can be acted on; alerts carry its name in the label `component`.

    `address` is host:port, the path of a UNIX socket, or its folder plus port; `password` is already resolved.
    """

    name: str
    driver: str
    address: str
    user: str = ""
    password: str = field(default="")
    database: str = ""
    encryption: Encryption | None = None

    def __repr__(self) -> str:
        """Hide the password."""
        return f"Component({self.name!r}, driver={self.driver!r}, address={self.address!r})"


class Setting(Struct, frozen=True, kw_only=True):
    """A value read from a component. `explicit` is false where the component's own default stands there."""

    value: str
    explicit: bool = True


class Reversibility(StrEnum):
    """How far a change can be undone."""

    FULL = "full"
    APPROXIMATE = "approximate"
    NONE = "none"


class Change(Struct, frozen=True, kw_only=True):
    """One value of one component, before and after. Survives JSON; is stored before it is made."""

    target: str
    key: str
    before: Setting
    after: Setting
    reversibility: Reversibility = Reversibility.FULL

    def inverse(self) -> Change:
        """Return the change that undoes this one."""
        return Change(
            target=self.target,
            key=self.key,
            before=self.after,
            after=self.before,
            reversibility=self.reversibility,
        )

    def __str__(self) -> str:
        return f"{self.target} {self.key} {self.before.value} -> {self.after.value}"


class Probe(StrEnum):
    """What stands at the target now, compared with a change."""

    BEFORE = "before"
    AFTER = "after"
    OTHER = "other"


class Step(Struct, frozen=True, kw_only=True):
    """How a policy moves one parameter: to a value (`set`), or by a share of what is there, within bounds."""

    set: str | None = None
    increase_ratio: Annotated[float, Meta(gt=0, le=100)] | None = None
    min: str | None = None
    max: str | None = None
