"""Forwarders that are killed, and a centre that goes away in the middle of the work."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from catalogues import rows_of
from forwarders import NO_ARCHIVE, add_images, content, forwarder_program, send, work_a_shift
from servers import postgresql_server, postgresql_url, start_postgresql, stop_postgresql
from sqlalchemy.engine import URL
from waiting import HANG_S, wait_for

from inspector.forwarding.forwarder import forward
from inspector.ledger.store import migrate
from inspector.station.service import StopFlag

_KILLS = 10


def arrived(centre: URL) -> int:
    """The number of images at the centre."""
    return len(rows_of(centre, "SELECT id FROM inspection"))


def test_kills_lose_and_repeat_nothing(url_of: Callable[..., URL]) -> None:
    """Forwarders that end by kill -9 at any moment leave each row at the centre once."""
    own, centre = url_of("sqlite"), url_of("postgresql")
    work_a_shift(own, "cell-1")
    add_images(own, "cell-1", 1000)
    moments = random.Random(7)
    for _ in range(_KILLS):
        before = arrived(centre)
        with subprocess.Popen(forwarder_program(own, centre, "cell-1", rows=10, once=False)) as forwarder:
            wait_for(lambda before=before: arrived(centre) > before or arrived(centre) == 1004)
            wait_for(lambda: moments.random() < 0.3)
            forwarder.send_signal(signal.SIGKILL)
    assert arrived(centre) > 0
    send(own, centre)
    assert content(centre, "cell-1") == content(own, "cell-1")


def test_rows_wait_while_the_centre_is_away(url_of: Callable[..., URL]) -> None:
    """A centre that crashes and returns gets the rest in order, and the new rows too, without a restart."""
    own, stop = url_of("sqlite"), StopFlag()
    add_images(own, "cell-1", 600)
    with postgresql_server() as server, ThreadPoolExecutor(1) as pool:
        centre = postgresql_url(server)
        migrate(centre)
        try:
            done = pool.submit(forward, own, centre, "cell-1", NO_ARCHIVE, once=False, stop=stop)
            wait_for(lambda: arrived(centre) > 0)
            stop_postgresql(server, "immediate")
            add_images(own, "cell-1", 600, first=600)  # the station works meanwhile
            start_postgresql(server)
            wait_for(lambda: arrived(centre) == 1200)
        finally:
            stop.set()
        assert done.result(HANG_S).behind == 0
        assert content(centre, "cell-1") == content(own, "cell-1")


def test_a_stop_ends_an_outage(url_of: Callable[..., URL], tmp_path_factory) -> None:
    """SIGTERM ends a forwarder that waits for its centre."""
    own, stop = url_of("sqlite"), StopFlag()
    add_images(own, "cell-1", 3)
    centre = url_of("postgresql").update_query_dict({"host": str(tmp_path_factory.mktemp("nobody"))})
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(forward, own, centre, "cell-1", NO_ARCHIVE, once=False, stop=stop)
        threading.Event().wait(0.1)
        stop.set()
        assert done.result(HANG_S).sent == 0
