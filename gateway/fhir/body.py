"""The bytes under which a resource is stored and served. Not validation, and not the store: it never sees a version.

A body begins exactly `{"resourceType":"T","id":"ID","meta":{`, whatever order the sender wrote, so that the store can
put versionId and lastUpdated in without parsing. Other elements keep the order they were given.
"""

from __future__ import annotations

import hashlib
import re

from gateway.errors import Incorrect
from gateway.formats import json
from gateway.model import Resource

_TYPE = re.compile(r"[A-Z][A-Za-z]{0,63}")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_META = b'"meta":{'


def prepare(resource: Resource) -> bytes:
    """Return the body of a resource: `arranged`, as compact UTF-8 JSON. Raises errors.Incorrect as that does."""
    return json.dumps(arranged(resource))


def arranged(resource: Resource, source: str = "") -> Resource:
    """Return a copy, one level deep, in the order of a body: meta present and without versionId and lastUpdated.

    `source` becomes meta.source where there is none. Raises errors.Incorrect without a resourceType, without an id that
    FHIR allows (R4 datatypes, id), or with a meta that is not an object. Nothing else is checked here.
    """
    resource_type, logical_id, meta = resource.get("resourceType"), resource.get("id"), resource.get("meta", {})
    if not isinstance(resource_type, str) or not _TYPE.fullmatch(resource_type):
        raise Incorrect("a resource needs a resourceType", at="resourceType")
    if not isinstance(logical_id, str) or not _ID.fullmatch(logical_id):
        raise Incorrect("an id has 1 to 64 letters, digits, '-' and '.'", at=f"{resource_type}.id")
    if not isinstance(meta, dict):
        raise Incorrect("meta is an object", at=f"{resource_type}.meta")
    # The first three names keep their places when the resource's own values come over them.
    ordered = {"resourceType": "", "id": "", "meta": {}, **resource}
    kept: Resource = {"source": source} if source else {}
    for name, value in meta.items():
        if name.lstrip("_") not in {"versionId", "lastUpdated"}:
            kept[name] = value
    ordered["meta"] = kept
    return ordered


def stamped(body: bytes, version: int, last_updated_iso: str) -> bytes:
    """Return a body with its version (from 1) and the instant of its last update put first in meta.

    `body` is what `prepare` made; `last_updated_iso` is a FHIR instant (`clock.instant`).
    """
    cut = body.index(_META) + len(_META)
    comma = "" if body[cut : cut + 1] == b"}" else ","
    stamp = f'"versionId":"{version}","lastUpdated":"{last_updated_iso}"{comma}'
    return b"".join((body[:cut], stamp.encode(), body[cut:]))


def content_digest(body: bytes) -> bytes:
    """Return BLAKE2b of an unstamped body, 16 bytes: equal digests mean that nothing changed."""
    return hashlib.blake2b(body, digest_size=16).digest()
