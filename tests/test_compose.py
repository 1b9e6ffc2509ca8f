"""The compose file as docker-compose reads it: pinned, on loopback, with health checks and a valid perfloop.yml."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from perfloop.stack.process import find_binary
from tests.support import perfloop

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    argv = [find_binary("docker-compose"), "-f", str(ROOT / "docker-compose.yml"), "config"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = yaml.safe_load(done.stdout)
    return read


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def test_every_image_is_pinned_to_a_version(services: dict[str, Any]):
    for name, service in services.items():
        version = service["image"].partition(":")[2]
        assert version[:1].isdigit() or version[:2] == "v" + version[1:2], name
        assert version != "latest", name


def test_every_port_is_on_loopback_only(services: dict[str, Any]):
    ports = [str(port) for service in services.values() for port in service.get("ports", ())]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_others_wait_for_a_service_until_it_is_healthy_or_has_done_its_work(services: dict[str, Any]):
    for service in services.values():
        for name, awaited in service.get("depends_on", {}).items():
            once = services[name]["restart"] == "no"
            assert awaited["condition"] == ("service_completed_successfully" if once else "service_healthy")
            assert once or "test" in services[name].get("healthcheck", {}) or "build" in services[name]


def test_no_service_can_write_to_the_checkout(services: dict[str, Any]):
    mounts = [str(mount) for service in services.values() for mount in service.get("volumes", ())]

    assert all(mount.endswith(":ro") for mount in mounts if mount.startswith(str(ROOT)))


def test_whoever_reads_data_has_a_named_volume_for_it(compose: dict[str, Any], services: dict[str, Any]):
    mounts = {str(mount).partition(":")[0] for service in services.values() for mount in service.get("volumes", ())}

    assert compose["volumes"].keys() == {mount for mount in mounts if not mount.startswith("/")}


def test_its_perfloop_yml_is_valid():
    done = perfloop("check", str(ROOT / "docker" / "perfloop.yml"))

    assert done.returncode == 0, done.stdout + done.stderr
