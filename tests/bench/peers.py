"""The programs that we are measured against, from Debian's packages.

A package is unpacked below build/peers, not installed: nothing is enabled, started or created with it, whatever its
scripts say, and no service that runs here is touched. It needs no root.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from perfloop.errors import StackFailed
from perfloop.stack.process import SERVER_PATH, Child, free_port
from perfloop.stack.servers import HOST, http_ready

PEERS = Path(__file__).parents[2] / "build" / "peers"
# node_exporter's leanest comparable set.
NODE_COLLECTORS = ("cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev", "time", "uname")


def find_peer(program: str) -> Path:
    """Return a program, from the Debian package of the same name. Raises StackFailed with what to type."""
    if installed := shutil.which(program) or shutil.which(program, path=SERVER_PATH):
        return Path(installed)
    folder = PEERS / program
    unpacked = folder / "usr" / "bin" / program
    if not unpacked.exists():
        _unpack(program, folder)
    return unpacked


def node_exporter(folder: Path, *options: str) -> Child:
    """node_exporter as it comes, but with as many scrapes at once as are asked for (else it refuses some)."""
    port = free_port()
    program = str(find_peer("prometheus-node-exporter"))
    return Child(
        "node_exporter",
        [program, "--web.max-requests=0", f"--web.listen-address={HOST}:{port}", *options],
        log=folder / "node_exporter.log",
        ready=lambda: http_ready(f"http://{HOST}:{port}/"),
        address=f"{HOST}:{port}",
    )


def node_exporter_lean(folder: Path) -> Child:
    """node_exporter at its leanest: only comparable collectors, without metrics of itself."""
    collectors = [f"--collector.{name}" for name in NODE_COLLECTORS]
    return node_exporter(folder, "--collector.disable-defaults", *collectors, "--web.disable-exporter-metrics")


def process_exporter(folder: Path, *names: str) -> Child:
    """process-exporter at its leanest, with one group: the processes of these names, by default of sleep."""
    port, config = free_port(), folder / "process_exporter.yml"
    config.write_text(f"process_names: [{{name: watched, comm: [{', '.join(names or ('sleep',))}]}}]\n")
    program = str(find_peer("prometheus-process-exporter"))
    return Child(
        "process_exporter",
        [
            *(program, f"-config.path={config}", f"-web.listen-address={HOST}:{port}"),
            *("-threads=false", "-gather-smaps=false", "-children=false"),
        ],
        log=folder / "process_exporter.log",
        ready=lambda: http_ready(f"http://{HOST}:{port}/"),
        address=f"{HOST}:{port}",
    )


def redis_exporter(folder: Path, address: str) -> Child:
    """redis_exporter for one server, as it comes."""
    port = free_port()
    argv = [str(find_peer("prometheus-redis-exporter")), f"--redis.addr=redis://{address}"]
    return Child(
        "redis_exporter",
        [*argv, f"--web.listen-address={HOST}:{port}"],
        log=folder / "redis_exporter.log",
        ready=lambda: http_ready(f"http://{HOST}:{port}/"),
        address=f"{HOST}:{port}",
    )


def postgres_exporter(folder: Path, server: str, *options: str) -> Child:
    """postgres_exporter as it comes, for a PostgreSQL at host:port whose superuser needs no password."""
    port = free_port()
    program = str(find_peer("prometheus-postgres-exporter"))
    dsn = f"postgresql://postgres@{server}/postgres?sslmode=disable"
    return Child(
        "postgres_exporter",
        ["env", f"DATA_SOURCE_NAME={dsn}", program, f"--web.listen-address={HOST}:{port}", *options],
        log=folder / "postgres_exporter.log",
        ready=lambda: http_ready(f"http://{HOST}:{port}/"),
        address=f"{HOST}:{port}",
    )


def peer_version(program: str) -> str:
    """Return what a peer says of itself."""
    said = subprocess.run([str(find_peer(program)), "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version:?\s+v?([0-9][^\s,]*)", said.stdout + said.stderr)
    if found:
        return found[1]
    packages = [path.name.split("_")[1] for path in (PEERS / program).glob("*.deb")]
    return packages[0].partition("-")[0] if packages else "of Debian"


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
