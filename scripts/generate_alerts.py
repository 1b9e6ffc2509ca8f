"""Writes a page for each alert from the lists that the rules are compiled from: generate_alerts.py FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import rmtree

from perfloop.rules.pages import pages

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
