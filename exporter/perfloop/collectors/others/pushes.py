"""What jobs have pushed, in memory, each family until its time is up."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from perfloop.collectors.others.merge import Merged, Names, merge
from perfloop.errors import PerfloopError
from perfloop.exposition.parse import Foreign
from perfloop.exposition.text import Samples
from perfloop.protocols import Clock


class PushConflict(PerfloopError):
    """The pushed families cannot stand on the page beside those that are there; nothing was stored."""


class PushOverflow(PerfloopError):
    """There is no room for more jobs or series; nothing was stored."""


class _Pushed(Struct, frozen=True, kw_only=True):
    """One family of one job, and the time of the monotonic clock until which it is shown."""

    foreign: Foreign
    expires_at: float
    series: int


class _Job(Struct, frozen=True, kw_only=True):
    """What one job has pushed; it is remembered after everything has expired."""

    families: Mapping[str, _Pushed] = field(default_factory=dict)
    pushed_at: float = 0.0
    pushes: int = 0
    expired: int = 0


class JobState(Struct, frozen=True, kw_only=True):
    """What the page says of a job."""

    job: str
    pushed_at: float
    pushes: int
    expired: int
    series: int
    hidden_series: int


class PushStore:
    """Remembers pushes. Used by one thread, the server's: a push is on the page when it was answered.

    What files say (`names.written`) comes before what is pushed, and is looked at again at each scrape.
    """

    def __init__(
        self, names: Names | None = None, *, clock: Clock = time.time, monotonic: Clock = time.monotonic
    ) -> None:
        self.names, self._clock, self._monotonic = names or Names(), clock, monotonic
        self._jobs: dict[str, _Job] = {}
        self._taken = self.names.written
        self._merged = self._merge(self._jobs)
        self.refused = 0

    def put(
        self, job: str, families: Sequence[Foreign], *, ttl_seconds: float, whole: bool, max_jobs: int, max_series: int
    ) -> None:
        """Store the families of a job: in the place of all that it has (`whole`), or of those with the same names.

        Storing the same twice is harmless. Raises PushConflict and PushOverflow.
        """
        self._refresh()
        old, expires_at = self._jobs.get(job, _Job()), self._monotonic() + ttl_seconds
        pushed = {
            each.family.name: _Pushed(foreign=each, expires_at=expires_at, series=each.lines.count(b"\n"))
            for each in families
        }
        new = replace(
            old,
            families=pushed if whole else {**old.families, **pushed},
            pushed_at=self._clock(),
            pushes=old.pushes + 1,
        )
        jobs = {**self._jobs, job: new}
        if job not in self._jobs and len(jobs) > max_jobs:
            del jobs[self._oldest_without_families(max_jobs)]
        series = sum(each.series for job_ in jobs.values() for each in job_.families.values())
        if series > max_series:
            raise PushOverflow(f"{series} series of all jobs, max {max_series}")
        merged = self._merge(jobs)
        for source, problem in merged.refused.items():
            if source not in self._merged.refused or (source[0] == job and source[1] in pushed):
                raise PushConflict(problem)
        self._jobs, self._merged = jobs, merged

    def delete(self, job: str) -> None:
        """Forget a job. Twice is harmless."""
        self._jobs.pop(job, None)
        self._merged = self._merge(self._jobs)

    def samples(self) -> Samples:
        """Return what is pushed and has not expired."""
        self._refresh()
        return self._merged.samples

    def states(self) -> Iterator[JobState]:
        """Yield what is known of each job, by name."""
        for name, job in sorted(self._jobs.items()):
            hidden = sum(each.series for family, each in job.families.items() if (name, family) in self._merged.refused)
            yield JobState(
                job=name,
                pushed_at=job.pushed_at,
                pushes=job.pushes,
                expired=job.expired,
                series=sum(each.series for each in job.families.values()) - hidden,
                hidden_series=hidden,
            )

    def _refresh(self) -> None:
        """Forget what has expired, and look again at the names that others have."""
        now, taken, changed = self._monotonic(), self.names.written, False
        for name, job in self._jobs.items():
            left = {family: each for family, each in job.families.items() if each.expires_at > now}
            if len(left) < len(job.families):
                self._jobs[name], changed = replace(job, families=left, expired=job.expired + 1), True
        if changed or taken != self._taken:
            self._taken = taken
            self._merged = self._merge(self._jobs)

    def _merge(self, jobs: Mapping[str, _Job]) -> Merged[tuple[str, str]]:
        sources = (
            ((name, family), (each.foreign,)) for name, job in jobs.items() for family, each in job.families.items()
        )
        return merge(sources, prefixes=self.names.prefixes, taken=self._taken)

    def _oldest_without_families(self, max_jobs: int) -> str:
        """Return whom to forget for a new job."""
        empty = [(job.pushed_at, name) for name, job in self._jobs.items() if not job.families]
        if not empty:
            raise PushOverflow(f"{max_jobs} jobs are remembered, max {max_jobs}")
        return min(empty)[1]
