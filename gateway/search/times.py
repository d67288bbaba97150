"""FHIR dates and times as half-open intervals [low, high), by their precision. Not a clock.

A date without a zone is a day in Denmark (Europe/Copenhagen, with its daylight-saving days of 23 and 25 hours), in a
resource and in a question alike: a reading of 00:30 at home belongs to the day its owner remembers. FHIR leaves this
to the server (R4 search, date: "the server's local time zone should be assumed"). Bounds are in UTC, microseconds.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import zoneinfo
from typing import Any

from gateway.search.query import Prefix

ZONE = zoneinfo.ZoneInfo("Europe/Copenhagen")
OPEN_LOW = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
"""The low of a Period without a start."""
OPEN_HIGH = dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC)
"""The high of a Period without an end."""
_LAST = OPEN_HIGH - dt.timedelta.resolution
"""The latest low: an interval is never empty, also where its zone puts it behind the last year."""

Interval = tuple[dt.datetime, dt.datetime]
_UTC = dt.UTC
_DAY_LENGTH = len("YYYY-MM-DD")
_LENGTH = len("YYYY-MM-DDThh:mm:ss+hh:mm")
_SECOND = dt.timedelta(seconds=1)
_SHAPE = re.compile(
    r"(?P<year>[0-9]{4})(-(?P<month>0[1-9]|1[0-2])(-(?P<day>0[1-9]|[12][0-9]|3[01])"
    r"(T(?P<time>([01][0-9]|2[0-3]):[0-5][0-9](:(?P<second>[0-5][0-9]|60)(\.(?P<fraction>[0-9]{1,9}))?)?)"
    r"(?P<zone>Z|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))?)?)?)?"
)


@functools.lru_cache(maxsize=4096)  # the results of a message were all taken at one time
def interval(text: str) -> Interval:
    """Return what a FHIR date, dateTime or instant covers: a year, month, day, minute, second or fraction of one.

    Raises ValueError when the text is none of them. Times without a zone (a question may have one) are Danish.
    """
    return _date(text) if len(text) <= _DAY_LENGTH else _time(text)


def period(value: dict[str, Any]) -> Interval | None:
    """Return what a Period covers; a missing bound is open; None when it has neither."""
    start, end = value.get("start"), value.get("end")
    if start is None and end is None:
        return None
    return (interval(start)[0] if start is not None else OPEN_LOW, interval(end)[1] if end is not None else OPEN_HIGH)


def timing(value: dict[str, Any]) -> Interval | None:
    """Return the outer limits of a Timing: its events and the bounds of its repetition (R4 search, date)."""
    parts = [interval(event) for event in value.get("event") or () if isinstance(event, str)]
    bounds = (value.get("repeat") or {}).get("boundsPeriod")
    if bounds and (outer := period(bounds)):
        parts.append(outer)
    return (min(low for low, _ in parts), max(high for _, high in parts)) if parts else None


def approximately(low: dt.datetime, high: dt.datetime, now: dt.datetime) -> Interval:
    """Return the interval widened by a tenth of its distance to now on both sides (R4 search, prefix `ap`)."""
    distance = max(low - now, now - high, dt.timedelta())
    return _add(low, -distance / 10), _add(high, distance / 10)


def compare(prefix: Prefix, value: Interval, asked: Interval) -> bool:
    """Say whether a resource's interval stands to the one asked for as the prefix wants (R4 search, prefixes)."""
    (low, high), (from_, to) = value, asked
    within = from_ <= low and high <= to
    match prefix:
        case Prefix.EQ:
            return within
        case Prefix.NE:
            return not within
        case Prefix.GT:
            return high > to
        case Prefix.LT:
            return low < from_
        case Prefix.GE:
            return high > to or within
        case Prefix.LE:
            return low < from_ or within
        case Prefix.SA:
            return low >= to
        case Prefix.EB:
            return high <= from_
        case Prefix.AP:
            return low < to and from_ < high


def _time(text: str) -> Interval:
    try:
        # the common form, quickly: YYYY-MM-DDTHH:MM:SS and a zone
        if text[10] == "T" and (text[19:] == "Z" or (text[22] == ":" and text[20:22] < "14" and len(text) == _LENGTH)):
            low = dt.datetime.fromisoformat(text).astimezone(_UTC)
            return low, low + _SECOND
    except (ValueError, IndexError, OverflowError):
        pass
    return _slow(text)


def _slow(text: str) -> Interval:
    parts = _SHAPE.fullmatch(text)
    if parts is None or parts["time"] is None:
        raise ValueError("not a FHIR date or time")
    second, fraction = parts["second"], parts["fraction"] or ""
    clock = (
        parts["time"][:5] + ":" + ("59" if second == "60" else second or "00")
    )  # a leap second counts to the one before
    low = dt.datetime.fromisoformat(f"{text[:10]}T{clock}").replace(tzinfo=ZONE)
    if parts["zone"]:
        low = dt.datetime.fromisoformat(f"{text[:10]}T{clock}{parts['zone']}")
    low = _add(_utc(low), dt.timedelta(microseconds=int(fraction[:6].ljust(6, "0")) if fraction else 0))
    low = min(low, _LAST)
    if second is None:
        return low, _add(low, dt.timedelta(minutes=1))
    return low, _add(low, dt.timedelta(microseconds=max(1, 10 ** (6 - len(fraction)))) if fraction else _SECOND)


def _date(text: str) -> Interval:
    parts = _SHAPE.fullmatch(text)
    if parts is None or parts["time"] is not None:
        raise ValueError("not a FHIR date or time")
    year, month, day = int(parts["year"]), int(parts["month"] or 1), int(parts["day"] or 1)
    if parts["day"]:
        first = dt.date(year, month, day)
        after = first + dt.timedelta(days=1) if first < dt.date.max else dt.date.max
    elif parts["month"]:
        first = dt.date(year, month, 1)
        after = _first_of(year + month // 12, month % 12 + 1)
    else:
        first, after = dt.date(year, 1, 1), _first_of(year + 1, 1)
    return _midnight(first), OPEN_HIGH if after == dt.date.max else _midnight(after)


def _first_of(year: int, month: int) -> dt.date:
    return dt.date(year, month, 1) if year <= dt.MAXYEAR else dt.date.max


def _midnight(day: dt.date) -> dt.datetime:
    return _utc(dt.datetime(day.year, day.month, day.day, tzinfo=ZONE))


def _utc(moment: dt.datetime) -> dt.datetime:
    try:
        return moment.astimezone(_UTC)
    except OverflowError:
        return OPEN_LOW if moment.year == 1 else OPEN_HIGH


def _add(moment: dt.datetime, by: dt.timedelta) -> dt.datetime:
    try:
        return moment + by
    except OverflowError:
        return OPEN_HIGH if by > dt.timedelta() else OPEN_LOW
