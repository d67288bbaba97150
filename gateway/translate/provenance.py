"""One Provenance per message: which resources, from which message of which feed, by which mapping, when.

FHIR R4 Provenance with activity `v2-fhir-transformation`-style meaning (HL7 v2-to-FHIR: Provenance[transformation]);
agents: the sending organisation as source, this gateway as assembler. The raw record is an entity by identifier: its
receipt, which `sundbro explain` turns into the record itself.
"""

from __future__ import annotations

from gateway.clock import instant
from gateway.fhir.ids import Ids
from gateway.model import Change, Feed, RawMessage, Resource

RECEIPTS = "urn:sundbro:receipt"
MAPPINGS = "urn:sundbro:mapping"
_AGENT_TYPES = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_OPERATIONS = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"

LINEAGE = (
    ("target", "resources-of-message", "what the message made or changed"),
    ("recorded", "reception-time", "the time of reception at the door"),
    ("activity", "transformation", "constant"),
    ("agent.author", "sender-of-feed", "organisation in the feed's file"),
    ("agent.assembler", "mapping-version", "the feed's format and the hash of its mapping"),
    ("entity", "receipt-of-message", "the receipt given at the door"),
)
"""Each element, its rule and its source, for `sundbro explain`."""


def provenance(raw: RawMessage, letter: str, changes: list[Change], feed: Feed, ids: Ids, mapping: str) -> Resource:
    """Return the Provenance of `changes`. The same message gives the same resource on every replay.

    A message that arrives twice in different receipts is stored once, so the receipt named is the first one's.
    """
    organisation: Resource = {"display": feed.organisation or feed.title or feed.name}
    if feed.organisation_sor:
        organisation["identifier"] = {"system": "urn:oid:1.2.208.176.1.1", "value": feed.organisation_sor}
    seen: dict[str, None] = dict.fromkeys(f"{c.resource['resourceType']}/{c.resource['id']}" for c in changes)
    return {
        "resourceType": "Provenance",
        "id": ids.resource("Provenance", feed.name, letter),
        "meta": {"source": f"urn:sundbro:feed:{feed.name}"},
        "target": [{"reference": target} for target in seen],
        "recorded": instant(raw.received_at),
        "activity": {"coding": [{"system": _OPERATIONS, "code": "CREATE", "display": "create"}]},
        "agent": [
            {
                "type": {"coding": [{"system": _AGENT_TYPES, "code": "author", "display": "Author"}]},
                "who": organisation,
            },
            {
                "type": {"coding": [{"system": _AGENT_TYPES, "code": "assembler", "display": "Assembler"}]},
                "who": {"identifier": {"system": MAPPINGS, "value": f"{feed.format}@{mapping}"}, "display": "Sundbro"},
            },
        ],
        "entity": [{"role": "source", "what": {"identifier": {"system": RECEIPTS, "value": raw.receipt}}}],
    }
