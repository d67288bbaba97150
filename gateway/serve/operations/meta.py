"""$meta, $meta-add and $meta-delete (R4 resource-operation-meta.html): profiles, tags and security labels.

Of a resource, its meta as it stands. Of a type, or of everything, the labels among the newest resources: there is no
index of labels by themselves. Adding and deleting make a new version, as every change of a stored resource does here:
what was true of a version stays true of it. Nothing makes one when nothing changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway import access, errors
from gateway.access import Actor, NotPermitted, Search, Update, Why
from gateway.access.scopes import Letter
from gateway.fhir import body as bodies
from gateway.formats import json
from gateway.model import Resource
from gateway.search import index, parameters
from gateway.search.query import Query
from gateway.serve.answer import Answer, stamps
from gateway.serve.asking import Asking
from gateway.serve.operation import Field, Handler, Level, Operation
from gateway.serve.operations import inputs as reading
from gateway.serve.operations.subject import stored
from gateway.serve.permitted import PermittedStore
from gateway.store.port import Edit, Moved, Version

OF_TYPE: Final = 500
"""So many of the newest resources of a type are looked at."""
OF_SYSTEM: Final = 50
"""So many of each type, where everything is asked about."""
_TRIES: Final = 5
_AT_ONCE: Final = 8
_LABELS: Final = ("profile", "security", "tag")
_META: Final = (Field("meta", "Meta", "The profiles, tags and security labels", minimum=1),)
META: Final = Operation(
    code="meta",
    definition="http://hl7.org/fhir/OperationDefinition/Resource-meta",
    levels=frozenset(Level),
    letter=Letter.READ,
    text="Profiles, tags and security labels of a resource, or those in use",
)
META_ADD: Final = Operation(
    code="meta-add",
    definition="http://hl7.org/fhir/OperationDefinition/Resource-meta-add",
    levels=frozenset({Level.INSTANCE}),
    letter=Letter.UPDATE,
    text="Add profiles, tags and security labels to a resource",
    methods=("POST",),
    fields=_META,
)
META_DELETE: Final = Operation(
    code="meta-delete",
    definition="http://hl7.org/fhir/OperationDefinition/Resource-meta-delete",
    levels=frozenset({Level.INSTANCE}),
    letter=Letter.UPDATE,
    text="Take profiles, tags and security labels off a resource",
    methods=("POST",),
    fields=_META,
)
Change = Callable[[Resource, Resource], Resource]
"""(meta as it is, meta as sent) → meta as it shall be."""


class MetaHandler:
    """Answers $meta."""

    def __init__(self, store: PermittedStore) -> None:
        self._store = store

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with Parameters that hold a Meta."""
        matched = asking.matched
        reading.read(META, asking)
        if matched.id:
            version = await stored(self._store, actor, matched.type, matched.id)
            return _answer(json.loads(version.body).get("meta", {}), version)
        if matched.type:
            return _answer(_union(await self._newest(actor, matched.type, OF_TYPE)))
        found: list[Resource] = []
        types = [kind for kind in parameters.types() if access.opens(actor, kind, Letter.SEARCH)]
        if not types:
            raise NotPermitted("no scope of this token opens a search", Why.NO_SCOPE)
        for start in range(0, len(types), _AT_ONCE):
            asked = (self._newest(actor, kind, OF_SYSTEM) for kind in types[start : start + _AT_ONCE])
            found += [one for metas in await asyncio.gather(*asked) for one in metas]
        return _answer(_union(found))

    async def _newest(self, actor: Actor, kind: str, count: int) -> list[Resource]:
        page = await self._store.search(access.decide(actor, Search(Query(kind, count=count))))
        return [json.loads(version.body).get("meta", {}) for version in page.versions]


class MetaChangeHandler:
    """Answers $meta-add and $meta-delete."""

    def __init__(self, operation: Operation, change: Change, store: PermittedStore) -> None:
        self._operation = operation
        self._change = change
        self._store = store

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with Parameters that hold the resulting Meta. Raises Conflict when others kept changing it meanwhile."""
        kind, name = asking.matched.type, asking.matched.id
        permitted = access.decide(actor, Update(kind, name))
        sent = reading.read(self._operation, asking).part("meta") or {}
        if permitted.hides and "security" in sent:
            raise NotPermitted("security labels are not this caller's to set", Why.NOT_ITS_TO_WRITE)
        for _ in range(_TRIES):
            version = await stored(self._store, actor, kind, name)
            resource = json.loads(version.body)
            meta = resource.get("meta", {})
            changed = self._change(meta, sent)
            if changed == meta:
                return _answer(meta, version)
            try:
                [edited] = await self._store.write([(permitted, _edit({**resource, "meta": changed}, version))])
            except Moved:
                continue
            return _answer(json.loads(edited.version.body).get("meta", {}), edited.version)
        raise errors.Conflict("others kept changing this resource; try again")


def added(meta: Resource, sent: Resource) -> Resource:
    """Return a meta with the labels of another, each once: profiles by address, codings by system and code."""
    made = dict(meta)
    for name in _LABELS:
        known = {_key(one) for one in meta.get(name, ())}
        new = [one for one in sent.get(name, ()) if _key(one) not in known]
        if new:
            made[name] = [*meta.get(name, ()), *{_key(one): one for one in new}.values()]
    return made


def taken_off(meta: Resource, sent: Resource) -> Resource:
    """Return a meta without the labels of another."""
    made = dict(meta)
    for name in _LABELS:
        gone = {_key(one) for one in sent.get(name, ())}
        kept = [one for one in meta.get(name, ()) if _key(one) not in gone]
        if len(kept) < len(meta.get(name, ())):
            made[name] = kept
            if not kept:
                del made[name]
    return made


def _key(label: Any) -> tuple[str, str]:
    return (label.get("system", ""), label.get("code", "")) if isinstance(label, dict) else (label or "", "")


def _union(metas: Sequence[Resource]) -> Resource:
    union: Resource = {}
    for one in metas:
        union = added(union, one)
    return union


def _edit(resource: Resource, version: Version) -> Edit:
    body = bodies.prepare(resource)
    return Edit(
        version.type,
        version.id,
        body,
        bodies.content_digest(body),
        lane=version.lane,
        index=index.extract(resource),
        expect=version.version,
    )


def _answer(meta: Resource, version: Version | None = None) -> Answer:
    # without any label there is no Meta to return: R4 has no empty ones
    shown = {"parameter": [{"name": "return", "valueMeta": meta}]} if meta else {}
    return Answer(200, json.dumps({"resourceType": "Parameters", **shown}), stamps(version) if version else [])


def handlers(store: PermittedStore) -> list[tuple[Operation, Handler]]:
    """Return the three rows with their handlers."""
    return [
        (META, MetaHandler(store)),
        (META_ADD, MetaChangeHandler(META_ADD, added, store)),
        (META_DELETE, MetaChangeHandler(META_DELETE, taken_off, store)),
    ]
