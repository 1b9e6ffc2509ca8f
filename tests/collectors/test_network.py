"""Devices, links and sockets: of this very host, of a network of our own with real devices, and made up."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perfloop.collectors.links import LinksCollector
from perfloop.collectors.net.diag import sockets_of
from perfloop.collectors.network import NetworkCollector
from perfloop.collectors.sockets import SocketsCollector
from perfloop.collectors.table import Garbled
from perfloop.model import Paths
from tests.collectors.pages import Page, lint, page_of
from tests.support import unshared

# Runs in a network and with mounts of its own, so that nobody else's devices and sockets come between.
PREPARED = """
import os, re, socket, subprocess, sys, time
from pathlib import Path
from perfloop.collectors.links import LinksCollector
from perfloop.collectors.network import NetworkCollector
from perfloop.collectors.sockets import SocketsCollector
from perfloop.exposition.page import render_page
from perfloop.model import Paths

def run(line):
    subprocess.run(line.split(), check=True)

def show(*collectors):
    sys.stdout.buffer.write(render_page(pair for it in collectors for pair in it.collect()) + bytes(1))

run("mount --make-rprivate /sys")
run("mount -t sysfs sysfs /sys")
run("ip link set lo up")
network, links, sockets = NetworkCollector(), LinksCollector(), SocketsCollector(max_connections=100)
"""


def in_a_network_of_its_own(code: str) -> list[Page]:
    """Run the code there and return what it shows."""
    argv = [*unshared("--net", "--mount"), sys.executable, "-c", PREPARED + code]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return [Page(page) for page in done.stdout.split(b"\0")[:-1]]


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


def test_links_are_what_sys_says() -> None:
    page = page_of(LinksCollector().collect())

    for folder in Path("/sys/class/net").iterdir():
        state, mtu = ((folder / name).read_text().strip() for name in ("operstate", "mtu"))
        assert page.value("perfloop_network_mtu_bytes", device=folder.name) == int(mtu)
        assert page.value("perfloop_network_device_up", device=folder.name) == (state == "up")
    assert lint(page.text) == ""


def test_protocols_are_what_the_kernel_counts() -> None:
    collector = SocketsCollector()
    page = page_of(collector.collect())
    said = dict(re.findall(r"(\w+)\s+(\d+)", Path("/proc/net/snmp6").read_text()))
    head, values = re.findall(r"(?m)^Tcp: (.*)$", Path("/proc/net/snmp").read_text())
    said |= dict(zip(head.split(), values.split(), strict=True))

    for field, name in {
        "PassiveOpens": "tcp_passive_opens_total",
        "InSegs": "tcp_receive_segments_total",
        "RetransSegs": "tcp_retransmitted_segments_total",
        "Ip6InOctets": "ip6_receive_bytes_total",
        "Udp6NoPorts": "udp6_no_ports_total",
    }.items():
        assert page.value(f"perfloop_network_{name}") == pytest.approx(int(said[field]), rel=0.01, abs=100), field
    softnet = [int(line.split()[0], 16) for line in Path("/proc/net/softnet_stat").read_text().splitlines()]
    assert page.values("perfloop_network_softnet_processed_total") == pytest.approx(softnet, rel=0.01)
    assert set(page.values("perfloop_network_source_success")) == {1}
    assert lint(page.text) == ""
    collector.close()


def test_real_devices_come_and_go() -> None:
    before, plugged, again, gone = in_a_network_of_its_own("""
show(network, links)
run("ip link add perfloop0 mtu 1234 type veth peer name perfloop1")
run("ip link set perfloop0 up")
show(network, links)
run("ip link set perfloop1 up")
run("ip link delete perfloop0")
run("ip link add perfloop0 mtu 1432 type veth peer name perfloop2")
show(network, links)
run("ip link delete perfloop0")
show(network, links)
""")

    def devices(page: Page) -> set[str]:
        seen = page.labels("perfloop_network_receive_bytes_total", "device")
        assert page.labels("perfloop_network_mtu_bytes", "device") == seen
        return {name for name in seen if name.startswith("perfloop")}

    assert devices(before) == devices(gone) == set()
    assert devices(plugged) == {"perfloop0", "perfloop1"}
    assert plugged.value("perfloop_network_mtu_bytes", device="perfloop0") == 1234
    assert plugged.value("perfloop_network_carrier", device="perfloop0") == 0
    assert plugged.value("perfloop_network_device_up", device="perfloop0") == 0
    assert devices(again) == {"perfloop0", "perfloop2"}
    assert again.value("perfloop_network_mtu_bytes", device="perfloop0") == 1432


def test_another_hosts_proc_shows_the_network_of_its_first_process(tmp_path: Path) -> None:
    own, other, none = in_a_network_of_its_own(f"""
run("mount --bind /proc {tmp_path}")
run("ip link add perfloop0 type veth peer name perfloop1")
show(NetworkCollector())
show(NetworkCollector(Paths(procfs=Path("{tmp_path}"))))
show(SocketsCollector(Paths(procfs=Path("{tmp_path}"))))
""")

    assert "perfloop0" in own.labels("perfloop_network_receive_bytes_total", "device")
    devices = {line.partition(":")[0].strip() for line in Path("/proc/1/net/dev").read_text().splitlines()[2:]}
    assert other.labels("perfloop_network_receive_bytes_total", "device") == devices
    assert none.values("perfloop_network_udp_queue_bytes") == [], "sock_diag would answer for our own network"


def test_sockets_are_counted_by_state() -> None:
    idle, busy = in_a_network_of_its_own("""
show(sockets)
listener = socket.create_server(("127.0.0.1", 0))
listener6 = socket.create_server(("::1", 0), family=socket.AF_INET6)
clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
clients += [socket.create_connection(listener6.getsockname()[:2])]
servers = [listener.accept()[0] for _ in range(3)]
clients[0].close()
servers[1].close()
clients[1].close()
while not {b" 05 ", b" 06 "} <= set(re.findall(b" 0[56] ", Path("/proc/self/net/tcp").read_bytes())):
    time.sleep(0.01)
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(("::1", 0))
udp.sendto(bytes(1000), udp.getsockname())
show(sockets)
""")

    states = {
        state: busy.value("perfloop_network_tcp_connections", state=state)
        for state in busy.labels("perfloop_network_tcp_connections", "state")
    }
    assert {state: count for state, count in states.items() if count} == {
        "listen": 2,
        "established": 4,
        "fin_wait2": 1,
        "close_wait": 1,
        "time_wait": 1,
    }
    assert len(states) == 11
    assert set(idle.values("perfloop_network_tcp_connections")) == {0}
    assert busy.value("perfloop_network_udp_queue_bytes", ip="v6", queue="rx") >= 1000
    assert idle.value("perfloop_network_udp_queue_bytes", ip="v6", queue="rx") == 0
    assert busy.value("perfloop_network_tcp_time_wait_sockets") == 2, "with what is left of the one in FIN-WAIT-2"
    assert busy.value("perfloop_network_tcp6_sockets") == 3
    assert busy.value("perfloop_network_tcp_passive_opens_total") == 4


def test_too_many_connections_are_not_counted_one_by_one() -> None:
    few, many = in_a_network_of_its_own("""
few = SocketsCollector(max_connections=2)
listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
show(few)
listeners.append(socket.create_server(("::1", 0), family=socket.AF_INET6))
show(few)
""")

    assert few.value("perfloop_network_tcp_connections", state="listen") == 2
    assert many.values("perfloop_network_tcp_connections") == []
    assert many.value("perfloop_network_tcp_sockets") == 2


def made_up_host(root: Path, **speeds: str) -> Paths:
    net = root / "proc" / "self" / "net"
    net.mkdir(parents=True, exist_ok=True)
    lines = [f"{name:>6}:{100 + i} 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n" for i, name in enumerate(speeds)]
    (net / "dev").write_text("Inter-|\n face |\n" + "".join(lines))
    (net / "stat").mkdir(exist_ok=True)
    for name, speed in speeds.items():
        folder = root / "sys" / "class" / "net" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "speed").write_text(speed)
        (folder / "operstate").write_text("up\n")
    return Paths(procfs=root / "proc", sysfs=root / "sys")


@pytest.mark.parametrize(
    ("speed", "values"),
    [
        pytest.param("1000\n", [125_000_000.0], id="1 Gbit/s"),
        pytest.param("-1\n", [], id="-1 means not known"),
        pytest.param("4294967295\n", [], id="-1 misread"),
        pytest.param("0\n", [], id="0 means no link"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_an_unknown_link_speed_has_no_sample(tmp_path: Path, speed: str, values: list[float]) -> None:
    paths = made_up_host(tmp_path, eth0=speed)
    page = page_of(NetworkCollector(paths).collect(), LinksCollector(paths).collect())

    assert page.values("perfloop_network_speed_bytes") == values
    assert page.value("perfloop_network_receive_bytes_total", device="eth0") == 100
    assert page.value("perfloop_network_transmit_drops_total", device="eth0") == 8
    assert page.value("perfloop_network_device_up", device="eth0") == 1


def test_what_is_no_device_has_no_samples(tmp_path: Path) -> None:
    paths = made_up_host(tmp_path, eth0="100")
    (paths.sysfs / "class" / "net" / "bonding_masters").write_text("bond0\n")

    page = page_of(LinksCollector(paths).collect())

    assert page.labels("perfloop_network_device_info", "device") == {"eth0"}


def test_two_hundred_devices_leave_files_to_others(tmp_path: Path) -> None:
    collector = LinksCollector(made_up_host(tmp_path, **{f"veth{i}": "10000" for i in range(200)}))
    before = psutil.Process().num_fds()

    for _ in range(2):
        page = page_of(collector.collect())

    assert len(page.values("perfloop_network_speed_bytes")) == 200
    assert psutil.Process().num_fds() - before <= 256
    collector.close()
    assert psutil.Process().num_fds() == before


def made_up_sockets(root: Path) -> tuple[Path, SocketsCollector]:
    paths = made_up_host(root)
    net, netfilter = paths.procfs / "self" / "net", paths.procfs / "sys" / "net" / "netfilter"
    netfilter.mkdir(parents=True)
    (netfilter / "nf_conntrack_max").write_text("4096\n")
    (net / "stat" / "nf_conntrack").write_text("entries found drop\n0000000f 0000000a 1\n0000000f 0000000b 0\n")
    (net / "softnet_stat").write_text("000000ff 00000001 00000002\n00000100 00000000 00000000\n")
    (net / "arp").write_text("IP address HW type\n10.0.0.1 0x1 0x2 02:fc * eth0\n10.0.0.2 0x1 0x2 02:fd * eth0\n")
    (net / "sockstat").write_text("sockets: used 17\nTCP: inuse 1 orphan 0 tw 5 alloc 1 mem 3\n")
    (net / "snmp").write_text("Tcp: MaxConn RetransSegs\nTcp: -1 12\nUdp: InErrors\nUdp: 3\n")
    (net / "netstat").write_text("TcpExt: ListenDrops New\nTcpExt: 4 5\n")
    (net / "snmp6").write_text("Ip6InReceives \t1\nIp6InOctets \t77\n")
    return net, SocketsCollector(paths)


def test_numbers_stand_where_their_names_do(tmp_path: Path) -> None:
    _, collector = made_up_sockets(tmp_path)

    page = page_of(collector.collect())

    for name, expected in {
        "conntrack_entries": 15,
        "conntrack_limit": 4096,
        "conntrack_found_total": 21,
        "conntrack_drops_total": 1,
        "tcp_retransmitted_segments_total": 12,
        "udp_receive_errors_total": 3,
        "tcp_listen_drops_total": 4,
        "ip6_receive_bytes_total": 77,
        "sockets": 17,
        "tcp_memory_bytes": 3 * os.sysconf("SC_PAGE_SIZE"),
        "tcp_time_wait_sockets": 5,
    }.items():
        assert page.value(f"perfloop_network_{name}") == expected, name
    assert page.value("perfloop_network_softnet_processed_total", cpu="0") == 255
    assert page.value("perfloop_network_softnet_squeezed_total", cpu="0") == 2
    assert page.value("perfloop_network_arp_entries", device="eth0") == 2
    assert "perfloop_network_conntrack_invalid_total" not in page.names()
    assert page.labels("perfloop_network_source_success", "source") >= {"snmp", "nf_conntrack"}
    assert "sockstat6" not in page.labels("perfloop_network_source_success", "source"), "a kernel without IPv6"


def test_fields_that_move_are_found_again(tmp_path: Path) -> None:
    net, collector = made_up_sockets(tmp_path)
    page_of(collector.collect())

    (net / "netstat").write_text("TcpExt: New Newer ListenDrops\nTcpExt: 1 2 3\n")
    (net / "softnet_stat").write_text(" ".join(["000000ff"] * 12) + " 00000007 00000000\n")

    page = page_of(collector.collect())
    assert page.value("perfloop_network_tcp_listen_drops_total") == 3
    assert page.value("perfloop_network_softnet_dropped_total", cpu="7") == 255


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file=st.sampled_from(
        ["dev", "snmp", "netstat", "snmp6", "sockstat", "sockstat6", "softnet_stat", "arp", "stat/nf_conntrack"]
    ),
    content=st.one_of(
        st.binary(max_size=200),
        st.from_regex(
            rb"\A([ \t]*(Tcp|TcpExt|TCP|eth0|Ip6InOctets):?( +([a-zA-Z]{1,5}|-?[0-9a-f]{1,20})){0,20}\n){0,4}\Z"
        ),
    ),
)
def test_whatever_a_table_says_the_other_ones_are_shown(tmp_path: Path, file: str, content: bytes) -> None:
    root = tmp_path / str(len(list(tmp_path.iterdir())))
    net, collector = made_up_sockets(root)
    network = NetworkCollector(Paths(procfs=root / "proc"))
    page_of(collector.collect())
    (net / file).write_bytes(content)

    page = page_of(collector.collect())
    try:
        page = page_of(network.collect(), collector.collect())
    except Garbled:
        assert file == "dev"

    if file not in {"snmp", "dev"}:
        assert page.value("perfloop_network_tcp_retransmitted_segments_total") == 12
    collector.close()
    network.close()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_whatever_the_kernel_lists_is_understood_or_refused(answer: bytes) -> None:
    try:
        found = list(sockets_of(answer))
    except (OSError, Garbled):
        return
    assert len(found) <= len(answer) / 16
