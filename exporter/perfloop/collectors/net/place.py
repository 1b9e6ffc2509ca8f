"""Whose network /proc shows."""

from __future__ import annotations

from pathlib import Path

from perfloop.model import THIS_HOST


def net_folder(procfs: Path) -> Path:
    """Return where the network's files are: our own network's, or, if it is another one's /proc, its first process's.

    /proc/net leads to the network of whoever reads it, whichever host's /proc that is.
    """
    theirs = procfs / "1" / "net"
    return theirs if procfs != THIS_HOST.procfs and (theirs / "dev").exists() else procfs / "self" / "net"


def is_our_own(procfs: Path) -> bool:
    """Whether that network is the one that this process is in."""
    try:
        # The kernel numbers the files of all networks.
        return (net_folder(procfs) / "dev").stat().st_ino == (THIS_HOST.procfs / "self/net/dev").stat().st_ino
    except OSError:
        return False
