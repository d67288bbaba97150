"""The resources that every MedCom message has, made from plain values so that they keep the profiles of Messaging.

Source: MedCom Messaging 2.1 to 4.0.2. Every resource of a message has an id and a narrative. Nothing here reads one.
"""

from __future__ import annotations

import datetime as dt
import html
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.model import Resource

SOR = "urn:oid:1.2.208.176.1.1"
CPR = "urn:oid:1.2.208.176.1.2"
IG = "http://medcomfhir.dk/ig"
MESSAGING = f"{IG}/messaging/StructureDefinition/medcom-messaging"
CORE = f"{IG}/core/StructureDefinition/medcom-core"
TERMINOLOGY = f"{IG}/terminology/CodeSystem"
SOR_ENDPOINT = "https://sor2.sum.dsdn.dk/#id="
GLN_WRITTEN = "https://www.gs1.org/gln"
"""MedCom's own spelling of the GLN naming system, with https; the house writes DK Core's, without s."""
_NOT_IN_XML = dict.fromkeys((0xFFFE, 0xFFFF))


@dataclass(frozen=True, slots=True)
class Citizen:
    """A person: CPR number (ten digits) and official name."""

    cpr: str
    family: str
    given: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """An organisation: SOR number (15 to 17 digits), GLN (13 digits), name; `yder` for a practice (6 digits)."""

    sor: str
    gln: str
    name: str
    yder: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """A letter in its envelope: MessageHeader.id and Bundle.id (UUIDs), what it does, and when (with a zone)."""

    letter: str
    envelope: str
    activity: str
    at: dt.datetime


def bundle(identity: str, profile: str, timestamp: str, resources: Sequence[Resource]) -> Resource:
    """Return a Bundle of type message; its first resource is the MessageHeader. `profile` is the message's own."""
    guide = profile.partition("/StructureDefinition/")[0].replace("http://", "https://", 1)
    return {
        "resourceType": "Bundle",
        "id": identity,
        "meta": {"profile": [profile]},
        "type": "message",
        "timestamp": timestamp,
        "entry": [
            {"fullUrl": f"{guide}/{resource['resourceType']}/{resource['id']}", "resource": resource}
            for resource in resources
        ],
    }


def destination(endpoint: str, organisation_id: str) -> dict[str, Any]:
    """Return a primary destination (medcom-messaging-messageHeader, slice primary)."""
    use = {"system": f"{TERMINOLOGY}/medcom-messaging-destinationUse", "code": "primary"}
    return {
        "extension": [{"url": f"{MESSAGING}-destinationUseExtension", "valueCoding": use}],
        "endpoint": endpoint,
        "receiver": {"reference": f"Organization/{organisation_id}"},
    }


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


def provenance(
    identity: str,
    header: str,
    activity: Mapping[str, str],
    times: Mapping[str, str],
    agent: tuple[str, tuple[str, str] | None],
) -> Resource:
    """Return a Provenance that keeps medcom-messaging-provenance.

    `times` has `occurred` and `recorded`; `agent` is the id of the Organization that did it, and (role, id) of the
    letter that this one follows, if any.
    """
    agent_id, previous = agent
    made: Resource = {
        "resourceType": "Provenance",
        "id": identity,
        "meta": {"profile": [f"{MESSAGING}-provenance"]},
        "text": narrative(
            "Provenance", {"message": header, "activity": activity["code"], "occurred": times["occurred"]}
        ),
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


def narrative(title: str, facts: Mapping[str, str]) -> dict[str, str]:
    """Return a generated narrative; MedCom wants one in every resource. Everything in it is escaped, and what XML
    cannot hold though JSON can (two code points that are no characters) is left out.
    """
    lines = "".join(f"<li>{html.escape(name)}: {html.escape(value)}</li>" for name, value in facts.items())
    body = f"<p>{html.escape(title)}</p><ul>{lines}</ul>" if lines else f"<p>{html.escape(title)}</p>"
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{body.translate(_NOT_IN_XML)}</div>'
    return {"status": "generated", "div": div}


def namer(letter: str) -> Callable[[str], str]:
    """Return a function that names the resources of a letter: a UUID each, the same for the same letter and part."""
    space = uuid.UUID(letter)
    return lambda part: str(uuid.uuid5(space, part))


def iso(moment: dt.datetime) -> str:
    """Return a dateTime with its zone, to the second."""
    return moment.isoformat(timespec="seconds")


def header(sent: Sent, event: str, profile: str, between: tuple[Place, Place], focus: str) -> Resource:
    """Return the MessageHeader of a letter about `focus` (`Encounter/x`), `between` a sender and a receiver."""
    sender, receiver = between
    name = namer(sent.letter)
    return {
        "resourceType": "MessageHeader",
        "id": sent.letter,
        "meta": {"profile": [profile]},
        "text": narrative("Message", {"event": event, "from": sender.name, "to": receiver.name}),
        "eventCoding": {"system": f"{TERMINOLOGY}/medcom-messaging-eventCodes", "code": event},
        "destination": [destination(f"{SOR_ENDPOINT}{receiver.sor}", name("receiver"))],
        "sender": {"reference": f"Organization/{name('sender')}"},
        "source": {"endpoint": f"{SOR_ENDPOINT}{sender.sor}"},
        "focus": [{"reference": focus}],
    }


def patient(citizen: Citizen, identity: str) -> Resource:
    """Return a Patient that keeps medcom-core-patient."""
    given = {"given": list(citizen.given)} if citizen.given else {}
    return {
        "resourceType": "Patient",
        "id": identity,
        "meta": {"profile": [f"{CORE}-patient"]},
        "text": narrative("Patient", {"name": " ".join((*citizen.given, citizen.family)), "CPR": citizen.cpr}),
        "identifier": [{"system": CPR, "value": citizen.cpr}],
        "name": [{"use": "official", "family": citizen.family, **given}],
    }


def provenances(history: Sequence[Sent], agent: str, role: str) -> list[Resource]:
    """Return the Provenances of a series of letters, oldest first; the last one follows the one before as `role`."""
    made = []
    for index, sent in enumerate(history):
        previous = (role if sent is history[-1] else "revision", history[index - 1].letter) if index else None
        activity = {"system": f"{TERMINOLOGY}/medcom-messaging-activityCodes", "code": sent.activity}
        times = {"occurred": iso(sent.at), "recorded": iso(sent.at)}
        made.append(provenance(namer(sent.letter)("provenance"), sent.letter, activity, times, (agent, previous)))
    return made
