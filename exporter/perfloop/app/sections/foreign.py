"""From the configuration to what others measured: result files, *.prom files, pushes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from perfloop.app.recipe import Recipe
from perfloop.collectors.benchmarks import BenchmarksCollector
from perfloop.collectors.others.pushes import PushStore
from perfloop.collectors.push import PushCollector
from perfloop.collectors.results.latest import Source
from perfloop.collectors.textfile import TextfileCollector
from perfloop.config.schema import Collectors

# Of node_exporter's names that no alias has.
_NODE_WORDS = {"node_exporter", "node_netstat", "node_scrape", "node_sockstat", "node_textfile", "node_vmstat"}


def foreign(sections: Collectors, *, base: Path, store: PushStore, compat: frozenset[str]) -> Iterator[Recipe]:
    """Say which collectors show what others measured; files come before pushes, which must not have their names.

    Neither may have those that `compat` gives to our own collectors, of which the store is told here.
    """
    store.names.prefixes = prefixes(compat)
    if sections.benchmarks.sources:
        results = [
            Source(
                component=each.component, tool=each.tool, path=str(base / each.path), max_benchmarks=each.max_benchmarks
            )
            for each in sections.benchmarks.sources
        ]
        yield Recipe(BenchmarksCollector, results)
    if sections.textfile.folders:
        textfile = sections.textfile
        yield Recipe(
            TextfileCollector,
            [base / folder for folder in textfile.folders],
            max_age_seconds=textfile.max_age_seconds,
            max_file_bytes=textfile.max_file_bytes,
            max_series=textfile.max_series,
            names=store.names,
            compat="node" in compat,
        )
    if sections.push.token is not None:
        yield Recipe(PushCollector, store)


def prefixes(compat: frozenset[str]) -> tuple[str, ...]:
    """Return the beginnings of names that `--compat` gives to our own collectors."""
    words = {"pg"} if "postgres" in compat else set[str]()
    words |= {"redis"} if "redis" in compat else set()
    if "node" in compat:
        from perfloop.collectors.compat import node  # noqa: PLC0415 - a thousand names, only if asked for

        # node_cpu of node_cpu_seconds_total: other names that begin with node_ are what files are full of.
        words |= {"_".join(alias.family.name.split("_")[:2]) for alias in node.ALIASES.values()} | _NODE_WORDS
    return tuple(sorted(words))
