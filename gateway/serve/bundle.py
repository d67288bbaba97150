"""Bundles put together from stored bytes: nothing that was stored is parsed on its way out."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from gateway.clock import instant
from gateway.formats import json
from gateway.serve.answer import etag
from gateway.store.port import Version


def bundle(kind: str, *, links: Iterable[tuple[str, str]], entries: Sequence[bytes], total: int | None = None) -> bytes:
    """Return a Bundle of `kind` (searchset, history). Empty lists are left out, as FHIR wants."""
    parts = [f'{{"resourceType":"Bundle","type":"{kind}"'.encode()]
    if total is not None:
        parts.append(f',"total":{total}'.encode())
    parts.append(b',"link":' + json.dumps([{"relation": relation, "url": url} for relation, url in links]))
    if entries:
        parts += [b',"entry":[', b",".join(entries), b"]"]
    parts.append(b"}")
    return b"".join(parts)


def match(version: Version, base: str) -> bytes:
    """Return the entry of a match. `base` is the address of the API, without a slash at its end."""
    return b"".join(
        (
            f'{{"fullUrl":"{base}/{version.type}/{version.id}","resource":'.encode(),
            version.body,
            b',"search":{"mode":"match"}}',
        )
    )


def note(outcome: bytes) -> bytes:
    """Return the entry of an OperationOutcome about the search itself; the same outcome has the same fullUrl."""
    name = uuid.uuid5(uuid.NAMESPACE_OID, outcome.decode())
    return f'{{"fullUrl":"urn:uuid:{name}","resource":'.encode() + outcome + b',"search":{"mode":"outcome"}}'


def past(version: Version, base: str) -> bytes:
    """Return the entry of a version in a history: how it came about, and its content unless it is a deletion.

    Feeds write by PUT under ids of their own making, so a first version is a PUT that created.
    """
    address = f"{version.type}/{version.id}"
    method, status = ("DELETE", "204") if version.deleted else ("PUT", "201" if version.version == 1 else "200")
    content = b"" if version.deleted else b'"resource":' + version.body + b","
    response = {"status": status, "etag": etag(version.version), "lastModified": instant(version.last_updated)}
    return b"".join(
        (
            f'{{"fullUrl":"{base}/{address}",'.encode(),
            content,
            f'"request":{{"method":"{method}","url":"{address}"}},"response":'.encode(),
            json.dumps(response),
            b"}",
        )
    )
