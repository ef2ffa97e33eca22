"""Which calendar day an instant counts for, and when a wall time comes: pure, in named zones.

A zone that is changed counts from the child's next local day. That day starts where the old zone
says, the days after it where the new one does; no date comes twice, and none comes that is not
today's somewhere on Earth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator

DEFAULT_ZONE: Final = "Asia/Seoul"
CHANGE_EVERY: Final = timedelta(hours=24)
"""A zone may be changed once in this time."""
SPANS_KEPT: Final = 16
"""More than the changes that fit into the time a late result may come from."""


def check_zone(name: str) -> str:
    """Return `name` if it is a zone of the IANA database; raises ValueError otherwise."""
    if name in _zones():
        return name
    raise ValueError("must be a time zone of the IANA database, for instance Asia/Seoul")


def _zones() -> frozenset[str]:
    global _ZONES
    if not _ZONES:
        # What else lies in the database are folders of the same zones, and no zone at all.
        skipped = ("posix/", "right/", "localtime", "Factory")
        _ZONES = frozenset(z for z in available_timezones() if not z.startswith(skipped))
    return _ZONES


_ZONES: frozenset[str] = frozenset()

Zone = Annotated[str, AfterValidator(check_zone)]
"""A zone by its IANA name."""


@dataclass(frozen=True, slots=True)
class ZoneSpan:
    """A zone, and from when it counts for a child."""

    zone: str
    since: datetime
    """First instant of it."""
    floor: date
    """First date of it: the local date is never before."""


def local_date(instant: datetime, zone: str, day_start_hour: int = 0) -> date:
    """Return the date an aware instant counts for; a day starts at `day_start_hour`, wall time."""
    wall = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return (wall - timedelta(hours=day_start_hour)).date()


def instant_of(day: date, at: time, zone: str) -> datetime:
    """Return the UTC instant of a wall time; a missing one moves to the first valid instant.

    Of an ambiguous wall time it is the first.
    """
    place = ZoneInfo(zone)
    early = datetime.combine(day, at, place).astimezone(UTC)
    if _wall(early, place) == datetime.combine(day, at):
        return early
    # Missing. Read with the offset after the gap, the wall time lies before the gap, read with
    # the offset before it, behind: the first valid instant is between the two.
    late = early
    early = datetime.combine(day, at.replace(fold=1), place).astimezone(UTC)
    wanted = datetime.combine(day, at)
    while late - early > timedelta(microseconds=1):
        middle = early + (late - early) // 2
        if _wall(middle, place) < wanted:
            early = middle
        else:
            late = middle
    return late


def _wall(instant: datetime, place: ZoneInfo) -> datetime:
    return instant.astimezone(place).replace(tzinfo=None)


def day_start(day: date, zone: str, day_start_hour: int = 0) -> datetime:
    """Return the first UTC instant of a local day."""
    return instant_of(day, time(day_start_hour), zone)


def first_span(zone: str, now: datetime, hour: int = 0) -> ZoneSpan:
    """Return the span of a child that is new to the product; instants before count in it too."""
    return ZoneSpan(zone, now, local_date(now, zone, hour))


def span_at(spans: Sequence[ZoneSpan], instant: datetime) -> ZoneSpan:
    """Return the span an instant lies in; the oldest one for an instant before all."""
    return next((s for s in reversed(spans) if s.since <= instant), spans[0])


def date_in(spans: Sequence[ZoneSpan], instant: datetime, hour: int = 0) -> date:
    """Return the local date of an instant for a child with these zones, the oldest first.

    Args:
        hour: wall time at which a day starts.
    """
    span = span_at(spans, instant)
    found = local_date(instant, span.zone, hour)
    return max(found, span.floor) if span.since <= instant else found


def start_of(spans: Sequence[ZoneSpan], day: date, hour: int = 0) -> datetime:
    """Return the first instant that counts for a date or a later one."""
    starts = [day_start(day, span.zone, hour) for span in spans]
    # A day begins where a zone says so, or with a zone that is a day ahead of the one before.
    reached = [at for at in (*starts, *(span.since for span in spans))
               if date_in(spans, at, hour) >= day]  # fmt: skip
    return min(reached)


def changed(
    spans: Sequence[ZoneSpan], zone: str, now: datetime, hour: int = 0
) -> tuple[ZoneSpan, ...]:
    """Return the spans of a child whose zone is `zone` from the next local day on.

    A change that has not come into force yet is replaced by this one.
    """
    reached = [span for span in spans if span.since <= now] or list(spans[:1])
    next_day = date_in(reached, now, hour) + timedelta(days=1)
    since = day_start(next_day, reached[-1].zone, hour)
    return (*reached[-(SPANS_KEPT - 1) :], ZoneSpan(zone, since, next_day))
