"""A station with books, for the scenarios in which the ledger comes back older."""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Iterator

from books import Books
from camera import Camera, Frame, frames
from chaos_leg import Leg
from rig import Rig
from sqlalchemy.engine import URL

_AGAIN = 0.15  # of the frames are sent again: a duplicate refers to a row that a restore may take away


class BookedStation:
    """A station with result files, its camera and its books.

    Args:
        leg: the leg.
        url: the database, as the settings name it.
        settings: replacements for single settings.
    """

    def __init__(self, leg: Leg, url: URL, **settings: object) -> None:
        results = leg.folder / "results"
        results.mkdir()
        self._leg = leg
        self.rig = Rig(leg.folder / "station", leg.artifact, url, results_folder=str(results), **settings)
        self.books = Books(self.rig)
        self.camera: Camera = leg.camera(self.rig, source=_often_again(leg.seed), per_second=20)

    def __enter__(self) -> BookedStation:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.rig)
            stack.enter_context(self.camera)
            self.rig.launch_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *about: object) -> None:
        self._stack.__exit__(*about)

    @contextlib.contextmanager
    def sometimes_idle(self, share: float = 0.4) -> Iterator[bool]:
        """In some rounds let the station do all of its work first, and send nothing within the block."""
        if self._leg.chance.random() >= share:
            yield False
            return
        with self.camera.lock:
            self.rig.wait_until_idle()
            self._leg.counts["idle"] += 1
            yield True

    def kill(self) -> None:
        """Kill the daemon with SIGKILL, and count it."""
        self.rig.kill()
        self._leg.counts["kills"] += 1

    def launch_if_dead(self) -> None:
        """Start the daemon if it does not run."""
        if self.rig.daemon.poll() is not None:
            self.rig.launch()

    def audit(self, url: URL) -> None:
        """Send some more, let the station finish its work, and audit it while the camera pauses."""
        enough = len(self.camera.sent) + 5
        self.rig.wait_for(lambda: len(self.camera.sent) >= enough or self.rig.waiting() > 100, "files came")
        with self.camera.lock:
            self.rig.wait_until_idle()
            self._leg.note(self.rig, self.books.audit(self.camera.sent, url))

    def finish(self, url: URL) -> None:
        """Stop camera and daemon in order, and audit the stopped station, with the real command as well."""
        self.camera.stop()
        self.rig.wait_until_idle()
        self._leg.note(self.rig, self.books.audit(self.camera.sent, url))
        self.rig.stop()
        self._leg.counts["files without a row, all named"] += self.books.forgotten
        self._leg.check(self.books.check_command())


def _often_again(seed: int) -> Iterator[Frame]:
    """Frames as usual, many of them a second time."""
    chance, recent = random.Random(seed), deque(maxlen=100)
    for one in frames(seed):
        recent.append(one)
        yield one
        if chance.random() < _AGAIN:
            yield chance.choice(recent)
