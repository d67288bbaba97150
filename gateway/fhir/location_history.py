"""Encounter.location as a history, made from all that was ever said of a visit's places. Pure, and not a store of it.

Senders say four things: "at X since t" (a stay with a start), "at X" in passing (no start), "left X at t" or "was at X"
(completed, no start), and "X is planned or reserved". `show` gives the same history for the same statements in whatever
order they came:

* stays stand in the order of their starts;
* something said in passing adds nothing where a stay covers it; "left X" ends the stay that it is about;
* at most one place is active: the latest. An earlier one that nobody ended is completed at the start of the next.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

Entry = dict[str, Any]


def key(entry: Entry) -> list[Any]:
    """Return what makes two statements about the same stay: the place, and when it began (None: not said)."""
    return [_place(entry), entry.get("period", {}).get("start")]


def _place(entry: Entry) -> list[Any]:
    location = entry.get("location", {})
    identifier = location.get("identifier", {})
    if "reference" in location:
        return [location["reference"]]
    if "value" in identifier:
        return [identifier.get("system"), identifier["value"]]
    return [location.get("display"), entry.get("physicalType")]


def show(said: list[tuple[Entry, str]]) -> list[Entry]:
    """Return the history. `said`: entries in any order, each with the event time (UTC text) of its message."""
    ordered = sorted(said, key=lambda one: (_moment(*one), str(key(one[0]))))
    stays = [entry for entry, _ in ordered if _start(entry)]
    times = [_start(entry) for entry in stays]
    for entry, event_time in ordered:
        if not _start(entry) and not _covered(entry, event_time, stays):
            moment = _moment(entry, event_time)
            at = sum(time <= moment for time in times)
            stays.insert(at, entry)
            times.insert(at, moment)
    return _one_active(stays)


def _covered(entry: Entry, event_time: str, stays: list[Entry]) -> bool:
    """Say whether a stay with a start is what an entry without one speaks of, and end it where the entry does."""
    moment = _moment(entry, event_time)
    about = [at for at, stay in enumerate(stays) if _place(stay) == _place(entry) and "" < _start(stay) <= moment]
    if not about or entry.get("status") not in {"active", "completed"}:
        return False
    stay = stays[about[-1]]
    end, said_end = _utc(stay["period"].get("end", "")), entry.get("period", {}).get("end")
    if entry["status"] == "active":
        return not end or end > moment
    if said_end and not end:
        stays[about[-1]] = {**stay, "status": "completed", "period": {**stay["period"], "end": said_end}}
    return True


def _one_active(stays: list[Entry]) -> list[Entry]:
    shown = list(stays)
    following = ""
    active_after = False
    for at in range(len(shown) - 1, -1, -1):
        entry = shown[at]
        if entry.get("status") == "active":
            if active_after:
                shown[at] = _ended(entry, following)
            active_after = True
        if entry.get("status") in {"active", "completed"}:
            following = entry.get("period", {}).get("start") or following
    return shown


def _ended(entry: Entry, end: str) -> Entry:
    period = entry.get("period", {})
    if end and "end" not in period:
        period = {**period, "end": end}
    return {**entry, "status": "completed", **({"period": period} if period else {})}


def _start(entry: Entry) -> str:
    return _utc(entry.get("period", {}).get("start", ""))


def _moment(entry: Entry, event_time: str) -> str:
    """Return when an entry is about: its start, else its end, else when it was said."""
    return _start(entry) or _utc(entry.get("period", {}).get("end", "")) or event_time


def _utc(text: str) -> str:
    """Return a FHIR dateTime as text that sorts by time; partial dates sort as their beginning."""
    if "T" not in text:
        return text
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:  # a leap second
        return text
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds") if moment.tzinfo else text
