"""Bundles put together from stored bytes: nothing that was stored is parsed on its way out, unless a shape is asked for."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from gateway.clock import instant
from gateway.formats import json
from gateway.serve.answer import etag
from gateway.serve.shaping import WHOLE, Shape
from gateway.store.port import Version

_MATCH = b',"search":{"mode":"match"}}'
_INCLUDE = b',"search":{"mode":"include"}}'
_OUTCOME = b',"search":{"mode":"outcome"}}'


def bundle(kind: str, *, links: Iterable[tuple[str, str]], entries: Sequence[bytes], total: int | None = None) -> bytes:
    """Return a Bundle of `kind` (searchset, history). Empty lists are left out, as FHIR wants."""
    parts = [f'{{"resourceType":"Bundle","type":"{kind}"'.encode()]
    if total is not None:
        parts.append(b',"total":%d' % total)
    parts.append(b',"link":' + json.dumps([{"relation": relation, "url": url} for relation, url in links]))
    if entries:
        parts += [b',"entry":[', b",".join(entries), b"]"]
    parts.append(b"}")
    return b"".join(parts)


def found(versions: Iterable[Version], base: str, shape: Shape, *, included: bool = False) -> list[bytes]:
    """Return the entries of matches, or of what is included. `base` is the API's address, without a slash at its end."""
    head, tail = f'{{"fullUrl":"{base}/', _INCLUDE if included else _MATCH
    return [
        b"".join((f'{head}{one.type}/{one.id}","resource":'.encode(), shape.of(one.body) if shape else one.body, tail))
        for one in versions
    ]


def match(version: Version, base: str) -> bytes:
    """Return the entry of one match, whole."""
    return found([version], base, WHOLE)[0]


def note(outcome: bytes) -> bytes:
    """Return the entry of an OperationOutcome about the search itself; the same outcome has the same fullUrl."""
    name = uuid.uuid5(uuid.NAMESPACE_OID, outcome.decode())
    return f'{{"fullUrl":"urn:uuid:{name}","resource":'.encode() + outcome + _OUTCOME


def past(version: Version, base: str, shape: Shape) -> bytes:
    """Return the entry of a version in a history: how it came about, and its content unless it is a deletion.

    A POST is what the API created under an id of the server's. All else was written whole under its id: what feeds bring,
    and a patch, whose outcome this is, though not its operations.
    """
    address = f"{version.type}/{version.id}"
    if version.deleted:
        method, url, status = "DELETE", address, "204"
    elif version.posted:
        method, url, status = "POST", version.type, "201"
    else:
        method, url, status = "PUT", address, "201" if version.version == 1 else "200"
    content = b"" if version.deleted else b'"resource":' + shape.of(version.body) + b","
    response = {"status": status, "etag": etag(version.version), "lastModified": instant(version.last_updated)}
    return b"".join(
        (
            f'{{"fullUrl":"{base}/{address}",'.encode(),
            content,
            f'"request":{{"method":"{method}","url":"{url}"}},"response":'.encode(),
            json.dumps(response),
            b"}",
        )
    )
