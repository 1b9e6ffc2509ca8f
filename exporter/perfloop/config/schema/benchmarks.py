"""Which results of benchmarks are shown."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from perfloop.config.schema.base import Count, Name, Section


class BenchmarkSource(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Result files that one tool wrote about one component."""

    #: Label `component` of the results.
    component: Name
    #: A file, a folder or a pattern like `results/*.json`; a relative one starts at the folder of perfloop.yml.
    path: Annotated[str, Meta(min_length=1)]
    #: What wrote the files, and the label `tool`.
    tool: Literal["criterion", "pytest-benchmark", "hyperfine", "go"]
    #: Benchmarks that are shown, at most.
    max_benchmarks: Count = 200


class BenchmarksCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latest results of benchmarks, read from files; see [benchmarks](collectors/benchmarks.md)."""

    #: Where results are, and what wrote them.
    sources: tuple[BenchmarkSource, ...] = ()
