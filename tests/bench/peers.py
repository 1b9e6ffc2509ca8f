"""The programs that we are measured against, from Debian's packages.

A package is unpacked below build/peers, not installed: nothing is enabled, started or created with it, whatever its
scripts say, and no service that runs here is touched. It needs no root.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from perfloop.errors import StackFailed
from perfloop.stack.process import SERVER_PATH, Child, free_port
from perfloop.stack.servers import HOST, http_ready

PEERS = Path(__file__).parents[2] / "build" / "peers"
# Of node_exporter's collectors, those that read what our system, filesystem and network collectors read.
NODE_COLLECTORS = ("cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev", "pressure")


def find_peer(program: str) -> Path:
    """Return a program, from the Debian package of the same name. Raises StackFailed with what to type."""
    if installed := shutil.which(program) or shutil.which(program, path=SERVER_PATH):
        return Path(installed)
    folder = PEERS / program
    unpacked = folder / "usr" / "bin" / program
    if not unpacked.exists():
        _unpack(program, folder)
    return unpacked


def node_exporter(folder: Path) -> Child:
    """node_exporter at its leanest: only comparable collectors, without metrics of itself."""
    port = free_port()
    argv = [
        str(find_peer("prometheus-node-exporter")),
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in NODE_COLLECTORS),
        "--no-collector.cpu.guest",
        "--web.disable-exporter-metrics",
        f"--web.listen-address={HOST}:{port}",
    ]
    return Child(
        "node_exporter",
        argv,
        log=folder / "node_exporter.log",
        ready=lambda: http_ready(f"http://{HOST}:{port}/"),
        address=f"{HOST}:{port}",
    )


def node_exporter_version() -> str:
    """Return what it says of itself."""
    argv = [str(find_peer("prometheus-node-exporter")), "--version"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True)
    return (said.stdout + said.stderr).split("version ")[1].split(" ")[0]


def _unpack(package: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for argv in (["apt-get", "-q", "download", package], ["dpkg", "-x"]):
        files = [str(path) for path in folder.glob("*.deb")] + ["."] if argv[0] == "dpkg" else []
        try:
            subprocess.run([*argv, *files], cwd=folder, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            cause = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
            raise StackFailed(
                f"cannot get Debian's {package}: {cause}; as root, type `apt-get update`, then try again"
            ) from error
