"""Acknowledgements: the ones sent back, made here, and the ones that come in, which are recorded and never answered.

Source: MedCom Acknowledgement 2.0.3, Messaging 4.0.2, and the governance for FHIR messages (who is acknowledged, how a
duplicate is answered). A message is acknowledged whole: it is taken whole or not at all.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from adapters.municipal_medcom import parts
from adapters.municipal_medcom.house import House
from adapters.municipal_medcom.message import IDENTITY, Fault, Message, Node, Part, earlier_letters
from adapters.municipal_medcom.naming import GLN
from adapters.municipal_medcom.parts import IG, SOR, TERMINOLOGY
from gateway.fhir.ids import Ids
from gateway.model import Reason, RejectionCode, Resource
from gateway.terminology.context import Context
from gateway.terminology.tables import Row

EVENT = "acknowledgement-message"
ACTIVITIES = f"{TERMINOLOGY}/medcom-messaging-activityCodes"


def translate(house: House) -> None:
    """Record an incoming acknowledgement as what it is: a MessageHeader with a response, and its Provenance.

    Nobody's lane: it says which letter was taken, not about whom that was. Raises Fault.
    """
    message = house.message
    response = message.header.node.need("response")
    response.need("identifier").text()
    response.need("code").text()
    details = response.get("details")
    outcome = message.find(details, "OperationOutcome") if details is not None else None
    house.contain = {} if outcome is None else {id(outcome): "outcome"}
    house.refer(message.header)
    house.refer(message.own_provenance)
    house.work()


@dataclass(frozen=True, slots=True)
class Parties:
    """Who sent a message to whom, as its acknowledgement names them."""

    sender: Resource
    receiver: Resource
    sender_endpoint: str
    receiver_endpoint: str

    @classmethod
    def of(cls, message: Message, ids: Ids) -> Parties:
        """Read them from the header. Raises Fault when the acknowledgement could not be addressed."""
        header = message.header.node
        destination = header.need("destination")
        sender = message.find(header.need("sender"), "Organization")
        receiver = message.find(destination.need("receiver"), "Organization")
        key = message.letter
        return cls(
            _organisation(sender, ids.uuid("ack-sender", key)),
            _organisation(receiver, ids.uuid("ack-receiver", key)),
            _plain(header.need("source", "endpoint")),
            _plain(destination.need("endpoint")),
        )


def reply(
    message: Message, parties: Parties, context: Context, received_at: dt.datetime, reasons: Sequence[Reason]
) -> Resource:
    """Return the acknowledgement of a message: `ok` without reasons, else `fatal-error` with an OperationOutcome.

    Deterministic: the same letter, received at the same moment, is answered in the same bytes.
    """
    zone = ZoneInfo(context.feed.timezone)
    now = received_at.astimezone(zone).isoformat(timespec="seconds")
    codes = "+".join(reason.code.value for reason in reasons)
    key = (context.feed.name, message.letter, message.envelope, codes)
    name = {part: context.ids.uuid(f"ack-{part}", *key) for part in ("bundle", "header", "provenance", "outcome")}
    outcome = _outcome(name["outcome"], reasons, context) if reasons else None
    history = _received_provenance(message, parties.sender["id"])
    resources = [
        _header(name["header"], message, parties, outcome),
        parties.sender,
        parties.receiver,
        *([history] if history is not None else []),
        _own_provenance(name["provenance"], name["header"], message, parties.receiver["id"], now),
        *([outcome] if outcome is not None else []),
    ]
    profile = f"{IG}/acknowledgement/StructureDefinition/medcom-messaging-acknowledgement"
    return parts.bundle(name["bundle"], profile, now, resources)


def _header(identity: str, message: Message, parties: Parties, outcome: Resource | None) -> Resource:
    response: dict[str, Any] = {"identifier": message.letter, "code": "fatal-error" if outcome else "ok"}
    if outcome is not None:
        response["details"] = {"reference": f"OperationOutcome/{outcome['id']}"}
    return {
        "resourceType": "MessageHeader",
        "id": identity,
        "meta": {"profile": [f"{IG}/acknowledgement/StructureDefinition/medcom-messaging-acknowledgementHeader"]},
        "text": parts.narrative("Acknowledgement", {"of message": message.letter, "code": response["code"]}),
        "eventCoding": {"system": f"{TERMINOLOGY}/medcom-messaging-eventCodes", "code": EVENT},
        "destination": [parts.destination(parties.sender_endpoint, parties.sender["id"])],
        "sender": {"reference": f"Organization/{parties.receiver['id']}"},
        "source": {"endpoint": parties.receiver_endpoint},
        "response": response,
    }


def _plain(node: Node) -> str:
    """Return an address or a number: one word of printable ASCII."""
    if not re.fullmatch(r"[!-~]{1,500}", node.text()):
        raise Fault(RejectionCode.VALUE_INVALID, node.at, "one word without spaces must stand here")
    return node.text()


def _organisation(part: Part, identity: str) -> Resource:
    """Return an organisation as medcom-messaging-organization wants it: one GLN, one SOR number, a name."""
    found: dict[str, str] = {}
    for node in part.node.each("identifier"):
        system = node.need("system").text().replace("https://www.gs1.org", "http://www.gs1.org")
        found.setdefault(system, _plain(node.need("value")))
    for system, what in ((GLN, "GLN"), (SOR, "SOR")):
        if system not in found:
            raise Fault(RejectionCode.REQUIRED_MISSING, f"{part.at}.identifier", f"a {what} number must be present")
    name = part.node.get("name")
    return parts.organisation(identity, found[SOR], found[GLN], _printable(name.text()) if name is not None else "")


def _printable(text: str) -> str:
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def _received_provenance(message: Message, sender_id: str) -> Resource | None:
    """Return the latest Provenance of the received message, which the guide wants carried along.

    None when the message has none that could be: it is rejected, and its acknowledgement must still keep the profile.
    """
    try:
        own = message.own_provenance
        coding = own.node.need("activity", "coding")
        code, occurred, recorded = (
            coding.need("code").text(),
            own.node.need("occurredDateTime"),
            own.node.need("recorded"),
        )
        occurred.moment()
        recorded.moment()
        previous = [
            pair for pair in earlier_letters(own) if pair[0] in {"revision", "removal"} and IDENTITY.fullmatch(pair[1])
        ]
    except Fault:
        return None
    if coding.need("system").value != ACTIVITIES or not re.fullmatch(r"[a-z-]{1,64}", code):
        return None
    times = {"occurred": occurred.text(), "recorded": recorded.text()}
    activity = {"system": ACTIVITIES, "code": code}
    latest = previous[0] if previous else None
    latest = previous[0] if previous else None
    return parts.provenance(own.local_id or message.letter, message.letter, activity, times, (sender_id, latest))


def _own_provenance(identity: str, header: str, message: Message, agent_id: str, now: str) -> Resource:
    coding = {"system": ACTIVITIES, "code": "acknowledgement"}
    times = {"occurred": now, "recorded": now}
    return parts.provenance(identity, header, coding, times, (agent_id, ("revision", message.letter)))


def _outcome(identity: str, reasons: Sequence[Reason], context: Context) -> Resource:
    rows: Mapping[str, Row] = context.tables.compiled(
        "medcom/rejections", "reason", lambda rows: {row["reason"]: row for row in rows}
    )
    return {
        "resourceType": "OperationOutcome",
        "id": identity,
        "meta": {"profile": [f"{IG}/acknowledgement/StructureDefinition/medcom-acknowledgement-operationoutcome"]},
        "text": parts.narrative(
            "Not taken", {str(n): f"{reason.at}: {reason.text}" for n, reason in enumerate(reasons, 1)}
        ),
        "issue": [_issue(reason, rows[reason.code.value]) for reason in reasons],
    }


def _issue(reason: Reason, row: Row) -> dict[str, Any]:
    code, display = row["code"], row["display"]
    if reason.code is RejectionCode.REQUIRED_MISSING and re.search(r"destination|receiver", reason.at):
        code, display = "MSG_Receiver_Identifier_MISSING", "Receiver identifier missing"
    system = f"{TERMINOLOGY}/medcom-acknowledgement-error-codes"
    coding = {"coding": [{"system": system, "code": code, "display": display}]} if code else {}
    return {
        "severity": "error",
        "code": row["issue"],
        "details": {**coding, "text": reason.text},
        "diagnostics": f"{reason.code.value} at {reason.at}",
        **({"expression": [reason.at]} if reason.at else {}),
    }
