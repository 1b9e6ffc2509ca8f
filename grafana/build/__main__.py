"""Writes every board to a folder: `python -m grafana.build [FOLDER]`."""

from __future__ import annotations

import sys
from pathlib import Path

from grafana.build.finish import finish
from grafana.build.overview import overview

BOARDS = (overview,)
FOLDER = Path(__file__).parent.parent / "dashboards"


def main(folder: Path) -> None:
    """Write NAME.json for every board; the name is its uid."""
    folder.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        built = board().build()
        (folder / f"{built.uid}.json").write_text(finish(built), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
