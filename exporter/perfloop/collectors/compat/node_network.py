"""node_exporter's names for the network's families."""

from __future__ import annotations

from collections.abc import Mapping

from perfloop.collectors.compat.node_alias import named, only_theirs
from perfloop.collectors.net import devices, diag, links, protocols, queues, sockets
from perfloop.collectors.table import Survey
from perfloop.model import Alias, Family, MetricType

# By the column of /proc/net/dev.
_DEVICES = {
    1: "receive_bytes",
    2: "receive_packets",
    3: "receive_errs",
    4: "receive_drop",
    5: "receive_fifo",
    6: "receive_frame",
    7: "receive_compressed",
    8: "receive_multicast",
    9: "transmit_bytes",
    10: "transmit_packets",
    11: "transmit_errs",
    12: "transmit_drop",
    13: "transmit_fifo",
    14: "transmit_colls",
    15: "transmit_carrier",
    16: "transmit_compressed",
}
_LINKS = {
    links.UP: "up",
    links.INFO: "info",
    links.NUMBERS["speed"]: "speed_bytes",
    links.NUMBERS["carrier"]: "carrier",
    links.NUMBERS["mtu"]: "mtu_bytes",
    links.NUMBERS["carrier_changes"]: "carrier_changes_total",
    links.NUMBERS["carrier_up_count"]: "carrier_up_changes_total",
    links.NUMBERS["carrier_down_count"]: "carrier_down_changes_total",
    links.NUMBERS["tx_queue_len"]: "transmit_queue_length",
}
_QUEUES = {
    queues.SOFTNET[0]: "softnet_processed_total",
    queues.SOFTNET[1]: "softnet_dropped_total",
    queues.SOFTNET[2]: "softnet_times_squeezed_total",
    queues.ARP: "arp_entries",
    diag.UDP_QUEUES: "udp_queues",
    diag.TCP_STATES: "tcp_connection_states",
}
_CONNTRACK = {
    queues.ENTRIES: "nf_conntrack_entries",
    queues.LIMIT: "nf_conntrack_entries_limit",
    **{family: f"nf_conntrack_stat_{key.decode()}" for key, family in queues.CONNTRACK.items()},
}
_PROTOCOLS = {**protocols.SNMP, **protocols.NETSTAT, **protocols.SNMP6}
_SOCKETS = {**sockets.SOCKSTAT, **sockets.SOCKSTAT6}


def _joined(protocol: bytes, field: bytes) -> str:
    return f"{protocol.decode()}_{field.decode()}"


ALIASES: Mapping[Family, Alias] = {
    **named({devices.DEVICES[column]: f"network_{name}_total" for column, name in _DEVICES.items()}),
    **named({family: f"network_{name}" for family, name in _LINKS.items()}),
    **named({family: f"netstat_{_joined(*key)}" for key, family in _PROTOCOLS.items()}, MetricType.UNTYPED),
    **named({family: f"sockstat_{_joined(*key)}" for key, family in _SOCKETS.items()}),
    **named({family: f"sockstat_{_joined(*key)}_bytes" for key, family in sockets.PAGES.items()}),
    **named(_QUEUES),
    **named(_CONNTRACK, MetricType.GAUGE),
}
SURVEYS: Mapping[str, tuple[Survey, ...]] = {
    "sockstat": (
        sockets.survey_sockets(
            {key: only_theirs(f"sockstat_{_joined(*key)}", MetricType.GAUGE, "Pages") for key in sockets.PAGES}
        ),
    ),
}
# Of /sys/class/net: numbers that say little to anybody, but are there.
ATTRIBUTES: Mapping[str, Family] = {
    attribute: only_theirs(f"network_{name}", MetricType.GAUGE, f"{attribute} of /sys/class/net", "device")
    for attribute, name in {
        "addr_assign_type": "address_assign_type",
        "dev_id": "device_id",
        "dormant": "dormant",
        "flags": "flags",
        "ifindex": "iface_id",
        "iflink": "iface_link",
        "link_mode": "iface_link_mode",
        "name_assign_type": "name_assign_type",
        "netdev_group": "net_dev_group",
        "type": "protocol_type",
    }.items()
}
