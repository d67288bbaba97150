"""HL7 v2 points in time (TS, DTM, DT, TM) → FHIR date, dateTime, instant, time.

A time of day without a zone is on the feed's wall clock: the zone's own daylight-saving rules decide its offset. The
hour that comes twice is read as the first, the hour that never comes as winter time; both are told. Sources: HL7 v2.9
§2.A.22, HL7 v2-to-FHIR DTM[dateTime], FHIR R4 data types.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

_DTM = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(\.\d+)?)?)?)?)?)?(?:([+-])(\d\d)(\d\d))?(?:\^.*)?", re.ASCII
)
_TM = re.compile(r"(\d\d)(?:(\d\d)(?:(\d\d)(\.\d{1,9})?)?)?(?:[+-]\d{4})?", re.ASCII)
_OFFSET_HOURS_MAX: Final = 14
_FRACTION_DIGITS_MAX: Final = 9
_DATE_LENGTH: Final = len("2026-11-22")
_PRECISIONS: Final = {"Y": 4, "L": 6, "D": 8, "H": 10, "M": 12, "S": 14}


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time as FHIR writes it. `at` is None when no time of day was sent."""

    date: str
    """FHIR date, as precise as sent: `2019`, `2019-04`, `2019-04-23`."""
    date_time: str
    """FHIR dateTime; with a time of day it has seconds and a zone."""
    at: dt.datetime | None = None
    notice: str = ""
    """`zone-assumed` for the hour that comes twice, `time-nonexistent` for the one that never comes."""

    def instant(self) -> str | None:
        """Return the moment as a FHIR instant, or None when no time of day was sent."""
        return self.date_time if self.at is not None else None


def read(text: str, zone: ZoneInfo) -> Moment | None:
    """Return the moment that a DTM states, None when it is none (out of range, zeros, letters).

    `text` is the raw field; TS-2, the degree of precision of old versions, cuts it.
    """
    text = text.strip()
    value, _, precision = text.partition("^")
    value = value.strip()
    if precision in _PRECISIONS and value[: _PRECISIONS[precision]].isdigit():
        value = value[: _PRECISIONS[precision]]
    found = _DTM.fullmatch(value)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = found.groups()
    if month is None:
        return Moment(year, year) if year != "0000" else None
    try:
        plain = dt.datetime.combine(
            dt.date(int(year), int(month), int(day or 1)), dt.time(int(hour or 0), int(minute or 0), int(second or 0))
        )
    except ValueError:
        return None
    date = f"{year}-{month}" if day is None else f"{year}-{month}-{day}"
    if hour is None:
        return Moment(date, date)
    if sign:
        if int(zone_hours) > _OFFSET_HOURS_MAX or int(zone_minutes) > 59:  # noqa: PLR2004
            return None
        offset = dt.timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
        at, notice = plain.replace(tzinfo=dt.timezone(-offset if sign == "-" else offset)), ""
        suffix = f"{sign}{zone_hours}:{zone_minutes}"
    else:
        at, notice = _on_wall_clock(plain, zone)
        suffix = f"{at:%z}"
        suffix = f"{suffix[:3]}:{suffix[3:5]}"
    fraction = (fraction or "")[: _FRACTION_DIGITS_MAX + 1]
    micros = int(fraction[1:7].ljust(6, "0")) if fraction else 0
    date_time = f"{date}T{hour}:{minute or '00'}:{second or '00'}{fraction}{suffix}"
    return Moment(date, date_time, at.replace(microsecond=micros), notice)


def _on_wall_clock(plain: dt.datetime, zone: ZoneInfo) -> tuple[dt.datetime, str]:
    at = plain.replace(tzinfo=zone)
    first, second = at.utcoffset(), at.replace(fold=1).utcoffset()
    if first == second or first is None or second is None:
        return at, ""
    return at, "zone-assumed" if first > second else "time-nonexistent"


def read_time(text: str) -> str | None:
    """Return a FHIR time (`15:01:00`) from a TM, None when it is none. FHIR times have no zone: one sent is dropped."""
    found = _TM.fullmatch(text.strip())
    if found is None:
        return None
    hour, minute, second, fraction = found.groups()
    if int(hour) > 23 or int(minute or 0) > 59 or int(second or 0) > 59:  # noqa: PLR2004
        return None
    return f"{hour}:{minute or '00'}:{second or '00'}{fraction or ''}"


def write(moment: dt.datetime) -> str:
    """Return an aware datetime as a FHIR dateTime, to the second, or finer where it is finer."""
    return moment.isoformat(timespec="seconds" if moment.microsecond == 0 else "milliseconds")


def is_reversed(start: str, end: str) -> bool:
    """Tell whether a FHIR dateTime `end` lies before `start`, as far as the less precise of them says."""
    if len(start) > _DATE_LENGTH and len(end) > _DATE_LENGTH:
        return dt.datetime.fromisoformat(end) < dt.datetime.fromisoformat(start)
    length = min(len(start), len(end), _DATE_LENGTH)
    return end[:length] < start[:length]
