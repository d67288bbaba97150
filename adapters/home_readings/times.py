"""When a reading was taken: the sender's text → a moment, and what to do about a clock that is wrong.

A time without a zone gets the feed's zone with its daylight-saving rules; an hour that occurs twice is the first
(summer) one. Where the sender also says what its own clock showed when it sent (`sent_at`), the difference to our
door's clock corrects the reading. Source of the limits: the gateway's rule for device feeds (README.md, "Time"),
after the HL7 PHD implementation guide's rules for coincident timestamps.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from adapters.home_readings.refusals import ReadingRefusedError
from gateway.model import RejectionCode

KEEP_WITHIN = dt.timedelta(seconds=60)
"""A clock that is off by no more than this is left alone: transport alone takes seconds."""
CORRECT_WITHIN = dt.timedelta(hours=48)
AHEAD_MAX = dt.timedelta(minutes=5)
"""How far ahead of our clock a reading may be when nothing is known about the sender's clock."""
EARLIEST = dt.datetime(2005, 1, 1, tzinfo=dt.UTC)
"""Device clocks that lost their battery start again at 1970 or 2000; no home feed is as old as that."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(\.\d{1,9})?(Z|[+-](?:0\d|1[0-3]):?[0-5]\d|[+-]14:?00)?", re.ASCII
)


class Moment(NamedTuple):
    """A reading's time: the instant, FHIR's text for it, and the instant that the sender's clock showed."""

    at: dt.datetime
    text: str
    key: str
    """Microseconds since 1970 by the sender's clock: the same however the text was written, corrected or not."""
    original: str
    """The sender's own time where it was corrected, else ''."""
    assumed: bool
    """The zone was not in the text."""


_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@functools.cache
def zone(name: str) -> ZoneInfo:
    """Return the rules of a time zone; they are read once."""
    return ZoneInfo(name)


def parse(value: Any, at: str, zone_name: str) -> Moment:
    """Read `2026-03-29T02:30[:00[.123]][Z|±hh:mm]`. Raises ReadingRefusedError (value-invalid)."""
    shape = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if shape is None:
        raise ReadingRefusedError(
            RejectionCode.VALUE_INVALID, at, "a time is a text like 2026-11-22T08:30:00+01:00, with hours and minutes"
        )
    date, clock, seconds, fraction, offset = shape.groups()
    if offset is not None and offset != "Z" and ":" not in offset:
        offset = f"{offset[:3]}:{offset[3:]}"
    try:
        moment = dt.datetime.fromisoformat(f"{date}T{clock}{seconds or ':00'}{(fraction or '')[:7]}{offset or ''}")
        if offset is None:
            moment = moment.replace(tzinfo=zone(zone_name))
            offset = moment.isoformat()[-6:]
        since = (moment - _EPOCH) // dt.timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise ReadingRefusedError(RejectionCode.VALUE_INVALID, at, "a date or time that does not exist") from None
    text = f"{date}T{clock}{seconds or ':00'}{fraction or ''}{offset}"
    return Moment(moment, text, str(since), "", shape.group(5) is None)


def parse_fhir(value: Any, at: str, zone_name: str) -> Moment:
    """Read a FHIR dateTime, which may be a date alone: its moment is then the day's first in the feed's zone."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        moment = parse(f"{value}T00:00", at, zone_name)
        return Moment(moment.at, value, value, "", assumed=False)
    return parse(value, at, zone_name)


class SenderClock:
    """What is known of one sender's clock: our reception, and its own time at sending where it was given."""

    def __init__(self, received_at: dt.datetime, sent: Moment | None, *, placed: bool = False) -> None:
        """`placed`: a gateway has put the readings on a right timeline already, as HL7 PHD asks of it."""
        self._received_at = received_at
        self._latest = received_at + AHEAD_MAX
        self._sent = sent
        self._earliest = EARLIEST if not placed else None
        self._off = received_at - sent.at if sent else dt.timedelta(0)
        # A whole minute, so that the seconds a re-sending takes give the same corrected time, not a new version.
        self._shift = dt.timedelta(minutes=round(self._off / dt.timedelta(minutes=1)))

    def place(self, moment: Moment, at: str) -> Moment:
        """Return the moment as it stands, or corrected. Raises ReadingRefusedError (clock)."""
        if self._sent is None:
            if moment.at > self._latest:
                raise ReadingRefusedError(RejectionCode.CLOCK, at, "more than five minutes after it was received")
        else:
            if abs(self._off) > CORRECT_WITHIN:
                raise ReadingRefusedError(
                    RejectionCode.CLOCK, "sent_at", "the sender's clock is more than 48 hours off: it cannot be placed"
                )
            if moment.at > self._sent.at + KEEP_WITHIN:
                raise ReadingRefusedError(RejectionCode.CLOCK, at, "after the time at which the sender says it sent it")
            if abs(self._off) > KEEP_WITHIN:
                moment = self._corrected(moment, at)
        if self._earliest is not None and moment.at < self._earliest:
            raise ReadingRefusedError(RejectionCode.CLOCK, at, "before 2005: a clock that was never set")
        return moment

    def _corrected(self, moment: Moment, at: str) -> Moment:
        try:
            right = (moment.at.astimezone(dt.UTC) + self._shift).astimezone(moment.at.tzinfo)
        except OverflowError:
            raise ReadingRefusedError(RejectionCode.CLOCK, at, "a clock that cannot be placed") from None
        return Moment(right, right.isoformat(), moment.key, moment.text, moment.assumed)
