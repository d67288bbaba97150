"""Two worlds that differ only in what one caller may not see: the same resources for him, and whatever else for others."""

from __future__ import annotations

import copy
import datetime as dt
import random
from dataclasses import dataclass, field, replace

from gateway.access import Actor, Policy, Purpose, Sight
from gateway.access.policy import DEFAULT
from gateway.access.scopes import Letter
from gateway.fhir import body as bodies
from gateway.formats import json
from gateway.model import Mode, Resource
from gateway.search import within
from gateway.search.index import extract
from gateway.search.indexed import reference
from gateway.store.port import Batch, Write
from tests.contracts import stores
from tests.leaks.gateway import Gateway, citizen, staff
from tests.leaks.populated import KINDS, MOMENTS, SORS, Populated

AT = MOMENTS[1]
_STEP = dt.timedelta(seconds=7)
_SLOTS_AT_ONCE = 12

CALLERS: dict[str, Actor] = {
    "citizen": citizen("p1"),
    "merged": citizen("p1", records=("Patient/p4",)),
    "parent": citizen("p2", on_behalf_of="Patient/p3"),
    "treats": staff(SORS[0]),
    "treats elsewhere": staff(SORS[3], authorisation="BCD01"),
    "launched": staff(SORS[1], "patient/*.cruds", patient="Patient/p0"),
    "constrained": citizen("p4", "patient/Observation.rs?status=final&date=ge2025", "patient/Observation.rs?value-quantity=gt1", "patient/Patient.rs?gender=male", "patient/RiskAssessment.rs?probability=gt0.3", "patient/Provenance.rs", "patient/Encounter.rs", "patient/Organization.rs"),
    "jumps": staff(SORS[2], purpose=Purpose.VAERDISPRING, patient="Patient/p5", reason="bevidstløs"),
}  # fmt: skip


@dataclass
class Slot:
    """A resource's versions in one world; none where it is not there."""

    versions: list[Resource] = field(default_factory=list)

    @property
    def now(self) -> Resource | None:
        return self.versions[-1] if self.versions else None


def first_world(seed: int) -> list[Slot]:
    """A slot for each resource, in the order of their kinds; some with an older version that was another's."""
    made = Populated(seed)
    slots = []
    for kind, number in KINDS.items():
        for place in range(number):
            now = made.resource(kind, place)
            past = [made.resource(kind, place)] if made.random.random() < 0.25 else []
            slots.append(Slot([*past, now]))
    made.random.shuffle(slots)
    return slots


def visible(slots: list[Slot], who: Actor, policy: Policy = DEFAULT) -> dict[str, Resource]:
    """What there is for a caller: the scopes of all of them open reads and searches alike."""
    now = [slot.now for slot in slots if slot.now is not None]
    world = within.World.of(now)
    sight = Sight(who, Letter.SEARCH, AT, policy)
    reaches = {kind: sight.of(kind) for kind in KINDS}
    assert reaches == {kind: replace(sight, letter=Letter.READ).of(kind) for kind in KINDS}
    return {
        f"{one['resourceType']}/{one['id']}": one
        for one in now
        if within.sees(reaches[one["resourceType"]], one, world)
    }


def second_world(slots: list[Slot], who: Actor, chance: random.Random) -> tuple[list[Slot], int]:
    """The same for a caller, and as different as can be for others; and in how many slots it differs."""
    there = visible(slots, who)
    made = [Slot(list(slot.versions)) for slot in slots]
    places = [place for place, slot in enumerate(slots) if _name(slot) not in there]
    chance.shuffle(places)
    different = 0
    for start in range(0, len(places), 8):
        some = places[start : start + 8]
        kept = [made[place] for place in some]
        for place in some:
            made[place] = _other(made[place], chance)
        if visible(made, who) == there:
            different += len(some)
            continue
        for place, slot in zip(some, kept, strict=True):  # one of them decides about something else: one by one
            other = _other(slot, chance)
            made[place] = slot
            trial = made.copy()
            trial[place] = other
            if visible(trial, who) == there:
                made[place] = other
                different += 1
    mine = _mine(who, slots, made)
    for place in range(len(slots)):
        if _name(slots[place]) in there and len(slots[place].versions) > 1:
            different += _other_past(made[place], mine, chance)
    return made, different


def _name(slot: Slot) -> str:
    assert slot.now is not None
    return f"{slot.now['resourceType']}/{slot.now['id']}"


def _other(slot: Slot, chance: random.Random) -> Slot:
    """Something else in the place of what is hidden: nothing, or another content."""
    if slot.now is None or chance.random() < 0.4:
        return Slot()
    fresh = Populated(chance.randrange(1 << 30))
    kind, number = slot.now["resourceType"], int(slot.now["id"][1:])
    return Slot([fresh.resource(kind, number) for _ in range(chance.randint(1, 3))])


def _other_past(slot: Slot, mine: set[int], chance: random.Random) -> bool:
    """Change an older version that the caller may not see into another that he may not see."""
    past = slot.versions[0]
    now = slot.now
    assert now is not None
    for _ in range(4):
        other = copy.deepcopy(past)
        if not isinstance(other.get("subject"), dict):
            return False
        other["subject"] = {"reference": f"Patient/p{chance.randrange(6)}"}
        other["meta"] = {**other.get("meta", {}), "security": []}
        if _hidden(past, mine) and _hidden(other, mine) and other != past:
            slot.versions[0] = other
            return True
    return False


def _mine(who: Actor, *worlds: list[Slot]) -> set[int]:
    """The records that a citizen's caller may see in any of some worlds, by the links there; none of another caller."""
    name = who.patient or who.on_behalf_of or who.person
    now = [[slot.now for slot in slots if slot.now is not None] for slots in worlds]
    return {one for some in now for one in within.World.of(some).records(reference("patient", name))} if name else set()


def _hidden(resource: Resource, mine: set[int]) -> bool:
    """Whether a citizen's caller cannot see a content whatever else there is."""
    subject = resource.get("subject", {})
    return bool(mine) and isinstance(subject, dict) and reference("patient", subject.get("reference", "")) not in mine


def load(gateway: Gateway, slots: list[Slot]) -> None:
    """Put a world into a gateway, slot by slot, at moments that go by slots."""
    gateway.clock.at = AT - dt.timedelta(days=2)
    for turn in range(max(len(slot.versions) for slot in slots)):
        for start in range(0, len(slots), _SLOTS_AT_ONCE):
            gateway.clock.advance(_STEP)
            some = [slot.versions[turn] for slot in slots[start : start + _SLOTS_AT_ONCE] if turn < len(slot.versions)]
            if some:
                gateway.runner.run(gateway.store.apply(Batch([stores.message(*map(_write, some, [turn] * len(some)))])))
    gateway.clock.at = AT


def _write(resource: Resource, turn: int) -> Write:
    body = bodies.prepare(json.loads(json.dumps(resource)))
    return Write(
        type=resource["resourceType"],
        id=resource["id"],
        mode=Mode.PUT,
        body=body,
        digest=bodies.content_digest(body),
        event_time=stores.NOON + dt.timedelta(minutes=turn),
        index=extract(resource),
    )


def known(gateway: Gateway) -> None:
    for name, who in CALLERS.items():
        gateway.know(name, replace(who))
