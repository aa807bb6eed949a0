"""The other processes of a training on one host, started and watched by the first one.

Each follower runs the program that the user started, with the same arguments. Lightning Fabric can start such
processes too, but it kills the first one without a message when another one fails. This module reports it.

- A follower writes to no terminal. Its output is kept, and shown only if it fails.
- Ctrl-C does not reach a follower. The first process ends it.
- A follower ends when the first process does, even if that is killed: its standard input ends then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import IO

from trainer.errors import ProcessFailed

_MARK = "WELD_TRAIN_FOLLOWER"  # in a follower's environment
_CHECK_S = 0.5  # s between two looks at the followers: short beside an epoch
GRACE_S = 10.0  # s: the first process may report and end by itself before a follower's failure ends it
LOST_PEER_S = 60.0  # s: a process whose connection has ended is ending itself, slowly on a loaded host
_EXIT_S = 300.0  # s for a follower to end after the last common step: far more than a loaded host needs


@dataclass
class _Follower:
    rank: int  # on this host; the first process has 0
    process: subprocess.Popen[bytes]
    output: IO[bytes]


class Followers:
    """The followers of this process; none if ``count`` is 0."""

    def __init__(self, count: int) -> None:
        self._followers = [_start(rank) for rank in range(1, count + 1)]
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="followers", daemon=True)
        self._watcher.start()

    def failure(self, patience_s: float = 0) -> ProcessFailed | None:
        """Return the error of a follower that has failed, or that fails within ``patience_s`` seconds."""
        until = time.monotonic() + patience_s
        while True:
            for follower in self._followers:
                if follower.process.poll():
                    return self._error(follower)
            if time.monotonic() >= until or not self._followers:
                return None
            time.sleep(0.05)

    def wait(self) -> None:
        """Wait for the followers to end after the last common step.

        Raises:
            ProcessFailed: a follower failed.
        """
        until = time.monotonic() + _EXIT_S
        for follower in self._followers:
            try:
                follower.process.wait(max(0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                follower.process.kill()
                follower.process.wait()
        failed = self.failure()
        self.end()
        if failed:
            raise failed

    def end(self) -> None:
        """End the followers that still run. Nothing is lost, because only the leader writes."""
        self._ended.set()
        self._watcher.join()
        for follower in self._followers:
            follower.process.kill()
            follower.process.communicate()
            follower.output.close()
        self._followers = []

    def _watch(self) -> None:
        """End this process if a follower has failed and this process does not notice, because it waits."""
        while not self._ended.wait(_CHECK_S):
            failed = self.failure()
            if failed and not self._ended.wait(GRACE_S):
                sys.stderr.write(f"{failed.output}weld-train: {failed}\n")
                sys.stderr.flush()
                os._exit(failed.exit_status)

    def _error(self, follower: _Follower) -> ProcessFailed:
        status, size = follower.process.returncode, os.fstat(follower.output.fileno()).st_size
        output = os.pread(follower.output.fileno(), size, 0).decode(errors="replace")
        *before, last = output.splitlines(keepends=True) or [""]
        if last.startswith("weld-train: "):  # an expected error: show its line as the leader's own
            return ProcessFailed(last.removeprefix("weld-train: ").strip(), status, "".join(before))
        how = f"failed with status {status}" if status > 0 else f"was ended by {_signal_name(-status)}"
        message = f"process {follower.rank + 1} of {len(self._followers) + 1} {how}; the same command resumes"
        return ProcessFailed(message, max(status, 1), output)


def follow() -> None:
    """End this process when the one that started it ends; do nothing if this process is no follower."""
    if _MARK in os.environ:
        threading.Thread(target=_end_with_input, name="follower", daemon=True).start()


def _end_with_input() -> None:
    os.read(0, 1)  # returns at the end of the input: nothing is ever written
    os._exit(1)


def _start(rank: int) -> _Follower:
    output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by Followers.end
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a new process inherits this
    try:
        process = subprocess.Popen(  # noqa: S603 - the command that the user gave
            [sys.executable, *sys.orig_argv[1:]],
            env=os.environ | {"LOCAL_RANK": str(rank), _MARK: "1"},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return _Follower(rank, process, output)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
