"""What is answered to a change that was done: status, headers, and the body that `Prefer: return=…` asks for."""

from __future__ import annotations

from typing import Final

from gateway.serve.answer import Answer, Header, outcome, stamps
from gateway.serve.asking import Asking
from gateway.serve.step import Done, What

_RETURNS: Final = ("minimal", "representation", "OperationOutcome")
_SAID: Final = {
    What.CREATED: "created",
    What.WRITTEN: "written",
    What.FOUND: "there already: nothing was written",
    What.DELETED: "deleted, or not there",
}


def preferred(header: str, otherwise: str = "representation") -> str:
    """Return what a Prefer header asks to be returned (RFC 7240 §4.2, FHIR R4 http ops), `otherwise` without one."""
    for part in header.split(","):
        name, _, value = part.partition(";")[0].partition("=")
        if name.strip().lower() == "return":
            wanted = value.strip().strip('"').lower()
            return next((known for known in _RETURNS if known.lower() == wanted), otherwise)
    return otherwise


def answer(done: Done, asking: Asking, base: str) -> Answer:
    """Return the answer to a single change.

    Without a preference: the resource as it now is, and nothing for a deletion. Of what its caller may not read, nothing.
    """
    deleted = done.what is What.DELETED
    wanted = preferred(asking.header(b"prefer"), "minimal" if deleted else "representation")
    headers: list[Header] = []
    version = done.version
    if version is not None and version.version:
        headers += stamps(version)
    if version is not None and not deleted:
        address = f"{base}/{version.type}/{version.id}/_history/{version.version}".encode()
        headers.append((b"location", address) if done.what is What.CREATED else (b"content-location", address))
        if done.what is What.FOUND:
            headers.append((b"location", address))
    status = 201 if done.what is What.CREATED else 204 if deleted else 200
    if wanted == "OperationOutcome":
        return Answer(200 if deleted else status, told(done), headers)
    if wanted == "minimal" or version is None or not done.shown or deleted:
        return Answer(status, b"", headers)
    return Answer(status, version.body, headers)


def told(done: Done) -> bytes:
    """Return an OperationOutcome that says in words what was done."""
    return outcome("information", "informational", [_SAID[done.what]])
