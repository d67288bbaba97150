"""`$validate`: a resource against R4 and profiles, in words (FHIR R4 resource-operation-validate.html). Nothing is stored.

The answer is 200 with an OperationOutcome, whatever was found; a request that cannot be understood is a 4xx as anywhere. What
is checked is `gateway.conformance`'s; it is loaded at the first question of a process, off the event loop, and asked by
one at a time.
"""

from __future__ import annotations

import asyncio
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway import access, errors
from gateway.access import Actor, Read
from gateway.access.scopes import Letter
from gateway.formats import json
from gateway.model import Resource
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.operation import Field, Level, Operation
from gateway.serve.permitted import PermittedStore

if typing.TYPE_CHECKING:
    from gateway.conformance.checker import Checker
    from gateway.conformance.issue import Issue

OPERATION: Final = Operation(
    code="validate",
    definition="http://hl7.org/fhir/OperationDefinition/Resource-validate",
    levels=frozenset({Level.TYPE, Level.INSTANCE}),
    letter=Letter.READ,
    text="Check a resource against R4 and profiles, without storing it",
    fields=(
        Field("resource", "Resource", "What is checked; at an instance without it, what is stored there"),
        Field("mode", "code", "create, update, delete or profile"),
        Field("profile", "uri", "Canonical of the profile to check against"),
    ),
)
MODES: Final = ("", "create", "update", "delete", "profile")
WAITING_MAX: Final = 16
PROFILE_CHARACTERS_MAX: Final = 2000
_SOURCE: Final = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-source"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks: the resource that came with it, if any, the mode and the profile, '' without."""

    resource: Resource | None
    mode: str
    profile: str


class ValidateHandler:
    """Answers `$validate`. `folder` is mappings/profiles, `archives` the further packages (SUNDBRO_PACKAGES)."""

    def __init__(self, store: PermittedStore, folder: Path, archives: Sequence[Path] = ()) -> None:
        self._store = store
        self._folder = folder
        self._archives = tuple(archives)
        self._checker: Checker | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with what was found. Raises Incorrect, NotFound, Gone, Busy."""
        kind, logical_id = asking.matched.type, asking.matched.id
        permitted = access.decide(actor, Read(kind, logical_id or "new"))
        asked = read(asking)
        stored = (
            await self._stored(permitted) if logical_id and (asked.resource is None or asked.mode == "delete") else None
        )
        if asked.mode == "delete":
            if not logical_id:
                raise errors.Incorrect("mode delete is asked of one resource: /Type/id/$validate", at="mode")
            return Answer(200, outcome([]))
        resource = stored if asked.resource is None else asked.resource
        if resource is None:
            raise errors.Incorrect("the resource to check is missing", at="resource")
        if asked.mode == "profile" and not asked.profile:
            raise errors.Incorrect("mode profile needs the profile", at="profile")
        found = await self._check(resource, [asked.profile] if asked.profile else [])
        return Answer(200, outcome([*_of_address(resource, kind, logical_id, asked.mode), *map(_told, found)]))

    async def _stored(self, permitted: Any) -> Resource:
        version = await self._store.read(permitted)
        if version is None:
            raise errors.NotFound("there is no such resource")
        if version.deleted:
            raise errors.Gone("this resource was deleted")
        resource: Resource = json.loads(version.body)
        return resource

    async def _check(self, resource: Resource, profiles: Sequence[str]) -> list[Issue]:
        if self._waiting >= WAITING_MAX:
            raise errors.Busy("too many resources wait to be checked", retry_after_seconds=2)
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(self._checked, resource, profiles)
        finally:
            self._waiting -= 1

    def _checked(self, resource: Resource, profiles: Sequence[str]) -> list[Issue]:
        if self._checker is None:
            # Seldom asked for, and heavy: an ordinary process never loads it.
            from gateway.conformance import packages  # noqa: PLC0415
            from gateway.conformance.checker import Checker  # noqa: PLC0415
            from gateway.conformance.library import Library  # noqa: PLC0415

            self._checker = Checker(Library(*packages.load(self._folder, self._archives)))
        return self._checker.check(resource, profiles)


def read(asking: Asking) -> Asked:
    """Return what a request asks, by its parameters, its body, or both. Raises Incorrect."""
    mode, profile = asking.take("mode"), asking.take("profile")
    asking.no_more("$validate takes mode and profile, and the resource in the body")
    resource: Resource | None = None
    if asking.body:
        resource = asking.resource()
        if resource.get("resourceType") == "Parameters" and (given := _parameters(resource, asking.matched.type)):
            resource = given.get("resource")
            mode, profile = given.get("mode", mode), given.get("profile", profile)
    if mode not in MODES:
        raise errors.Incorrect("mode is create, update, delete or profile", at="mode")
    if len(profile) > PROFILE_CHARACTERS_MAX:
        raise errors.Incorrect("the profile's canonical is too long", at="profile")
    return Asked(resource, mode, profile)


def _parameters(resource: Resource, kind: str) -> dict[str, Any]:
    """Return the input parameters of a Parameters resource; nothing where it is itself what is to be checked."""
    listed = resource.get("parameter")
    given: dict[str, Any] = {}
    for one in listed if isinstance(listed, list) else []:
        name = one.get("name") if isinstance(one, dict) else None
        if name in given and kind != "Parameters":
            raise errors.Incorrect(f"{name} is given once", at=name)
        if name == "resource" and isinstance(one.get("resource"), dict):
            given["resource"] = one["resource"]
        elif name in ("mode", "profile"):
            value = next(
                (one[key] for key in ("valueCode", "valueUri", "valueCanonical", "valueString") if key in one), None
            )
            if not isinstance(value, str):
                raise errors.Incorrect("mode is a code and profile a uri", at=name)
            given[name] = value
        elif kind != "Parameters":
            raise errors.Incorrect("$validate takes resource, mode and profile", at="parameter")
    if "resource" not in given and kind == "Parameters":
        return {}
    return given or {"mode": ""}


def _of_address(resource: Resource, kind: str, logical_id: str, mode: str) -> list[dict[str, Any]]:
    """Return what is wrong with a resource for the address that it was sent to, and for the mode."""
    made: list[dict[str, Any]] = []
    if resource.get("resourceType") != kind:
        made.append(
            _issue("error", "structure", kind, "the resource is of another type than the address", "address-type")
        )
    if mode == "update" and not isinstance(resource.get("id"), str):
        made.append(_issue("error", "required", f"{kind}.id", "an update needs the id of the resource", "update-id"))
    elif logical_id and resource.get("id", logical_id) != logical_id:
        made.append(
            _issue("error", "value", f"{kind}.id", "the resource has another id than the address", "address-id")
        )
    return made


def _told(issue: Issue) -> dict[str, Any]:
    made = _issue(issue.severity.value, issue.code, issue.at, issue.text, issue.key)
    if issue.source:
        made["extension"] = [{"url": _SOURCE, "valueString": issue.source}]
    return made


def _issue(severity: str, code: str, at: str, text: str, key: str) -> dict[str, Any]:
    return {"severity": severity, "code": code, "details": {"text": key}, "diagnostics": text, "expression": [at]}


def outcome(issues: Sequence[dict[str, Any]]) -> bytes:
    """Return the OperationOutcome of a check; with nothing to say it says so (R4: there is at least one issue)."""
    fine = {"severity": "information", "code": "informational", "diagnostics": "nothing is wrong with it"}
    return json.dumps({"resourceType": "OperationOutcome", "issue": list(issues) or [fine]})
