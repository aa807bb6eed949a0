"""The number of files that the station keeps open, and the limit of this process.

Each file that is being read, judged or moved stays open, so the number grows with ``batch_size`` times
``threads``. The usual soft limit is 1,024 descriptors, for ``select(2)``, which the station does not use.
"""

from __future__ import annotations

import resource
from typing import Final

from inspector.errors import SettingsError

# Descriptors for all else: libraries, database, sockets, watches, and the folders of files being read.
RESERVED_DESCRIPTORS: Final = 512


def max_in_flight(batch_size: int, threads: int) -> int:
    """Return how many files are taken at most: this bounds memory and open files.

    A batch for each worker, one that is recorded, one that fills, and the files being read.
    """
    return batch_size * (threads + 2) + threads


def require(batch_size: int, threads: int) -> int:
    """Raise this process's soft limit as far as the settings need; return the descriptors that they need.

    Raises:
        SettingsError: the hard limit is below that.
    """
    needed = max_in_flight(batch_size, threads) + RESERVED_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SettingsError(
            f"batch_size {batch_size} with {threads} threads needs {needed} open files, and this process may "
            f"open {hard}; lower batch_size (8 is enough) or threads, or raise LimitNOFILE= in the unit"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return needed
