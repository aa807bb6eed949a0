"""Cameras that write into a drop folder in every way known from practice, and record what they sent."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import os
import random
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rig import Rig
from stations import frame

FORMATS: Final = {"png": "PNG", "jpg": "JPEG", "bmp": "BMP", "tif": "TIFF"}


class Sent(NamedTuple):
    """One delivery: a file that a camera has written completely."""

    name: str
    sha256: str


Frame = tuple[str, bytes]  # name, content
Write = Callable[[Path, bytes], None]


def encoded(seed: int, suffix: str, height: int = 90, width: int = 80) -> bytes:
    """A frame of noise as a file in one of the four formats."""
    return packed(frame(seed, height, width), suffix)


def packed(pixels: NDArray[np.uint8], suffix: str) -> bytes:
    """An image file of these pixels."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, FORMATS[suffix])
    return stream.getvalue()


def sent_as(name: str, content: bytes) -> Sent:
    """The delivery of a file, as the audit needs it."""
    return Sent(name, hashlib.sha256(content).hexdigest())


def stamped(content: bytes, suffix: str, number: int) -> bytes:
    """The same picture with a unique number in the file, which is faster than a new picture."""
    mark = number.to_bytes(8, "big")
    if suffix == "png":  # a text chunk after the header chunk
        text = b"tEXtnumber\0" + mark.hex().encode()
        chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
        return content[:33] + chunk + content[33:]
    if suffix == "jpg":  # a comment after the start mark
        return content[:2] + b"\xff\xfe\x00\x0a" + mark + content[2:]
    return content[:-8] + mark  # the last pixels of a BMP or TIFF


def frames(seed: int, prefix: str = "w") -> Iterator[Frame]:
    """Endless new frames in all formats; a few are sent again, or again under a new name."""
    chance, sent = random.Random(seed), []
    for number in itertools.count():
        kind = chance.random()
        if sent and kind < 0.03:
            yield chance.choice(sent)  # the same name and bytes: a duplicate
            continue
        suffix = chance.choice(list(FORMATS))
        again = bool(sent) and kind < 0.06  # the same bytes under a new name: inspected again
        content = chance.choice(sent)[1] if again else encoded(seed * 1_000_000 + number, suffix)
        sent = [*sent[-99:], (f"{prefix}{number}.{suffix}", content)]
        yield sent[-1]


class Camera:
    """Writes frames in a thread until it is stopped or has written all; it works within the block.

    A name that is still in the folder is skipped unless ``overwrite`` is set. On a full disk, the camera
    removes its half-written file and tries again.

    Args:
        drop: the drop folder.
        source: the frames to write.
        write: the way to write a file.
        waiting: the camera pauses while this many files wait, because a longer queue proves nothing more.
        per_second: the largest number of files per second.
        overwrite: write a name although it is still in the folder.

    Attributes:
        sent: the deliveries in order.
        lock: held during each delivery; while another thread holds it, no file is half written.
    """

    def __init__(
        self,
        drop: Path,
        source: Iterator[Frame],
        *,
        write: Write | None = None,
        waiting: int = 150,
        per_second: float = 100,
        overwrite: bool = False,
    ) -> None:
        self.sent: list[Sent] = []
        self.lock = threading.Lock()
        self._drop, self._source, self._write = drop, source, write or in_place
        self._waiting, self._pause_s, self._overwrite = waiting, 1 / per_second, overwrite
        self._ended = threading.Event()
        self._trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Finish the current file and write no more."""
        self._ended.set()
        self.join()

    def join(self) -> None:
        """Wait until all frames are written."""
        self._thread.join()
        if self._trouble:
            raise self._trouble

    @property
    def is_done(self) -> bool:
        """Whether all frames are written or the camera was stopped."""
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            for name, content in self._source:
                while not self._ended.is_set() and len(os.listdir(self._drop)) >= self._waiting:
                    self._ended.wait(0.01)  # s
                while not self._ended.is_set() and not self._deliver(name, content):
                    self._ended.wait(0.1)  # s: wait for space on the disk
                if self._ended.wait(self._pause_s):
                    return
        except BaseException as trouble:  # noqa: BLE001 - raised again when the camera is stopped
            self._trouble = trouble

    def _deliver(self, name: str, content: bytes) -> bool:
        path = self._drop / name
        with self.lock:
            if path.exists() and not self._overwrite:
                return True
            try:
                self._write(path, content)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                for rest in (path, hidden(path)):
                    rest.unlink(missing_ok=True)
                return False
            self.sent.append(sent_as(name, content))
            return True


def wait_for_camera(camera: Camera, station: Rig, each: Callable[[int], None]) -> None:
    """Wait until a camera has written all its frames and the station has taken them.

    Args:
        camera: a camera within its block.
        station: the station, which must keep taking files.
        each: called from time to time with the number of files that have left the folder.
    """
    while not camera.is_done:
        before = len(camera.sent)
        station.wait_for(lambda n=before: camera.is_done or len(camera.sent) > n, "more was taken")
        each(len(camera.sent) - station.waiting())
    station.wait_until_idle(lambda left: each(len(camera.sent) - left))


def hidden(path: Path) -> Path:
    """The hidden name under which a careful camera writes before it renames."""
    return path.with_name(f".{path.name}.tmp")


# --- ways to write a file ---------------------------------------------------------------------------------


def in_place(path: Path, content: bytes) -> None:
    """Write under the final name, in one go."""
    path.write_bytes(content)


def renamed(path: Path, content: bytes) -> None:
    """Write under a hidden name in the same folder, then rename."""
    hidden(path).write_bytes(content)
    hidden(path).rename(path)


def moved_in(path: Path, content: bytes) -> None:
    """Write in another folder of the same file system, then move the file in."""
    elsewhere = path.parent.with_name("elsewhere")
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / path.name).write_bytes(content)
    (elsewhere / path.name).rename(path)


def slowly(path: Path, content: bytes, *, parts: int = 6, pause_s: float = 0.25) -> None:
    """Write in parts, with pauses between them."""
    with path.open("wb", buffering=0) as file:
        _write_parts(file, content, parts, pause_s)


def in_two_steps(path: Path, content: bytes, *, pause_s: float = 0.6) -> None:
    """Write half of the file and close it; open it again later for the rest."""
    half = len(content) // 2
    path.write_bytes(content[:half])
    time.sleep(pause_s)
    with path.open("ab") as file:
        file.write(content[half:])


def pre_allocated(path: Path, content: bytes, *, parts: int = 6, pause_s: float = 0.25) -> None:
    """Reserve the whole length first, then write in parts, so that the size says nothing."""
    with path.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, len(content))
        _write_parts(file, content, parts, pause_s)


def keeping_mtime(path: Path, content: bytes, *, parts: int = 6, pause_s: float = 0.25) -> None:
    """Write like a copy by Windows or ``cp -p``: the modification time is a year old from the first byte."""
    long_ago = time.time() - 365 * 86_400
    with path.open("wb", buffering=0) as file:
        for part in _split(content, parts):
            file.write(part)
            os.utime(path, (long_ago, long_ago))
            time.sleep(pause_s)


WAYS: Final[dict[str, Write]] = {
    way.__name__: way
    for way in (in_place, renamed, moved_in, slowly, in_two_steps, pre_allocated, keeping_mtime)
}


def _write_parts(file: io.FileIO, content: bytes, parts: int, pause_s: float) -> None:
    for part in _split(content, parts):
        time.sleep(pause_s)
        file.write(part)


def _split(content: bytes, parts: int) -> Iterator[bytes]:
    size = -(-len(content) // parts)
    for start in range(0, len(content), size):
        yield content[start : start + size]
