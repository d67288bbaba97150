"""References between what one request brings: `urn:uuid:…` of an entry, an entry's fullUrl, `Patient?identifier=…`.

Found once, so that they can be set again when the store has moved and the ids are others. FHIR R4 http, transaction
rules: references, every other uri (extensions, canonicals), and href and src in narratives; an Identifier.value or a text
is none of these, and stays.

A literal reference to a resource below this API's own address becomes a relative one, which means the same (R4
references.html#literal): so a search, a chain, a compartment and access find one form of it. Within a Bundle that is kept
as it is (a document) nothing is, since there it may mean an entry.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway import errors
from gateway.fhir.elements import uri_names
from gateway.search.query import Query
from gateway.serve import conditional
from gateway.serve.step import Step

_CONDITIONAL: Final = re.compile(r"([A-Z][A-Za-z]{0,63})\?(.+)", re.DOTALL)
_URN: Final = ("urn:uuid:", "urn:oid:")
_IN_NARRATIVE: Final = re.compile(r"""((?:href|src)\s*=\s*["'])([^"']+)""")
_HERE: Final = re.compile(r"[A-Z][A-Za-z]{0,63}/[A-Za-z0-9\-.]{1,64}(/_history/[A-Za-z0-9\-.]{1,64})?")
_RESTFUL: Final = re.compile(r"https?://.*/([A-Z][A-Za-z]{0,63}/[A-Za-z0-9\-.]{1,64})")


@dataclass(slots=True)
class Slot:
    """One value that stands for a resource: where it is kept, what was written there, where that is in the request."""

    owner: Any
    key: Any
    written: str
    at: str
    question: Query | None = None
    """Of a conditional reference."""


@dataclass(slots=True)
class Links:
    """The slots of a request. `known` are the addresses of its entries."""

    slots: list[Slot] = field(default_factory=list)

    @property
    def questions(self) -> list[Query]:
        """The questions of conditional references, each once."""
        return list(dict.fromkeys(slot.question for slot in self.slots if slot.question is not None))

    def set(self, targets: Mapping[str, str], answers: Mapping[Query, str]) -> None:
        """Write into every slot what it stands for: `targets` by address, `answers` by question (`Type/id`)."""
        for slot in self.slots:
            if slot.question is not None:
                slot.owner[slot.key] = answers[slot.question]
            elif slot.key == "div":
                slot.owner[slot.key] = _IN_NARRATIVE.sub(
                    lambda found: found[1] + targets.get(found[2], found[2]), slot.written
                )
            else:
                slot.owner[slot.key] = targets.get(slot.written, slot.written)


def addresses(steps: Sequence[Step]) -> dict[str, Step]:
    """Return every address that stands for a step's resource. Raises Incorrect when two have the same."""
    found: dict[str, Step] = {}
    short: dict[str, list[Step]] = {}
    for step in steps:
        if step.address and step.resource is not None:
            if step.address in found:
                raise errors.Incorrect(
                    "two entries have the same fullUrl", at=step.at.removesuffix("resource") + "fullUrl"
                )
            found[step.address] = step
            if restful := _RESTFUL.fullmatch(step.address):
                short.setdefault(restful[1], []).append(step)
    # a relative reference is below the server that its entry comes from (R4 bundle, resolving references)
    return found | {name: those[0] for name, those in short.items() if len(those) == 1 and name not in found}


def find(steps: Sequence[Step], known: Collection[str], *, linked: bool, now: dt.datetime, base: str) -> Links:
    """Return what stands for something else in the resources of steps. Raises Incorrect for a broken one.

    `linked`: of a transaction, in which a `urn:` reference is to an entry (also when no entry has an address).
    """
    links = Links()
    for step in steps:
        if step.resource is not None:
            links.slots += _slots(step.resource, step.at or step.type, known, linked, now, base)
    return links


_Trail = tuple[Any, str | int] | None
"""The way down to a value: what leads to its owner, and its name or place there. Written out when somebody asks."""


def _slots(
    resource: dict[str, Any], at: str, known: Collection[str], linked: bool, now: dt.datetime, base: str
) -> Iterator[Slot]:
    """Walk a valid resource, in which no array holds arrays."""
    addresses = uri_names()
    here = f"{base}/" if base and resource["resourceType"] != "Bundle" else "\0"
    waiting: list[tuple[dict[str, Any], _Trail]] = [(resource, None)]
    while waiting:
        owner, trail = waiting.pop()
        for name, value in owner.items():
            kind = type(value)
            if kind is str:
                if name == "reference":
                    if value in known:
                        yield Slot(owner, name, value, _path(at, trail))
                    elif linked and value.startswith(_URN):
                        raise errors.Incorrect(
                            "no entry has the fullUrl that this reference names", at=f"{_path(at, trail)}.reference"
                        )
                    elif value.startswith(here):
                        owner[name] = _relative(value, here)
                    elif "?" in value:
                        yield from _reference(owner, value, _path(at, trail), now, base)
                elif known and (name == "div" or (value in known and name in addresses)):
                    yield Slot(owner, name, value, _path(at, trail))
            elif kind is dict:
                waiting.append((value, (trail, name)))
            elif kind is list:
                below = (trail, name)
                for place, item in enumerate(value):
                    if type(item) is dict:
                        waiting.append((item, (below, place)))
                    elif known and name in addresses and item in known:
                        yield Slot(value, place, item, _path(at, below))


def relative(resource: dict[str, Any], base: str) -> None:
    """Make the references of a valid resource relative that are below `base`, in place: of what a patch has made."""
    here = f"{base}/"
    if resource["resourceType"] == "Bundle":
        return
    waiting: list[Any] = [resource]
    while waiting:
        owner = waiting.pop()
        if type(owner) is list:
            waiting += owner
        elif type(owner) is dict:
            written = owner.get("reference")
            if type(written) is str and written.startswith(here):
                owner["reference"] = _relative(written, here)
            waiting += owner.values()


def _relative(written: str, here: str) -> str:
    rest = written.removeprefix(here)
    return rest if _HERE.fullmatch(rest) else written


def _path(at: str, trail: _Trail) -> str:
    steps: list[str] = []
    while trail is not None:
        trail, step = trail
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return at + "".join(reversed(steps))


def _reference(owner: dict[str, Any], written: str, at: str, now: dt.datetime, base: str) -> Iterator[Slot]:
    found = _CONDITIONAL.fullmatch(written)
    if found is None:
        return
    pairs = conditional.criteria(found[2], f"{at}.reference")
    try:
        query = conditional.question(found[1], pairs, now=now, base=base, at=f"{at}.reference")
    except errors.NotFound:
        raise errors.Incorrect("a conditional reference begins with a resource type", at=f"{at}.reference") from None
    yield Slot(owner, "reference", written, f"{at}.reference", query)
