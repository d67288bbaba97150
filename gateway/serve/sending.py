"""An answer on its way out: JSON as it stands or as XML, indented or not, packed or not. Nothing is decided here."""

from __future__ import annotations

import functools
import re
from typing import Final

from gateway import errors
from gateway.fhir import xml
from gateway.formats import json
from gateway.serve import answer as answers
from gateway.serve import coding
from gateway.serve.answer import Answer, Header
from gateway.serve.asking import Send
from gateway.serve.media import JSON, Media
from gateway.serve.pretty import pretty

_NOT_MODIFIED: Final = 304
_NO_CONTENT: Final = 204
_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")


async def send(
    channel: Send, answer: Answer, asked: dict[bytes, bytes], wanted: Media, *, indented: bool, head: bool
) -> int:
    """Send an answer to a request with the headers `asked`; return the status that was sent."""
    body, status = answer.resource, answer.status
    headers: list[Header] = [*answers.EVERY_ANSWER, *answer.headers]
    if body and answer.kind:
        headers.append((b"content-type", answer.kind))
    elif body:
        try:
            if wanted.xml or indented:
                body = (_lasting_form if answer.lasting else _form)(body, wanted.xml, indented)
        except errors.Incorrect as refusal:
            # What was stored cannot be XML (a character that XML does not have): said in JSON, which can.
            body, status = _not_in_xml(refusal), errors.NotAcceptable.status
            headers, wanted = [*answers.EVERY_ANSWER], JSON
        headers.append((b"content-type", wanted.header))
        if len(body) > coding.WORTH_BYTES and (name := coding.chosen(asked.get(b"accept-encoding", b""))):
            body = coding.lasting(body, name) if answer.lasting else await coding.pack(body, name)
            headers.append((b"content-encoding", name.encode()))
    if status not in {_NOT_MODIFIED, _NO_CONTENT}:
        headers.append((b"content-length", b"%d" % len(body)))
    if (request_id := asked.get(b"x-request-id")) and _REQUEST_ID.fullmatch(request_id):
        headers.append((b"x-request-id", request_id))
    await channel({"type": "http.response.start", "status": status, "headers": headers})
    await channel({"type": "http.response.body", "body": b"" if head else body})
    return status


def _form(body: bytes, as_xml: bool, indented: bool) -> bytes:
    return xml.dumps(json.loads(body), indented=indented) if as_xml else pretty(body)


_lasting_form = functools.lru_cache(maxsize=64)(_form)


def _not_in_xml(refusal: errors.Incorrect) -> bytes:
    text = f"the answer cannot be written in XML: {refusal.text}"
    return answers.outcome("error", errors.NotAcceptable.issue, [text], refusal.at)
