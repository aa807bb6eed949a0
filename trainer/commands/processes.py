"""The processes of a command that trains networks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trainer.commands.options import Processes

if TYPE_CHECKING:
    from trainer.learning.processes import Hardware


@contextmanager
def launch(processes: Processes) -> Iterator[Hardware]:
    """Start the processes that learn; only the leader logs progress."""
    from trainer.learning.processes import launch as start

    with start(processes.accelerator.value, processes.devices, processes.nodes) as hardware:
        if not hardware.leader:
            logging.getLogger().setLevel(logging.WARNING)
        yield hardware
