"""Faults of process, database and network: each scenario does one kind of harm while files arrive."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from pathlib import Path

from camera import frames
from chaos_leg import Leg, Scenario, Violated
from rig import Rig, databases, scalar


def kill_on(backend: str) -> Callable[[Leg], None]:
    """A scenario that kills the daemon at random moments: while it starts, replays and works."""

    def kill(leg: Leg) -> None:
        with leg.station(backend) as rig, leg.camera(rig) as camera:
            for _ in leg.each_round():
                kill_at_a_random_moment(leg, rig)
                leg.check_dead(rig, camera)
            camera.stop()
            rig.drain()
            leg.check_idle(rig, camera.sent)

    return kill


def kill_at_a_random_moment(leg: Leg, rig: Rig) -> None:
    """Kill the daemon in two of five cases while it starts (or just after), otherwise under load."""
    if leg.chance.random() < 0.4:
        rig.launch()
        leg.pause(1.1 * rig.ready_s)
        leg.counts["killed in start"] += 1
    else:
        rig.launch_ready()
        leg.pause(2.0)  # s: a few hundred files
    if rig.daemon.poll() is not None:
        rig.wait_for(lambda: False, "it was killed")  # it ended by itself: this raises Broken with its log
    rig.kill()


def restart_postgresql(leg: Leg) -> None:
    """Stop PostgreSQL, fast or immediately, and start it later, while one daemon keeps running."""
    from servers import postgresql_server, postgresql_url, start_postgresql, stop_postgresql

    with postgresql_server() as server:
        url = postgresql_url(server)
        with Rig(leg.folder / "station", leg.artifact, url) as rig, leg.camera(rig, per_second=50) as camera:
            rig.launch_ready()
            for number in leg.each_round():
                leg.pause(1.5)
                stop_postgresql(server, "immediate" if number % 2 else "fast")
                leg.pause(2.0)
                start_postgresql(server)
                before = rig.archived()
                rig.wait_for(lambda n=before: rig.archived() > n, "it worked on after a restart", every_s=0.2)
            camera.stop()
            rig.wait_until_idle()
            rig.stop()
            leg.counts["outage rows"] += scalar(url, "SELECT count(*) FROM event WHERE kind = 'outage'")
            leg.check_idle(rig, camera.sent)


def two_stations(leg: Leg) -> None:
    """Let two stations write to one PostgreSQL, and kill one of them from time to time."""
    with databases("postgresql", leg.folder) as url:
        rigs = [
            Rig(leg.folder / name, leg.artifact, url, station=name, scan_s=0.5) for name in ("left", "right")
        ]
        camera_of = functools.partial(leg.camera, per_second=40)
        with rigs[0], rigs[1], camera_of(rigs[0]) as left, camera_of(rigs[1]) as right:
            for rig in rigs:
                rig.launch_ready()
            for _ in leg.each_round():
                leg.pause(3.0)
                rig = leg.chance.choice(rigs)
                rig.kill()
                leg.check_dead(rig, left if rig is rigs[0] else right)
                rig.launch_ready()
            for rig, camera in zip(rigs, (left, right), strict=True):
                camera.stop()
                rig.drain()
                leg.check_idle(rig, camera.sent)
        deadlocks = scalar(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        if deadlocks:
            raise Violated(f"{deadlocks} deadlocks")


def overflow(leg: Leg) -> None:
    """Overflow the queue of the watch while the daemon is stopped; the missed files must be found at once.

    The scan runs once per hour here, so only the overflow itself can start one.
    """
    source, sent = frames(leg.seed), []
    with leg.station(scan_s=3600) as rig:
        rig.launch_ready()
        for _ in leg.each_round():
            with rig.frozen():
                _fill_the_queue(rig)
                some = itertools.islice(source, 40)  # the watch misses their close events
                with leg.camera(rig, source=some, waiting=1000, per_second=1000) as camera:
                    camera.join()
            sent += camera.sent
            rig.wait_until_idle()
        rig.stop()
        seen = scalar(rig.url, "SELECT count(*) FROM event WHERE kind = 'watch_overflow'")
        leg.counts["overflow rows"] += seen
        leg.check_idle(rig, sent)
        if seen < leg.rounds:
            raise Violated(f"{leg.rounds} overflows were forced, {seen} were noticed")


def _fill_the_queue(rig: Rig) -> None:
    """Cause more close events than the kernel keeps; hidden names cause events but are no intake."""
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(most + 100):
        name = (
            rig.drop / f".{number % 2}"
        )  # two names in turn, because the kernel merges equal events in a row
        name.write_bytes(b"")
    for number in range(2):
        (rig.drop / f".{number}").unlink()


SCENARIOS = {
    "kill-sqlite": Scenario(kill_on("sqlite"), "kill -9", 260, 20),
    "kill-postgresql": Scenario(kill_on("postgresql"), "kill -9", 260, 20),
    "restart-postgresql": Scenario(restart_postgresql, "PostgreSQL restart", 50, 25),
    "two-stations": Scenario(two_stations, "kill -9 of one of two", 20, 20),
    "overflow": Scenario(overflow, "watch overflow", 10, 10),
}
