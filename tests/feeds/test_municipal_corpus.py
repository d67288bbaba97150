"""Every MedCom message at hand: translated to valid resources, or rejected with a reason that its sender would accept."""

from __future__ import annotations

from collections import Counter

import pytest

from adapters.municipal_medcom import translate as municipal
from gateway.fhir import xml as fhirxml
from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.model import Translation
from tests.corpus import corpus_folder
from tests.feeds.judge import judged
from tests.feeds.municipal_feed import feed, translated

pytestmark = pytest.mark.corpus

OUTCOMES = {
    "hospitalnotification": {"translated": 19},
    "hospitalnotificationtestscripts": {"translated": 32},
    # One published example of 1.0.0 has observations about another Patient; two point at staff that they left out.
    "homecareobservation": {"translated": 8, "reference-broken": 3},
    "homecareobservationtestscripts": {"translated": 4},
    # One of the published examples is of an empty message.
    "acknowledgement": {"translated": 2, "unsupported-type": 1},
    "acknowledgementtestscript": {"translated": 2},
    "carecommunication": {"unsupported-type": 23},
    "carecommunicationtestscripts": {"unsupported-type": 53},
}
"""What becomes of each folder. The rest of the corpus is documents and single resources: no messages."""


def outcomes(group: str) -> dict[str, tuple[bytes, Translation]]:
    found = {}
    for path in sorted((corpus_folder("medcom-fhir") / group).rglob("*.json")):
        body = path.read_bytes()
        (piece,) = municipal.split(body, "application/fhir+json", feed())
        found[f"{path.parent.name}-{path.stem}"] = (piece.body, translated(piece.body))
    return found


@pytest.mark.parametrize("group", OUTCOMES)
def test_each_message_has_the_outcome_that_was_looked_at(group):
    counted: Counter[str] = Counter()
    for name, (_, made) in outcomes(group).items():
        counted[made.reasons[0].code.value if made.reasons else "translated"] += 1
        for reason in made.reasons:
            print(f"{group}/{name}: {reason.code} at {reason.at}: {reason.text}")
            assert reason.at.startswith("Bundle")
        assert bool(made.changes) != bool(made.reasons)
        assert [issue for change in made.changes for issue in validate(change.resource)] == [], name
        assert (made.reply is None) == (made.message_type == "acknowledgement-message"), name
    assert counted == OUTCOMES[group]


def test_whatever_is_no_message_is_rejected_for_that():
    for group in ("conditionlist", "core", "document", "ekg", "messaging", "notes", "xdsdocuments"):
        for name, (_, made) in outcomes(group).items():
            assert made.reasons[0].code in {"structure", "unsupported-type"}, name
            assert made.changes == [], name


def test_the_same_message_in_xml_becomes_the_same_resources():
    compared = 0
    for group in ("hospitalnotification", "homecareobservation", "acknowledgement"):
        for name, (body, made) in outcomes(group).items():
            if made.reasons:
                continue
            again = translated(fhirxml.dumps(json.loads(body)))
            pair = [{change.resource["id"]: change.resource for change in one.changes} for one in (made, again)]
            assert pair[0] == pair[1], name
            compared += 1
    assert compared == 29


@pytest.mark.slow
def test_independent_validators_find_no_error_in_resources_and_replies(tmp_path):
    folders = {part: tmp_path / part for part in ("resources", "replies")}
    for folder in folders.values():
        folder.mkdir()
    resources, replies = [], []
    for group in OUTCOMES:
        for name, (_, made) in outcomes(group).items():
            if made.changes:
                resources.append(
                    (f"{group}-{name}", b"\n".join(json.dumps(change.resource) for change in made.changes))
                )
            if made.reply is not None and made.reply_reused is not None:
                replies.append((f"{group}-{name}", made.reply + b"\n" + made.reply_reused))
    assert judged(resources, folders["resources"], "hl7.fhir.dk.core-3.7.0") == []
    assert judged(replies, folders["replies"], "medcom.fhir.dk.acknowledgement-2.0.3") == []
    print(f"{len(resources)} messages' resources and {2 * len(replies)} acknowledgements, no error")
