"""Acknowledgements: the ones sent back, made here, and the ones that come in, which are recorded and never answered.

Source: MedCom Acknowledgement 2.0.3, Messaging 4.0.2, and the governance for FHIR messages (who is acknowledged, how a
duplicate is answered). A message is acknowledged whole: it is taken whole or not at all.
"""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from adapters.municipal_medcom.house import GLN, SOR, House
from adapters.municipal_medcom.message import Fault, Message, Part, previous_letter
from gateway.fhir.ids import Ids
from gateway.model import Reason, RejectionCode, Resource
from gateway.terminology.context import Context
from gateway.terminology.tables import Row

EVENT = "acknowledgement-message"
IG = "http://medcomfhir.dk/ig"
MESSAGING = f"{IG}/messaging/StructureDefinition/medcom-messaging"
TERMINOLOGY = f"{IG}/terminology/CodeSystem"
SOR_ENDPOINT = "https://sor2.sum.dsdn.dk/#id="
GLN_WRITTEN = "https://www.gs1.org/gln"
"""MedCom's own spelling of the GLN naming system, with https; the house writes DK Core's, without s."""

_URL = "https://medcomfhir.dk/ig/acknowledgement/"


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
    house.refer(message.own_provenance())
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
            header.need("source", "endpoint").text(),
            destination.need("endpoint").text(),
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
        history,
        _own_provenance(name["provenance"], name["header"], message, parties.receiver["id"], now),
        *([outcome] if outcome is not None else []),
    ]
    return {
        "resourceType": "Bundle",
        "id": name["bundle"],
        "meta": {"profile": [f"{IG}/acknowledgement/StructureDefinition/medcom-messaging-acknowledgement"]},
        "type": "message",
        "timestamp": now,
        "entry": [{"fullUrl": f"{_URL}{item['resourceType']}/{item['id']}", "resource": item} for item in resources],
    }


def _header(identity: str, message: Message, parties: Parties, outcome: Resource | None) -> Resource:
    response: dict[str, Any] = {"identifier": message.letter, "code": "fatal-error" if outcome else "ok"}
    if outcome is not None:
        response["details"] = {"reference": f"OperationOutcome/{outcome['id']}"}
    return {
        "resourceType": "MessageHeader",
        "id": identity,
        "meta": {"profile": [f"{IG}/acknowledgement/StructureDefinition/medcom-messaging-acknowledgementHeader"]},
        "text": narrative("Acknowledgement", {"of message": message.letter, "code": response["code"]}),
        "eventCoding": {"system": f"{TERMINOLOGY}/medcom-messaging-eventCodes", "code": EVENT},
        "destination": [destination(parties.sender_endpoint, parties.sender["id"])],
        "sender": {"reference": f"Organization/{parties.receiver['id']}"},
        "source": {"endpoint": parties.receiver_endpoint},
        "response": response,
    }


def destination(endpoint: str, organisation_id: str) -> dict[str, Any]:
    """Return a primary destination (medcom-messaging-messageHeader, slice primary)."""
    use = {"system": f"{TERMINOLOGY}/medcom-messaging-destinationUse", "code": "primary"}
    return {
        "extension": [{"url": f"{MESSAGING}-destinationUseExtension", "valueCoding": use}],
        "endpoint": endpoint,
        "receiver": {"reference": f"Organization/{organisation_id}"},
    }


def _organisation(part: Part, identity: str) -> Resource:
    """Return an organisation as medcom-messaging-organization wants it: one GLN, one SOR number, a name."""
    found: dict[str, str] = {}
    for node in part.node.each("identifier"):
        system = node.need("system").text().replace("https://www.gs1.org", "http://www.gs1.org")
        found.setdefault(system, node.need("value").text())
    for system, what in ((GLN, "GLN"), (SOR, "SOR")):
        if system not in found:
            raise Fault(RejectionCode.REQUIRED_MISSING, f"{part.at}.identifier", f"a {what} number must be present")
    name = part.node.get("name")
    return organisation(identity, found[SOR], found[GLN], name.text() if name is not None else "")


def organisation(identity: str, sor: str, gln: str, name: str) -> Resource:
    """Return an Organization that keeps medcom-messaging-organization."""
    return {
        "resourceType": "Organization",
        "id": identity,
        "meta": {"profile": [f"{MESSAGING}-organization"]},
        "text": narrative("Organization", {"name": name, "SOR": sor, "GLN": gln}),
        "identifier": [{"system": GLN_WRITTEN, "value": gln}, {"system": SOR, "value": sor}],
        **({"name": name} if name else {}),
    }


def _received_provenance(message: Message, sender_id: str) -> Resource:
    """Return the latest Provenance of the received message: the guide wants it carried along."""
    own = message.own_provenance()
    node = own.node
    coding = {name: node.need("activity", "coding", name).text() for name in ("system", "code")}
    times = {"occurred": node.need("occurredDateTime").text(), "recorded": node.need("recorded").text()}
    node.need("occurredDateTime").moment()
    return provenance(own.local_id or message.letter, message.letter, coding, times, sender_id, previous_letter(own))


def _own_provenance(identity: str, header: str, message: Message, agent_id: str, now: str) -> Resource:
    coding = {"system": f"{TERMINOLOGY}/medcom-messaging-activityCodes", "code": "acknowledgement"}
    times = {"occurred": now, "recorded": now}
    return provenance(identity, header, coding, times, agent_id, ("revision", message.letter))


def provenance(
    identity: str,
    header: str,
    activity: Mapping[str, str],
    times: Mapping[str, str],
    agent_id: str,
    previous: tuple[str, str] | None,
) -> Resource:
    """Return a Provenance that keeps medcom-messaging-provenance. `times` has `occurred` and `recorded`."""
    made: Resource = {
        "resourceType": "Provenance",
        "id": identity,
        "meta": {"profile": [f"{MESSAGING}-provenance"]},
        "text": narrative("Provenance", {"message": header, "activity": activity["code"], "occurred": times["occurred"]}),
        "target": [{"reference": f"MessageHeader/{header}"}],
        "occurredDateTime": times["occurred"],
        "recorded": times["recorded"],
        "activity": {"coding": [dict(activity)]},
        "agent": [{"who": {"reference": f"Organization/{agent_id}"}}],
    }
    if previous is not None:
        role, letter = previous
        made["entity"] = [{"role": role, "what": {"reference": f"MessageHeader/{letter}"}}]
    return made


def _outcome(identity: str, reasons: Sequence[Reason], context: Context) -> Resource:
    rows: Mapping[str, Row] = context.tables.compiled(
        "medcom/rejections", "reason", lambda rows: {row["reason"]: row for row in rows}
    )
    return {
        "resourceType": "OperationOutcome",
        "id": identity,
        "meta": {"profile": [f"{IG}/acknowledgement/StructureDefinition/medcom-acknowledgement-operationoutcome"]},
        "text": narrative("Not taken", {str(n): f"{reason.at}: {reason.text}" for n, reason in enumerate(reasons, 1)}),
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


def narrative(title: str, facts: Mapping[str, str]) -> dict[str, str]:
    """Return a generated narrative; MedCom wants one in every resource. Everything in it is escaped."""
    lines = "".join(f"<li>{html.escape(name)}: {html.escape(value)}</li>" for name, value in facts.items())
    body = f"<p>{html.escape(title)}</p><ul>{lines}</ul>" if lines else f"<p>{html.escape(title)}</p>"
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'}
