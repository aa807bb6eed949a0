"""A failover from the primary to a streaming standby, and back again, while files arrive."""

from __future__ import annotations

from chaos_books import BookedStation
from chaos_leg import Leg, Scenario
from clusters import Cluster, cluster
from sqlalchemy.engine import URL

DATABASE = "quality"


def failover(leg: Leg) -> None:
    """Promote the standby after the primary was stopped, crashed, or crashed with the standby behind.

    The old primary comes back read-only, before or after that, with rows that the new one may lack. It is
    rewound and follows the new one, and is promoted in the next round.
    """
    with cluster() as one:
        two = one.clone("standby")
        one.execute(f"CREATE DATABASE {DATABASE}")
        one.copy_to(two, "-R")
        two.start()
        url = URL.create(
            "postgresql+psycopg", "postgres", database=DATABASE, query={"host": (one.host, two.host)}
        )
        with BookedStation(leg, url) as station:
            primary, standby = one, two
            for _ in leg.each_round():
                _fail_over(leg, station, primary, standby)
                primary, standby = standby, primary
            station.finish(primary.url(DATABASE))


def _fail_over(leg: Leg, station: BookedStation, primary: Cluster, standby: Cluster) -> None:
    kind = leg.chance.choice(["fast", "immediate", "behind"])
    leg.counts[kind] += 1
    leg.pause(1.0)
    station.rig.wait_for(lambda: primary.is_followed, "the standby followed", every_s=0.2)
    if kind == "behind":
        standby.stop("fast")
        leg.pause(1.0)  # rows that the standby lacks
    with station.sometimes_idle(0.3):
        if killed := leg.chance.random() < 0.3:
            station.kill()
        primary.stop("fast" if kind == "fast" else "immediate")
        leg.pause(0.5)
        is_back_early = leg.chance.random() < 0.5
        if is_back_early:
            primary.demote()
        if kind == "behind":
            standby.start()
        if killed and leg.chance.random() < 0.5:
            station.launch_if_dead()
        leg.pause(1.0)
        standby.promote()
        station.launch_if_dead()
        if not is_back_early:
            leg.pause(1.0)
            primary.demote()
    station.books.put_aside(primary.url(DATABASE), standby.url(DATABASE))
    is_repaired_late = leg.chance.random() < 0.5
    if not is_repaired_late:
        _repair(primary, standby)
    station.audit(standby.url(DATABASE))
    if is_repaired_late:  # the old primary answered all the time, with old rows
        _repair(primary, standby)


def _repair(old: Cluster, new: Cluster) -> None:
    old.stop("fast")
    old.follow(new)


SCENARIOS = {"failover": Scenario(failover, "failover to a standby and back", 50, 25)}
