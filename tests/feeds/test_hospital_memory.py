"""What a feed remembers of its messages shows in nothing but their cost."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from gateway.clock import FrozenClock
from gateway.model import Lane, Mode, Position, RawMessage, Trace, Translation
from gateway.translate.prepare import prepare
from gateway.translate.registry import Station
from synthetic import Citizens, Hospital, Laboratory
from tests.feeds.hospital import RECEIVED, SAMPLES, adapter, context, translate
from tests.feeds.test_hospital_adt import pid, segment
from tests.feeds.test_hospital_corpus import SOURCES, files
from tests.feeds.test_hospital_corpus import messages as bodies_of
from tests.feeds.test_hospital_oru import OBR, obx, oru

DOCTOR = "9HL7X^Larsen^Prøve^^^^^^&1.2.208.176.1.3&ISO"
LABORATORY = "KBA^Klinisk Biokemisk Afdeling^L"


def shown(translation: Translation) -> Any:
    return translation.changes, translation.reasons, translation.notices


def mentioned(translation: Translation) -> list[str]:
    return sorted(change.resource["resourceType"] for change in translation.changes if change.mode is Mode.ENSURE)


def messages() -> list[bytes]:
    citizens, clock = Citizens(7, 20), FrozenClock(RECEIVED)
    made = [*islice(Hospital(citizens, clock).adt(), 40), *islice(Laboratory(citizens, clock).results(), 10)]
    return made + [path.read_bytes() for path in sorted(SAMPLES.glob("*.hl7"))]


def test_a_message_becomes_the_same_after_any_others_as_alone() -> None:
    used = context()
    for body in [*messages(), *reversed(messages())]:
        assert shown(translate(body, used)) == shown(translate(body, context()))


def test_asking_for_lineage_changes_nothing() -> None:
    used = context()
    for body in messages() * 2:
        assert shown(translate(body, used, Trace())) == shown(translate(body, used))


@pytest.mark.corpus
def test_a_message_of_the_corpus_becomes_the_same_after_any_others_as_alone() -> None:
    used = context()
    bodies = [body for source in SOURCES for path in files(source) for body in bodies_of(path)]
    for body in bodies:
        translate(body, used)
    for body in bodies[::5]:
        assert shown(translate(body, used)) == shown(translate(body, context()))


def test_who_is_named_again_is_mentioned_again_wherever_the_first_message_named_them_first() -> None:
    used, person = context(), pid(f3="4711^^^OUH^MR")
    twice = [segment("ORC", f1="RE", f12=DOCTOR), segment("OBR", **(OBR | {"f16": DOCTOR}))]
    once = [segment("OBR", **(OBR | {"f16": DOCTOR}))]
    row = obx(f15=LABORATORY)
    for orders in (twice, once, once):
        found = mentioned(translate(oru(person, *orders, row, row), used))
        assert found == ["Organization", "Patient", "Practitioner", "ServiceRequest"]


def test_the_same_text_under_other_separators_is_another_thing() -> None:
    used = context()
    body = oru(pid(f3="4711^^^OUH^MR"), segment("OBR", **OBR), obx())
    other = body.replace(b"|^~\\&|", b"|*~\\&|")
    for words in (b"4711^^^OUH^MR", b"F-1^LAB", b"ORU^R01"):
        other = other.replace(words, words.replace(b"^", b"*"))
    for message in (body, other, body):
        assert shown(translate(message, used)) == shown(translate(message, context()))
    (plain,) = [c.resource for c in translate(body, used).changes if c.resource["resourceType"] == "Observation"]
    (whole,) = [c.resource for c in translate(other, used).changes if c.resource["resourceType"] == "Observation"]
    assert plain["code"]["coding"][0]["code"] == "NPU02319"
    assert whole["code"]["coding"][0]["code"] == "NPU02319^B-Hb^NPU"


def test_what_the_store_is_given_of_a_message_is_the_same_every_time() -> None:
    used = context()
    station = Station(used.feed, adapter, used, "m")
    for body in messages():
        raw = RawMessage("test", "r", body, "application/hl7-v2", Lane("0" * 32), RECEIVED)
        first, again = (prepare(raw, Position("raw.test", 0, 0), station).write for _ in range(2))
        assert first == again
        assert all(b'"source":"urn:sundbro:feed:test"' in write.body for write in first.writes)
