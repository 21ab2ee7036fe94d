"""Root reads every file, unless it gives up the right to."""

import contextlib
import ctypes
import os
import struct
import sys

_VERSION = 0x20080522
_OVERRIDES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


@contextlib.contextmanager
def obeyed():
    """Here the permissions of files hold for root too; see capabilities(7)."""
    if os.geteuid() != 0 or sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = ctypes.create_string_buffer(struct.pack("Ii", _VERSION, 0))
    before = ctypes.create_string_buffer(24)
    assert libc.capget(header, before) == 0
    effective, *rest = struct.unpack("6I", before.raw[:24])
    fewer = struct.pack("6I", effective & ~_OVERRIDES, *rest)
    assert libc.capset(header, ctypes.create_string_buffer(fewer)) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0
