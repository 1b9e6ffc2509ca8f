"""How well the clock is kept: adjtimex(2), which needs no rights for reading."""

from __future__ import annotations

import errno
import os
import struct

from perfloop.collectors.host.family import gauge
from perfloop.exposition.block import Aliases, Block
from perfloop.exposition.text import Samples, number

SYNCHRONIZED = gauge("clock_synchronized", "Whether something keeps the clock, by adjtimex(2): no STA_UNSYNC.")
OFFSET = gauge("clock_offset_seconds", "How far the clock still has to be moved, offset of adjtimex(2).")
MAXIMUM_ERROR = gauge("clock_maximum_error_seconds", "Bound of the clock's error, maxerror of adjtimex(2).")
ESTIMATED_ERROR = gauge("clock_estimated_error_seconds", "The clock's error as estimated, esterror of adjtimex(2).")
FREQUENCY = gauge("clock_frequency_ratio", "How fast the clock is made to run, freq of adjtimex(2).")
TAI_OFFSET = gauge("clock_tai_offset_seconds", "How far TAI is ahead of UTC, tai of adjtimex(2).")
TICK = gauge("clock_tick_seconds", "Time between two ticks of the clock, tick of adjtimex(2).")
TIME_CONSTANT = gauge("clock_loop_time_constant", "How lazily the clock follows, constant of adjtimex(2).")
STATUS = gauge("clock_status", "Bits STA_* of the clock, status of adjtimex(2).")
FAMILIES = (
    *(SYNCHRONIZED, OFFSET, MAXIMUM_ERROR, ESTIMATED_ERROR, FREQUENCY, TAI_OFFSET),
    *(TICK, TIME_CONSTANT, STATUS),
)

# struct timex of linux/timex.h on 64-bit systems: offset, freq, maxerror, esterror, status, constant, tick, tai.
_TIMEX = struct.Struct("8x 4q i4x q 32x q 64x i")
# More than it takes.
_BUFFER_BYTES = 256
_STA_NANO = 0x2000
_TIME_ERROR = 5
_SCALED_PPM = 1e6 * (1 << 16)


class Timex:
    """Asks the kernel through libc."""

    def __init__(self, *, aliases: Aliases | None = None) -> None:
        import ctypes  # noqa: PLC0415 - memory: only where there is a host to measure

        exponents = {OFFSET: -9, MAXIMUM_ERROR: -6, ESTIMATED_ERROR: -6, TICK: -6}
        self._block = Block(FAMILIES, exponents=exponents, aliases=aliases)
        self._buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
        self._call = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
        self._errno = ctypes.get_errno
        self._is_known = ctypes.sizeof(ctypes.c_long) == 8

    def read(self) -> Samples:
        """Ask the kernel. Raises OSError."""
        if self._call is None or not self._is_known:
            raise FileNotFoundError(errno.ENOENT, "no adjtimex")
        # Its first field, `modes`, stays 0: nothing is to be changed.
        state = self._call(self._buffer)
        if state < 0:
            # Docker's filter of system calls says so to everybody: not there, rather than broken.
            code = errno.EOPNOTSUPP if self._errno() == errno.EPERM else self._errno()
            raise OSError(code, os.strerror(code))
        offset, frequency, maximum, estimated, status, constant, tick, tai = _TIMEX.unpack_from(self._buffer)
        nanoseconds = offset if status & _STA_NANO else offset * 1000
        ratio = 1 + frequency / _SCALED_PPM
        values = (int(state != _TIME_ERROR), nanoseconds, maximum, estimated, ratio, tai, tick, constant, status)
        return self._block.render_row([number(value) for value in values])

    def close(self) -> None:
        """Nothing is open."""
