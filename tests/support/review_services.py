"""The review service on a real socket, as systemd runs it, with a thread for each connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path

from sqlalchemy.engine import URL
from waiting import HANG_S

from inspector.review import service


@contextmanager
def serving(url: URL, *, console: str = service.CONSOLE) -> Iterator[Path]:
    """Serve the socket of a SQLite file; yield the socket's path. The account ``console`` names people."""
    with listening(
        service.socket_of(Path(url.database or "")),
        lambda connection: service.serve(
            connection, url, "cell-1", seam_gap_s=300, zone=UTC, console=console
        ),
    ) as path:
        yield path


@contextmanager
def listening(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[Path]:
    """Listen on a socket, and let a thread answer each connection; at the end all connections are closed."""
    threads, taken = [], []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def run(connection: socket.socket) -> None:
        with connection:
            answer(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            taken.append(connection)
            threads.append(threading.Thread(target=run, args=(connection,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield path
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(HANG_S)
        listener.close()
        path.unlink()
        for connection in taken:
            with contextlib.suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(HANG_S)
