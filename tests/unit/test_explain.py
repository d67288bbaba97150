"""Which message an element is said to come from: the one whose saying the store holds."""

from __future__ import annotations

import datetime as dt
import itertools

from gateway.fhir.ids import Ids
from gateway.model import Change, Feed, Lane, Mode, Position, RawMessage
from gateway.translate import provenance
from gateway.translate.explain import Line, Told

NOON = dt.datetime(2026, 10, 25, 12, 0, tzinfo=dt.UTC)


def line(element: str, receipt: str, source: str = "PID-3") -> Line:
    return Line(element, f"{source.lower()}-rule", "", source, receipt, Position("raw.test", 0, 0))


def change(mode: Mode, hour: int, *names: str, clear: tuple[str, ...] = (), weak: tuple[str, ...] = ()) -> Change:
    resource = {"resourceType": "Patient", "id": "p"} | dict.fromkeys(names, "x")
    return Change(resource, mode, None, NOON.replace(hour=hour), clear, weak)


def heard(*said: tuple[Change, list[Line]]) -> list[tuple[str, str, str]]:
    told = Told("Patient")
    for one, lines in said:
        told.hear(one, NOON, lines)
    return [(each.element, each.receipt, each.source) for each in told.in_order()]


def test_the_latest_event_is_the_source_in_whatever_order_messages_came() -> None:
    said = [
        (change(Mode.MERGE, 8, "gender", "name"), [line("gender", "a", "PID-8"), line("name", "a", "PID-5")]),
        (change(Mode.MERGE, 9, "name"), [line("name", "b", "PID-5")]),
        (change(Mode.ENSURE, 10, "name", "birthDate"), [line("name", "c", "PID-5"), line("birthDate", "c", "PID-7")]),
    ]
    for order in itertools.permutations(said):
        assert heard(*order) == [("name", "b", "PID-5"), ("gender", "a", "PID-8"), ("birthDate", "c", "PID-7")]


def test_identifiers_add_up_and_an_element_keeps_all_its_sources() -> None:
    first = (change(Mode.MERGE, 8, "identifier"), [line("identifier", "a"), line("identifier", "a", "PID-19")])
    again = (change(Mode.MERGE, 9, "identifier"), [line("identifier", "b")])
    assert heard(first, again) == [("identifier", "b", "PID-3"), ("identifier", "a", "PID-19")]
    assert heard(again, first) == [("identifier", "b", "PID-3"), ("identifier", "a", "PID-19")]


def test_a_whole_resource_replaces_a_cleared_element_goes_and_a_weak_one_fills_gaps() -> None:
    first = (change(Mode.PUT, 8, "gender", "name"), [line("gender", "a"), line("name", "a")])
    assert heard(first, (change(Mode.PUT, 9, "name"), [line("name", "b")])) == [("name", "b", "PID-3")]
    assert heard(first, (change(Mode.MERGE, 9, clear=("gender",)), [])) == [("name", "a", "PID-3")]
    assert heard(first, (change(Mode.MERGE, 9, "name", weak=("name",)), [line("name", "b")]))[0][1] == "a"


def test_what_a_message_set_and_took_away_again_is_not_told() -> None:
    assert heard((change(Mode.PUT, 8, "name"), [line("name", "a"), line("gender", "a")])) == [("name", "a", "PID-3")]


def test_every_element_of_a_provenance_has_its_line() -> None:
    raw = RawMessage("test", "r", b"", "", Lane("l"), NOON)
    made = provenance.provenance(raw, "letter", [change(Mode.PUT, 8)], Feed("test", "f"), Ids(b"0" * 16), "m")
    told = {element.partition(".")[0] for element, _, _ in provenance.LINEAGE}
    assert told == made.keys() - {"resourceType", "id", "meta"}
