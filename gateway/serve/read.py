"""read and vread: the stored bytes, or 304, 404, 410 (FHIR R4 http, read, vread, conditional read)."""

from __future__ import annotations

from gateway import access, errors
from gateway.access import Actor, Read, VersionRead
from gateway.serve import binary, shaping
from gateway.serve.answer import Answer, stamps, unchanged
from gateway.serve.asking import Asking
from gateway.serve.permitted import PermittedStore
from gateway.serve.shaping import Shape
from gateway.store.port import Version


async def read(store: PermittedStore, actor: Actor, asking: Asking) -> Answer:
    """Answer with the current version."""
    permitted = access.decide(actor, Read(asking.matched.type, asking.matched.id))
    shape = _shape(asking) if asking.pairs else shaping.WHOLE
    return _answer(await store.read(permitted), asking, shape)


async def vread(store: PermittedStore, actor: Actor, asking: Asking) -> Answer:
    """Answer with one version."""
    matched = asking.matched
    permitted = access.decide(actor, VersionRead(matched.type, matched.id, matched.version))
    shape = _shape(asking) if asking.pairs else shaping.WHOLE
    return _answer(await store.vread(permitted), asking, shape)


def _shape(asking: Asking) -> Shape:
    shape = shaping.taken(asking, asking.matched.type)
    asking.no_more("a read takes _format, _pretty, _summary and _elements")
    return shape


def _answer(version: Version | None, asking: Asking, shape: Shape) -> Answer:
    if version is None:
        raise errors.NotFound("there is no such resource")
    if version.deleted:
        raise errors.Gone("this resource, or this version of it, was deleted")
    headers = stamps(version)
    if unchanged(version, asking.header(b"if-none-match"), asking.header(b"if-modified-since")):
        return Answer(304, headers=headers)
    if asking.native:
        return binary.native(version)
    return Answer(200, shape.of(version.body) if shape else version.body, headers)
