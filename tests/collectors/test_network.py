"""Devices of this very host against psutil, and devices that are made up."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from perfloop.collectors.network import NetworkCollector
from tests.collectors.pages import lint, page_of


def test_devices_are_what_psutil_says() -> None:
    page = page_of(NetworkCollector().collect())

    for device, counters in psutil.net_io_counters(pernic=True).items():
        for name, expected in {
            "receive_bytes": counters.bytes_recv,
            "transmit_bytes": counters.bytes_sent,
            "receive_packets": counters.packets_recv,
            "transmit_packets": counters.packets_sent,
            "receive_errors": counters.errin,
            "transmit_errors": counters.errout,
            "receive_drops": counters.dropin,
            "transmit_drops": counters.dropout,
        }.items():
            value = page.value(f"perfloop_network_{name}_total", device=device)
            assert value == pytest.approx(expected, rel=0.2, abs=1000), (device, name)
    assert lint(page.text) == ""


def test_bytes_over_loopback_are_counted() -> None:
    collector = NetworkCollector()
    before = page_of(collector.collect()).value("perfloop_network_receive_bytes_total", device="lo")

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, socket.socket(type=socket.SOCK_DGRAM) as sender:
        receiver.bind(("127.0.0.1", 0))
        for _ in range(10):
            sender.sendto(bytes(1000), receiver.getsockname())

    after = page_of(collector.collect()).value("perfloop_network_receive_bytes_total", device="lo")
    assert after - before >= 10_000
    collector.close()


def made_up_host(root: Path, **speeds: str) -> NetworkCollector:
    (root / "self" / "net").mkdir(parents=True, exist_ok=True)
    lines = [f"{name:>6}:{100 + i} 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n" for i, name in enumerate(speeds)]
    (root / "self" / "net" / "dev").write_text("Inter-|\n face |\n" + "".join(lines))
    for name, speed in speeds.items():
        (root / "class" / "net" / name).mkdir(parents=True, exist_ok=True)
        (root / "class" / "net" / name / "speed").write_text(speed)
    return NetworkCollector(proc=root, sys=root)


@pytest.mark.parametrize(
    ("speed", "values"),
    [
        pytest.param("1000\n", [125_000_000.0], id="1 Gbit/s"),
        pytest.param("-1\n", [], id="-1 means not known"),
        pytest.param("0\n", [], id="0 means no link"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_an_unknown_link_speed_has_no_sample(tmp_path: Path, speed: str, values: list[float]) -> None:
    page = page_of(made_up_host(tmp_path, eth0=speed).collect())

    assert page.values("perfloop_network_speed_bytes") == values
    assert page.value("perfloop_network_receive_bytes_total", device="eth0") == 100


def test_devices_come_and_go(tmp_path: Path) -> None:
    collector = made_up_host(tmp_path, eth0="100")
    page_of(collector.collect())
    made_up_host(tmp_path, veth7="10000", eth0="100")

    page = page_of(collector.collect())

    assert page.value("perfloop_network_speed_bytes", device="veth7") == 1_250_000_000
    assert page.value("perfloop_network_transmit_drops_total", device="eth0") == 8
    collector.close()
