"""The local day: over summer time, at the edges of the zones, and when the zone is changed."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from models.children.localday import (
    CHANGE_EVERY,
    DEFAULT_ZONE,
    SPANS_KEPT,
    Zone,
    ZoneSpan,
    changed,
    date_in,
    day_start,
    first_span,
    instant_of,
    local_date,
    span_at,
    start_of,
)

# Both ends of the date line, half and quarter hours, summer time of both halves of the Earth,
# one of half an hour, and a zone that skipped a whole day.
ZONES = [
    "Asia/Seoul", "UTC", "America/New_York", "Europe/Berlin", "Pacific/Kiritimati",
    "Pacific/Pago_Pago", "Pacific/Niue", "Asia/Kathmandu", "Asia/Kolkata", "Australia/Lord_Howe",
    "Pacific/Chatham", "Pacific/Apia", "America/Sao_Paulo", "Africa/Casablanca", "Asia/Beirut",
]  # fmt: skip
INSTANTS = st.integers(946_684_800, 2_051_222_400).map(lambda s: datetime.fromtimestamp(s, UTC))
ZONE = st.sampled_from(ZONES)
HOUR = st.sampled_from([0, 3, 4])


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("instant", "zone", "hour", "day"),
    [
        ("2026-11-22T14:59:59.999", "Asia/Seoul", 0, "2026-11-22"),
        ("2026-11-22T15:00:00", "Asia/Seoul", 0, "2026-11-23"),
        ("2026-11-22T17:59:59", "Asia/Seoul", 3, "2026-11-22"),
        ("2026-11-22T18:00:00", "Asia/Seoul", 3, "2026-11-23"),
        ("2026-11-22T10:00:00", "Pacific/Kiritimati", 0, "2026-11-23"),
        ("2026-11-22T10:59:59", "Pacific/Pago_Pago", 0, "2026-11-21"),
        # The night in which New York's clocks go from 02:00 to 03:00: 03:30 is past 3 o'clock.
        ("2026-03-08T07:30:00", "America/New_York", 3, "2026-03-08"),
        ("2026-03-08T06:59:59", "America/New_York", 3, "2026-03-07"),
    ],
)
def test_an_instant_counts_for_the_date_it_has_where_the_child_is(
    instant: str, zone: str, hour: int, day: str
) -> None:
    assert local_date(utc(instant), zone, hour) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("day", "at", "zone", "instant"),
    [
        ("2026-11-22", "20:00", "Asia/Seoul", "2026-11-22T11:00:00"),
        ("2026-03-08", "02:30", "America/New_York", "2026-03-08T07:00:00"),  # missing
        ("2026-11-01", "01:30", "America/New_York", "2026-11-01T05:30:00"),  # there twice
        ("2026-10-04", "02:15", "Australia/Lord_Howe", "2026-10-03T15:30:00"),  # half an hour
        ("2011-12-30", "12:00", "Pacific/Apia", "2011-12-30T10:00:00"),  # the day is missing
        ("2018-11-04", "00:00", "America/Sao_Paulo", "2018-11-04T03:00:00"),  # no midnight
    ],
)
def test_a_wall_time_that_is_missing_or_there_twice(
    day: str, at: str, zone: str, instant: str
) -> None:
    found = instant_of(date.fromisoformat(day), time.fromisoformat(at), zone)
    assert found == utc(instant)


@given(INSTANTS, ZONE, HOUR)
def test_a_day_starts_at_its_first_instant(instant: datetime, zone: str, hour: int) -> None:
    day = local_date(instant, zone, hour)
    start = day_start(day, zone, hour)
    assert start <= instant
    assert local_date(start, zone, hour) == day
    assert local_date(start - timedelta(microseconds=1), zone, hour) < day


@given(INSTANTS, st.integers(0, 86_399), ZONE)
def test_a_wall_time_is_the_first_instant_that_shows_it_or_more(
    instant: datetime, second: int, zone: str
) -> None:
    day = instant.date()
    at = (datetime.combine(day, time()) + timedelta(seconds=second)).time()
    found = instant_of(day, at, zone)

    def wall(moment: datetime) -> datetime:
        return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)

    wanted = datetime.combine(day, at)
    assert wall(found) >= wanted
    assert wall(found - timedelta(microseconds=1)) < wanted


@given(INSTANTS, ZONE, ZONE, HOUR)
def test_a_change_counts_from_the_next_local_day(
    now: datetime, old: str, new: str, hour: int
) -> None:
    first = (first_span(old, now - timedelta(days=40), hour),)
    today = date_in(first, now, hour)
    spans = changed(first, new, now, hour)
    start = day_start(today + timedelta(days=1), old, hour)
    assert date_in(spans, start - timedelta(microseconds=1), hour) == today
    assert date_in(spans, start, hour) > today
    much_later = start + timedelta(days=3)
    assert date_in(spans, much_later, hour) == local_date(much_later, new, hour)


MOVES = st.lists(st.tuples(ZONE, st.integers(0, 72 * 3600)), min_size=1, max_size=12)


@settings(max_examples=150)
@given(INSTANTS, MOVES, HOUR)
def test_no_day_is_gained_or_comes_twice_however_the_zone_is_changed(
    start: datetime, moves: list[tuple[str, int]], hour: int
) -> None:
    spans: tuple[ZoneSpan, ...] = (first_span(DEFAULT_ZONE, start, hour),)
    now = start
    seen = date_in(spans, now, hour)
    for zone, wait in moves:
        spans = changed(spans, zone, now, hour)
        assert len(spans) <= SPANS_KEPT
        end = now + CHANGE_EVERY + timedelta(seconds=wait)
        while now < end:
            now += timedelta(minutes=47)
            today = date_in(spans, now, hour)
            assert today >= seen, "a date came again"
            assert today <= local_date(now, "Etc/GMT-14", hour), "a date nowhere begun yet"
            assert today >= local_date(now, "Etc/GMT+12", hour), "a date nowhere left"
            seen = today


def test_a_change_that_has_not_come_yet_is_replaced() -> None:
    now = utc("2026-11-22T03:00:00")
    spans = changed((first_span(DEFAULT_ZONE, now),), "America/New_York", now)
    again = changed(spans, "Europe/Berlin", now)
    assert [span.zone for span in again] == [DEFAULT_ZONE, "Europe/Berlin"]


def test_an_instant_before_the_first_span_is_in_it() -> None:
    span = first_span("Europe/Berlin", utc("2026-11-22T00:00:00"))
    assert span_at((span,), span.since - timedelta(days=9)) == span
    # What was played offline before is of its own date.
    assert date_in((span,), span.since - timedelta(days=2)) == date(2026, 11, 20)


@pytest.mark.parametrize(
    "name", ["", "KST", "asia/seoul", "posix/Asia/Seoul", "../etc/passwd", "+09:00"]
)
def test_only_names_of_the_database_are_zones(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Zone).validate_python(name)
    assert TypeAdapter(Zone).validate_python("Asia/Seoul") == "Asia/Seoul"


@given(st.lists(st.tuples(ZONE, st.integers(0, 90 * 24)), max_size=4), ZONE, INSTANTS, HOUR,
       st.integers(0, 60))  # fmt: skip
def test_a_date_begins_with_the_first_instant_that_counts_for_it(
    changes: list[tuple[str, int]], zone: str, began: datetime, hour: int, days: int
) -> None:
    spans = (first_span(zone, began, hour),)
    now = began
    for to, hours in changes:
        now += timedelta(hours=24 + hours)
        spans = changed(spans, to, now, hour)
    day = date_in(spans, began, hour) + timedelta(days=1 + days)
    begins = start_of(spans, day, hour)
    assert date_in(spans, begins, hour) >= day
    assert date_in(spans, begins - timedelta(microseconds=1), hour) < day
