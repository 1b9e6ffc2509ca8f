"""Access logs: keys that belong to a format, and regular expressions that strangers' lines cannot hang."""

from __future__ import annotations

from perfloop.collectors.logs.patterns import fault
from perfloop.config.reader import Document
from perfloop.config.schema.access_log import LogFile
from perfloop.config.schema.collectors import Collectors


def check_access_log(document: Document, sections: Collectors) -> None:
    """Report what does not fit together."""
    seen: set[str] = set()
    for i, log in enumerate(sections.access_log.files):
        path = f"collectors.access_log.files[{i}]"
        _check_format(document, path, log)
        if log.component in seen:
            expected = f"there is a log of {log.component!r} already; each needs a name of its own"
            document.report(f"{path}.component", expected)
        seen.add(log.component)
        if len(set(log.routes)) < len(log.routes):
            document.report(f"{path}.routes", "expected each route once")


def _check_format(document: Document, path: str, log: LogFile) -> None:
    if log.keys is not None and log.format != "json":
        document.report(f"{path}.keys", f"belongs to `format: json`, not to {log.format}")
    if log.pattern is not None and log.format != "pattern":
        document.report(f"{path}.pattern", f"belongs to `format: pattern`, not to {log.format}")
    if log.format != "pattern":
        return
    problem = fault(log.pattern) if log.pattern is not None else "`format: pattern` needs one"
    if problem is not None:
        document.report(f"{path}.pattern", problem)
