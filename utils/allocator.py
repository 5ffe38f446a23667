"""The C library's memory allocator, told not to give every large block back to the system.

A training step frees and asks for the same large blocks over and over. glibc maps each anew, and the system fills every
page with zeros again. Kept blocks cost nothing but that a process does not shrink. Linux with glibc alone.
"""

from __future__ import annotations

import ctypes
import platform

# Of mallopt(3): no block is mapped on its own, and up to 2 GiB at the end of the heap stay.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_KEPT_AT_THE_END = 2**31 - 1


def keep_freed_memory() -> bool:
    """Keep blocks that are freed, for the next step; return whether the allocator has taken it."""
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT_AT_THE_END))
