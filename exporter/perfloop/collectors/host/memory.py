"""Memory and swap, every line of /proc/meminfo; and what paging did, from /proc/vmstat."""

from __future__ import annotations

import re
from collections.abc import Iterator

from perfloop.collectors.host.family import counter, gauge
from perfloop.collectors.table import Part, Rows, keyed, unique
from perfloop.model import Family

# Names and meanings that are better than what the kernel's own word gives.
_NAMED = {
    "MemTotal": gauge("memory_size_bytes", "Memory of this host, MemTotal of /proc/meminfo."),
    "MemAvailable": gauge(
        "memory_available_bytes", "Memory that new work could get without swapping, MemAvailable of /proc/meminfo."
    ),
    "MemFree": gauge("memory_free_bytes", "Memory that nothing uses, MemFree of /proc/meminfo."),
    "Buffers": gauge("memory_buffers_bytes", "Memory that buffers block devices, Buffers of /proc/meminfo."),
    "Cached": gauge("memory_cached_bytes", "Memory that caches files, Cached of /proc/meminfo."),
    "SwapTotal": gauge("swap_size_bytes", "Swap space of this host, SwapTotal of /proc/meminfo."),
    "SwapFree": gauge("swap_free_bytes", "Swap space that nothing uses, SwapFree of /proc/meminfo."),
    "SwapCached": gauge("swap_cached_bytes", "Memory that is in the swap space as well, SwapCached of /proc/meminfo."),
    "HugePages_Total": gauge("memory_huge_pages", "Huge pages in the pool, HugePages_Total of /proc/meminfo."),
    "SecPageTables": gauge(
        "memory_secondary_page_tables_bytes",
        "Page tables of virtual machines, SecPageTables of /proc/meminfo.",
    ),
    "Hugepagesize": gauge("memory_huge_page_size_bytes", "Size of a huge page, Hugepagesize of /proc/meminfo."),
}
# What kernels of this century say besides, in their order.
_KEYS = """
    Active Inactive Active(anon) Inactive(anon) Active(file) Inactive(file) Unevictable Mlocked HighTotal HighFree
    LowTotal LowFree MmapCopy Zswap Zswapped Dirty Writeback AnonPages Mapped Shmem KReclaimable Slab SReclaimable
    SUnreclaim KernelStack ShadowCallStack PageTables NFS_Unstable Bounce WritebackTmp CommitLimit
    Committed_AS VmallocTotal VmallocUsed VmallocChunk Percpu EarlyMemtestBad HardwareCorrupted AnonHugePages
    ShmemHugePages ShmemPmdMapped FileHugePages FilePmdMapped CmaTotal CmaFree Unaccepted Balloon GPUActive GPUReclaim
    HugePages_Free HugePages_Rsvd HugePages_Surp Hugetlb DirectMap4k DirectMap2M DirectMap4M DirectMap1G
""".split()  # noqa: SIM905 - a list of 60 strings is no easier to read
_KIBIBYTE = 1024
_WORD_BREAK = re.compile(r"(?<=[a-z])(?=[A-Z0-9])")
_NO_WORD = re.compile(r"\W+|_+")
_KEY = re.compile(rb"[A-Z][\w()]*:")


def memory_family(key: str) -> Family:
    """Return the family of a line of /proc/meminfo, in this kernel or a later one: `Active(anon)` is active_anon."""
    words = _NO_WORD.sub("_", _WORD_BREAK.sub("_", key)).strip("_").lower()
    if key.startswith("HugePages_"):
        return gauge(f"memory_{words}", f"Huge pages, {key} of /proc/meminfo.")
    # `_total` is a counter's.
    return gauge(f"memory_{words.removesuffix('_total')}_bytes", f"{key} of /proc/meminfo.")


MEMORY = _NAMED | {key: memory_family(key) for key in _KEYS}
# In the order of the kernel.
PAGING = {
    b"pswpin": counter("swap_in_pages", "Pages read from swap space, pswpin of /proc/vmstat."),
    b"pswpout": counter("swap_out_pages", "Pages written to swap space, pswpout of /proc/vmstat."),
    b"pgfault": counter("page_faults", "Accesses to pages that were not mapped, pgfault of /proc/vmstat."),
    b"pgmajfault": counter(
        "page_faults_major", "Of these, the ones that had to read a disk, pgmajfault of /proc/vmstat."
    ),
    b"oom_kill": counter("oom_kills", "Processes killed for want of memory, oom_kill of /proc/vmstat."),
}
survey_paging = keyed(PAGING)
# What is read of the 200 lines of /proc/vmstat; the first two are in KiB, and for other exporters' names only.
PAGING_KEYS = (b"pgpgin", b"pgpgout", *PAGING)
FAMILIES = (*MEMORY.values(), *PAGING.values())


def survey_memory(rows: Rows) -> Iterator[Part]:
    """Sort the lines by unit: what has none is a count."""
    said = unique((row for row in rows if len(row.fields) > 1 and _KEY.fullmatch(row.fields[0])), column=0)
    for unit, factor in ((b"kB",), _KIBIBYTE), ((), 1):
        lines = [row for row in said if tuple(row.fields[2:]) == unit]
        # By name: two keys that differ in punctuation only must not become one series twice.
        found: dict[str, tuple[Family, int]] = {}
        for row in lines:
            key = row.fields[0][:-1].decode()
            family = MEMORY.get(key) or memory_family(key)
            found.setdefault(family.name, (family, row.start + 1))
        if found:
            families, places = zip(*found.values(), strict=True)
            yield Part(families, [()], places, factor=factor)
