"""The exporter's first page: what it is, and where to look."""

from __future__ import annotations

from collections.abc import Iterable

from perfloop import __version__

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>perfloop exporter</title></head>
<body><h1>perfloop exporter</h1><p>Version {version}</p>
<ul>
{links}
</ul>
</body></html>
"""


def landing_page(paths: Iterable[str]) -> bytes:
    """Return a page that links to the paths."""
    links = "\n".join(f'<li><a href="{path}">{path}</a></li>' for path in paths)
    return _PAGE.format(version=__version__, links=links).encode()
