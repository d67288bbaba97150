"""How a Change meets what is stored, so that any order of arrival ends in the same content. Pure; not the store.

Everything a Change says is cut into statements: an element and its value (or that it has none), with a stamp. Of the
statements about one element the one with the greatest stamp holds, whichever came first; so merging is commutative,
associative and idempotent. The stamp is, in this order:

1. the rank of the mode: 1 for MERGE and PUT, 0 for ENSURE and for the elements that `Change.weak` names;
2. the event time, by the sender's clock;
3. the time of reception, by the door's clock. It is kept with the raw message, so a replay has the same: two messages
   of one second keep the order in which they came in, although the order in which they are processed does not matter;
4. the name of the feed; and where all these are equal, the greater JSON text of the value (a value beats no value).

An ENSURE is stamped with the day alone: hundreds of messages a day mention the same practitioner or ward, and after the
first of them the rest change neither content nor state, so that nothing is written.

A PUT is a statement about every element, the absent ones included: it is kept as one floor under all (`*`). What each
kind of element is for merging:

| element | is one thing by | and |
| --- | --- | --- |
| any top-level element | its name | `value[x]` is one element under all its names, `birthDate` with `_birthDate` too |
| identifier | system and value | union; `clear` is a floor under all of them, below which none comes back |
| meta.tag, meta.security | system and code | union |
| meta.profile | the URL | union |
| meta.* otherwise | its name | |
| Encounter.location | place and period.start | union of what was said; shown as a history (`location_history`) |

statusHistory, classHistory, Patient.link, name, telecom, address and contact are top-level elements like any other.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.fhir import location_history
from gateway.fhir.elements import elements
from gateway.formats import json
from gateway.model import Change, Mode, Resource

MergeState = dict[str, list[Any]]
"""Element → `[rank, event time, time of reception, feed]`, times in UTC as text. `*` is the last PUT; `identifier#…`
one member of a union, its key hashed; a place also has, as a fifth, what was said of it. Elements as old as their
floor, which is most of them after a PUT, have no entry. To be kept beside the resource and given back as it was."""

Stamp = tuple[int, str, str, str]

_ALL = "*"
_DAY = len("2026-10-25")
_NEVER: Stamp = (-1, "", "", "")
_UNKNOWN: Stamp = (1, "", "", "")
"""What is stored without a state was PUT some time before."""
_META_UNIONS = {"meta.tag", "meta.security", "meta.profile"}
_PLACES = "location"


@dataclass(slots=True)
class _Held:
    """What is known: `floors` under everything or a union, `parts` with their stamps and values (None: cleared)."""

    floors: dict[str, Stamp] = field(default_factory=dict)
    parts: dict[str, tuple[Stamp, Any]] = field(default_factory=dict)

    def floor(self, part: str) -> Stamp:
        everything = self.floors.get(_ALL, _NEVER)
        return max(self.floors.get(part.partition("#")[0], _NEVER), everything) if "#" in part else everything

    def raise_floor(self, name: str, stamp: Stamp) -> bool:
        if stamp <= self.floors.get(name, _NEVER):
            return False
        self.floors[name] = stamp
        return True

    def meet(self, part: str, stamp: Stamp, value: Any) -> bool:
        known, present = self.parts.get(part) or (self.floor(part), None)
        if stamp > known or (stamp == known and _text(value) > _text(present)):
            self.parts[part] = (stamp, value)
            return True
        return False


def merge(
    stored: Resource | None, state: MergeState | None, change: Change, *, feed: str, received_at: dt.datetime
) -> tuple[Resource, MergeState, bool]:
    """Return the content after a change, who stated what, and whether the change was late.

    Late: something stated here, with more than ENSURE, happened after it. It has filled gaps at most. Whether anything
    changed, the caller sees by the bytes: equal content has equal `body.prepare`, its elements in the order of R4.
    Nothing that is given is altered. `stored` without `state` counts as PUT at an unknown earlier time.
    """
    resource_type = change.resource["resourceType"]
    event_time = _utc(change.event_time or received_at)
    said = dict(_parts(resource_type, change.resource))
    if change.mode is Mode.ENSURE:
        stamp: Stamp = (0, event_time[:_DAY], "", "")
        if stored is not None and state is not None and _stated(said, state):
            return stored, state, False
    else:
        stamp = (1, event_time, _utc(received_at), feed)
    if stored is None and not change.clear and change.mode is not Mode.PUT:
        held = _first(change, said, stamp)
        return _resource(resource_type, change.resource["id"], held), _state(held), False
    held = _read(resource_type, stored, state)
    known = (*held.floors.values(), *(part[0] for part in held.parts.values()))
    late = change.mode is not Mode.ENSURE and any(rank > 0 and event_time < when for rank, when, _, _ in known)
    if not _apply(held, change, said, stamp) and stored is not None and state is not None:
        return stored, state, late
    _settle(held)
    return _resource(resource_type, change.resource["id"], held), _state(held), late


def _first(change: Change, said: dict[str, Any], stamp: Stamp) -> _Held:
    """Return what is known when this is the first thing that is said: all of it, and nothing else."""
    weakly: Stamp = (0, *stamp[1:])
    weak = {_group(change.resource["resourceType"], name) for name in change.weak} if change.mode is Mode.MERGE else ()
    return _Held({}, {part: (weakly if part in weak else stamp, value) for part, value in said.items()})


def put_state(event_time: dt.datetime, received_at: dt.datetime, feed: str) -> MergeState:
    """Return the state of a resource that was stored by a PUT without `merge`, for the first `merge` after it."""
    return {_ALL: [1, _utc(event_time), _utc(received_at), feed]}


def _stated(said: dict[str, Any], state: MergeState) -> bool:
    """Say whether each of these parts, or everything, has been stated with more than ENSURE: the frequent case."""
    return _ALL in state or all(part in state and state[part][0] > 0 for part in said)


def _apply(held: _Held, change: Change, said: dict[str, Any], stamp: Stamp) -> bool:
    """Let what a change says meet what is known; return whether any of it is news."""
    resource_type = change.resource["resourceType"]
    news = change.mode is Mode.PUT and held.raise_floor(_ALL, stamp)
    weak = {_group(resource_type, name) for name in change.weak} if change.mode is Mode.MERGE else set()
    for part, value in said.items():
        news |= held.meet(part, (0, *stamp[1:]) if part in weak else stamp, value)
    if change.mode is Mode.MERGE:
        for name in change.clear:
            group = _group(resource_type, name)
            if _is_union(resource_type, group):
                news |= held.raise_floor(group, stamp)
            elif group not in said:
                news |= held.meet(group, stamp, None)
    return news


def _parts(resource_type: str, resource: Resource) -> Iterator[tuple[str, Any]]:
    """Cut a resource into parts: group → {name: value}, or one member of a union."""
    groups: dict[str, dict[str, Any]] = {}
    for name, value in resource.items():
        if name == "meta":
            for inner, inner_value in value.items():
                groups.setdefault(f"meta.{inner.lstrip('_')}", {})[inner] = inner_value
        elif name not in {"resourceType", "id"}:
            groups.setdefault(_group(resource_type, name), {})[name] = value
    for group, members in groups.items():
        if _is_union(resource_type, group):
            for item in members.get(group.rpartition(".")[2], ()):
                yield f"{group}#{_key(group, item)}", item
        elif group not in {"meta.versionId", "meta.lastUpdated"}:
            yield group, members if len(members) == 1 else dict(sorted(members.items()))


@functools.cache
def _group(resource_type: str, name: str) -> str:
    """Return the name under which an element is one thing: `deceased[x]` for deceasedBoolean and _deceasedDateTime."""
    plain = name.removeprefix("_")
    element = elements(resource_type).get(plain)
    return f"{element.choice}[x]" if element is not None and element.choice else plain


@functools.cache
def _is_union(resource_type: str, group: str) -> bool:
    if group == "identifier":
        return elements(resource_type)["identifier"].many
    return group in _META_UNIONS or (group == _PLACES and resource_type == "Encounter")


def _key(group: str, item: Any) -> str:
    """Return what makes a member of a union itself, hashed: an identifier's value belongs in no key."""
    key: Any = item
    if group == _PLACES:
        key = location_history.key(item)
    elif isinstance(item, dict):
        names = ("system", "value") if group == "identifier" else ("system", "code")
        if names[1] in item:
            key = [item.get(name) for name in names]
    return hashlib.blake2b(json.dumps(key), digest_size=8).hexdigest()


def _text(value: Any) -> bytes:
    return b"" if value is None else json.dumps(value)


def _utc(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds")


def _read(resource_type: str, stored: Resource | None, state: MergeState | None) -> _Held:
    held = _Held()
    if stored is None:
        return held
    entries: MergeState = {_ALL: [*_UNKNOWN]} if state is None else state
    for part, entry in entries.items():
        rank, event_time, received, feed, *said = entry
        stamp = (rank, event_time, received, feed)
        if part == _ALL or _is_union(resource_type, part):
            held.floors[part] = stamp
        else:
            held.parts[part] = (stamp, said[0] if said else None)
    shown = any(part.startswith(f"{_PLACES}#") for part in held.parts) and resource_type == "Encounter"
    for part, value in _parts(resource_type, stored):
        if not (shown and part.startswith(f"{_PLACES}#")):  # what is shown of places is made from what was said of them
            held.parts[part] = (held.parts[part][0] if part in held.parts else held.floor(part), value)
    return held


def _settle(held: _Held) -> None:
    """Forget what lies under its floor, and a cleared element that its floor clears as well."""
    for part, (stamp, value) in list(held.parts.items()):
        floor = held.floor(part)
        if stamp < floor or (stamp == floor and value is None):
            del held.parts[part]


def _state(held: _Held) -> MergeState:
    everything = held.floors.get(_ALL, _NEVER)
    state = {name: [*stamp] for name, stamp in held.floors.items() if name == _ALL or stamp > everything}
    for part, (stamp, value) in held.parts.items():
        if part.startswith(f"{_PLACES}#"):
            state[part] = [*stamp, value]
        elif stamp != held.floor(part):
            state[part] = [*stamp]
    return dict(sorted(state.items()))


def _resource(resource_type: str, resource_id: str, held: _Held) -> Resource:
    found: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    unions: dict[str, list[tuple[Stamp, Any]]] = {}
    for part, (stamp, value) in held.parts.items():
        group, is_member, _ = part.partition("#")
        if is_member:
            unions.setdefault(group, []).append((stamp, value))
        elif value is not None:
            (meta if group.startswith("meta.") else found).update(value)
    for group, members in unions.items():
        target = meta if group.startswith("meta.") else found
        target[group.rpartition(".")[2]] = _union(group, members)
    places = _places(resource_type)
    order = sorted(found, key=lambda name: (places.get(name, len(places)), name))
    head: Resource = {"resourceType": resource_type, "id": resource_id}
    if meta:
        head["meta"] = dict(sorted(meta.items()))
    return head | {name: found[name] for name in order}


@functools.cache
def _places(resource_type: str) -> dict[str, int]:
    """Return the place of each name in the order of R4, that of `_birthDate` right after `birthDate`."""
    names = [name for element in elements(resource_type) for name in (element, f"_{element}")]
    return {name: place for place, name in enumerate(names)}


def _union(group: str, members: list[tuple[Stamp, Any]]) -> list[Any]:
    if group == _PLACES:
        return location_history.show([(entry, stamp[1]) for stamp, entry in members])
    return sorted((value for _, value in members), key=lambda value: _order(group, value))


def _order(group: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, dict):
        return (str(value),)
    inner = "value" if group == "identifier" else "code"
    return (str(value.get("system", "")), str(value.get(inner, "")), json.dumps(value).decode())
