"""Settings of malloc for this process: few heaps for all threads, which keep freed memory."""

from __future__ import annotations

import ctypes
from typing import Final

# <malloc.h>. Buffers of some MB come and go with every frame. By default glibc returns them to the system,
# takes fresh, zeroed pages for the next ones, and keeps a heap for each worker. Measured over 1000 frames on
# two workers (docs/measurements/pipeline.md): 50 page faults per frame instead of 200, 0.3 ms in the kernel
# instead of 1.1, and as much memory.
_MALLOC_SETTINGS: Final = (
    (-1, 32 << 20),  # M_TRIM_THRESHOLD, bytes at the heap's end: glibc's own is 128 KiB
    (-3, 32 << 20),  # M_MMAP_THRESHOLD, bytes: the most that glibc allows
    # M_ARENA_MAX: no heap besides the existing ones, so that one worker reuses what another frees. On two
    # cores there are two, since numpy's OpenBLAS has started a thread. A single one, by MALLOC_ARENA_MAX=1,
    # takes 386 to 394 MB instead of 404 to 442, at 0.93 of the frames per second, since workers then wait for
    # its lock.
    (-8, 1),
)


def keep_freed_memory() -> None:
    """Set glibc's malloc, before the first thread; another C library stays as it is."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for name, value in _MALLOC_SETTINGS:
            mallopt(name, value)
