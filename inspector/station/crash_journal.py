"""The list of files that are being decoded, kept in a file that survives a crash of this process.

A decoder is native code, and a file may kill it. The journal names the files that were open in the decoder
when the process died. They are *suspects*, and are decoded one at a time after the next start. A suspect that
is open again at the next crash is *convicted*, and goes to quarantine unread. Without the journal the service
would crash on the same file for ever.

Lines are appended without a flush to disk: a process that dies loses nothing that it has written, and after a
power cut no file is convicted. If the journal cannot be written (the disk is full), the work goes on without
it, since a full disk must not keep a station from starting.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from inspector.errors import ImageError

_MAX_CRASHES: Final = 2  # crashes in a row with the same file open
_MAX_JOURNAL_BYTES: Final = 1 << 20  # then the file is written again from its beginning; some 10,000 images


class CrashJournal:
    """Journal: a line ``+name`` when a decoding begins, ``-name`` when it ends, ``!name`` for a past crash.

    Safe for several threads: each line is one append.

    Args:
        path: the journal; read and started again on entry, removed at an orderly end.

    Attributes:
        suspects: names that were being decoded at a crash, and have not been decoded since.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.suspects: set[str] = set()
        self._convicted: set[str] = set()
        self._fd = -1

    def __enter__(self) -> Self:
        crashes = self._crashes()
        self.suspects = set(crashes)
        self._convicted = {name for name, count in crashes.items() if count >= _MAX_CRASHES}
        self._begin(crashes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    @contextmanager
    def decoding(self, name: str) -> Iterator[None]:
        """Mark a file as open in the decoder within the block; any end of the block clears the file.

        Raises:
            ImageError: ``decoder_crash``, the decoder died on this file twice in a row. It is raised once,
                since another file may get the name.
        """
        if name in self._convicted:
            self._convicted.discard(name)
            self._clear(name)
            raise ImageError("decoder_crash", "the decoder died on it at two starts in a row")
        self._write(f"+{name}")
        try:
            yield
        finally:
            self._clear(name)

    def _clear(self, name: str) -> None:
        self._write(f"-{name}")
        self.suspects.discard(name)

    def compact(self) -> None:
        """Shorten a long journal to its suspects; call it only while no file is being decoded."""
        if self._fd < 0 or os.fstat(self._fd).st_size > _MAX_JOURNAL_BYTES:
            self._close()
            self._begin(Counter(self.suspects))

    def _begin(self, crashes: Counter[str]) -> None:
        """Write a journal that holds only the crashes so far, in one step, since this may crash too."""
        new = self._path.with_name(f"{self._path.name}.new")
        text = "".join(f"!{name}\n" * count for name, count in crashes.items())
        with contextlib.suppress(OSError):
            new.write_text(text, encoding="utf-8")
            new.replace(self._path)
            self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def _crashes(self) -> Counter[str]:
        """Count for each file the crashes in a row that it was part of; ignore an unfinished last line."""
        crashes: Counter[str] = Counter()
        open_now: set[str] = set()
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return crashes
        for line in text.split("\n")[:-1]:
            mark, name = line[:1], line[1:]
            if mark == "!":
                crashes[name] += 1
            elif mark == "+":
                open_now.add(name)
            elif mark == "-":
                open_now.discard(name)
                crashes.pop(name, None)
        crashes.update(open_now)
        return crashes

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError):  # also if there is no descriptor
            os.write(self._fd, f"{line}\n".encode())

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
