"""The period of a quality report, and the options that name it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from inspector import times
from inspector.errors import UsageError


@dataclass(frozen=True, slots=True)
class Period:
    """A period from ``since`` (None: the first image) to ``until``, exclusive, in the station's time zone."""

    since: datetime | None
    until: datetime

    @classmethod
    def from_options(
        cls, since: str | None, until: str | None, days: int | None, zone: tzinfo, now: datetime
    ) -> Period:
        """Return the period that the options name.

        Args:
            since: ISO date or datetime, in ``zone`` if it has no offset. None: from the first image.
            until: the same, exclusive. None: to ``now``.
            days: instead of these two, this many whole days up to the last midnight.
            zone: the station's time zone.
            now: the present time, with a time zone.

        Raises:
            UsageError: a text is not a date, the period is empty, or ``days`` comes with a date.
        """
        if days is not None and (since or until):
            raise UsageError("--days is instead of --since and --until; leave it or them out")
        now = now.astimezone(zone)
        midnight = datetime.combine(now.date(), time(), zone)
        if days is not None:
            return Period(midnight - timedelta(days=days), midnight)
        times.instants(since, until or now.isoformat(), zone)  # refuses a wrong date and an empty period
        return Period(_aware(since, zone) if since else None, _aware(until, zone) if until else now)

    @property
    def before(self) -> Period | None:
        """The period just before, equally long in local time; None if this one has no begin."""
        if self.since is None:
            return None
        try:
            return Period(self.since - (self.until - self.since), self.since)
        except OverflowError:  # before the year 1
            return None

    def reference(self, since: str | None, until: str | None, zone: tzinfo) -> Period | None:
        """Return the reference period that the options name; None if neither option is given.

        Raises:
            UsageError: a text is not a date, the period is empty, or it has an end but no start.
        """
        if since is None and until is None:
            return None
        if since is None:
            raise UsageError("--reference-until ends a period without a beginning: give --reference-since")
        end = until or (self.since.isoformat() if self.since else None)
        if end is None:
            raise UsageError("--reference-since without --since needs --reference-until")
        times.instants(since, end, zone, "reference-")
        return Period(_aware(since, zone), _aware(end, zone))

    @property
    def last_day(self) -> date:
        """The local day of the last moment of the period."""
        return (self.until - timedelta(microseconds=1)).date()

    @property
    def days(self) -> float | None:
        """The length of the period in days; None if it has no begin."""
        return None if self.since is None else (self.until - self.since) / timedelta(days=1)


def _aware(text: str, zone: tzinfo) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone)
