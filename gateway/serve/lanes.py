"""On which lane a written resource travels: that of the person it is about, the same that feeds put the person on.

A Patient with a Danish person number has the keyed hash of it; another one keeps the lane it has in the store, or gets a
keyed hash of its own reference. What is about a Patient has that Patient's lane; all else has none ('').
"""

from __future__ import annotations

import asyncio
import functools
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

from gateway.fhir import persons
from gateway.model import Lane, PersonKey, Resource
from gateway.search import parameters
from gateway.search.parameters import Step
from gateway.store.port import Store

_REMEMBERED_MAX: Final = 20_000
_REMEMBERED_SECONDS: Final = 10.0
"""A feed, or another process, may learn a Patient's person number: for so long the lane from before goes on."""
_FEW: Final = 4
_PATIENT: Final = re.compile(r"Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/[0-9]+)?")


class Lanes:
    """Finds lanes. `keyed` is `fhir.ids.Ids.lane`; lanes of stored Patients are remembered."""

    def __init__(self, store: Store, keyed: Callable[[PersonKey], Lane]) -> None:
        self._store = store
        self._keyed = keyed
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """Lane and until when, by the clock that only goes on."""

    async def of(self, resources: Sequence[Resource], *, new: Collection[str] = ()) -> list[str]:
        """Return the lane of each resource, whose references are resolved. Patients among them count for the others.

        `new` are ids that the store does not have yet.
        """
        own: dict[str, str] = {}
        names: list[str] = []
        for resource in resources:
            if resource["resourceType"] != "Patient":
                names.append(patient_of(resource))
                continue
            names.append(resource["id"])
            if person := _person(resource):
                own[resource["id"]] = self._keyed(person)
        now = time.monotonic()
        unknown = {
            name
            for name in names
            if name and name not in own and name not in new and self._known.get(name, ("", 0.0))[1] < now
        }
        if unknown:
            await self._look(unknown)
        return [self._lane(name, own) for name in names]

    def _lane(self, name: str, own: dict[str, str]) -> str:
        if not name:
            return ""
        return own.get(name) or self._known.get(name, ("", 0.0))[0] or self._keyed(PersonKey("Patient", name))

    async def _look(self, names: set[str]) -> None:
        if len(names) <= _FEW:  # shares its trip with other requests
            found = await asyncio.gather(*(self._store.read("Patient", name) for name in names))
        else:
            found = list(await self._store.read_many([("Patient", name) for name in names]))
        for version in found:
            if version is not None and version.lane:
                self._known[version.id] = (version.lane, time.monotonic() + _REMEMBERED_SECONDS)
        while len(self._known) > _REMEMBERED_MAX:
            self._known.popitem(last=False)

    def forget(self, name: str) -> None:
        """Forget a Patient that was written."""
        self._known.pop(name, None)


def _person(patient: Resource) -> PersonKey | None:
    """Return the person number of a valid Patient, written as feeds write it: CPR before X-eCPR before a D-eCPR."""
    found = [
        PersonKey(each["system"], re.sub(r"[\s-]", "", each["value"]).upper())
        for each in patient.get("identifier", [])
        if persons.is_danish(each.get("system", "")) and isinstance(each.get("value"), str)
    ]
    return min(found, key=_rank) if found else None


def _rank(person: PersonKey) -> int:
    return {persons.CPR: 0, persons.X_ECPR: 1}.get(person.system, 2)


def patient_of(resource: Resource) -> str:
    """Return the id of the Patient that a valid resource is about, the first where there are several, '' for none."""
    for steps in _ways(resource["resourceType"]):
        for value in _values(resource, steps, 0):
            found = _PATIENT.fullmatch(value.get("reference", "")) if type(value) is dict else None
            if found:
                return found[1]
    return ""


@functools.cache
def _ways(resource_type: str) -> tuple[tuple[Step, ...], ...]:
    parameter = parameters.of(resource_type).get("patient")
    return tuple(place.steps for place in parameter.paths if place.type == "Reference") if parameter else ()


def _values(value: Any, steps: tuple[Step, ...], at: int) -> Iterator[Any]:
    if type(value) is list:
        for item in value:
            yield from _values(item, steps, at)
    elif at == len(steps):
        yield value
    elif type(value) is dict:
        step = steps[at]
        if step.name in value:
            below = value[step.name]
            if step.where is None:
                yield from _values(below, steps, at + 1)
            else:
                key, wanted = step.where
                items = below if type(below) is list else [below]
                yield from _values(
                    [one for one in items if type(one) is dict and one.get(key) == wanted], steps, at + 1
                )
