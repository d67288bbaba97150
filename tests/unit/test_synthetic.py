"""Synthetic citizens: nobody real, the same for the same seed, and sent in messages that the gateway's adapters take."""

from __future__ import annotations

import datetime as dt
import importlib
import itertools
import re
from dataclasses import replace

import pytest

from gateway.clock import FrozenClock
from gateway.fhir.ids import Ids
from gateway.formats import json
from gateway.identity.people import PEOPLE, record
from gateway.model import Feed, Lane, RawMessage
from gateway.translate import feeds, registry
from synthetic import Citizens, Home, Hospital, Laboratory, Municipality, cast

MORNING = dt.datetime(2026, 11, 22, 8, 30, tzinfo=dt.UTC)


class RunningClock:
    """A clock that goes on by three seconds at every look."""

    def __init__(self) -> None:
        self.at = MORNING

    def now(self) -> dt.datetime:
        self.at += dt.timedelta(seconds=3)
        return self.at


def take(stream, count):
    return list(itertools.islice(stream, count))


@pytest.fixture(scope="module")
def stations():
    known = {"hospital": Feed("hospital", "hospital_hl7v2"), **feeds.load(registry.ADAPTERS, None)}
    return registry.stations(known, Ids(b"a secret of the tests alone"))


def translated(stations, feed, body, content_type):
    station = stations[feed]
    pieces = station.adapter.split(body, content_type, station.feed)
    assert len(pieces) == 1
    assert pieces[0].person is not None
    later = MORNING + dt.timedelta(days=1)
    raw = RawMessage(feed, "receipt", body, content_type, Lane("0" * 32), later, pieces[0].control_id)
    return station.adapter.translate(raw, station.context)


def test_every_number_is_a_test_number_of_an_existing_day_and_nobody_has_it_twice():
    citizens = Citizens(7, 5000)
    assert len({citizen.cpr for citizen in citizens}) == 5000
    for citizen in citizens:
        assert re.fullmatch(r"\d{6}99\d\d", citizen.cpr)
        assert citizen.cpr[:6] == f"{citizen.born:%d%m%y}"
        assert (int(citizen.cpr[-1]) % 2 == 1) == (citizen.sex == "M")


def test_the_same_seed_gives_the_same_citizens_and_messages_another_seed_others():
    def messages(seed):
        citizens = Citizens(seed, 50)
        clock = FrozenClock(MORNING)
        return (
            take(Hospital(citizens, clock).adt(), 20)
            + take(Laboratory(citizens, clock).results(), 5)
            + take(Home(citizens, clock).batches(3), 5)
            + take(Municipality(citizens, clock).notifications(), 5)
        )

    assert list(Citizens(1, 50)) == list(Citizens(1, 50)) != list(Citizens(2, 50))
    assert messages(1) == messages(1) != messages(2)


@pytest.mark.parametrize("count", [0, -1, 10**7])
def test_an_impossible_population_is_refused(count):
    with pytest.raises(ValueError, match="citizens"):
        Citizens(1, count)


def test_one_citizen_is_enough_for_every_stream():
    citizens = Citizens(3, 1)
    clock = RunningClock()
    for stream in (
        Hospital(citizens, clock).adt(),
        Laboratory(citizens, clock).results(),
        Home(citizens, clock).lines(2),
    ):
        assert all(take(stream, 12))


def test_a_laboratory_message_has_about_4_kb_and_fifteen_results():
    for body in take(Laboratory(Citizens(1, 100), RunningClock()).results(), 50):
        assert 3_500 < len(body) < 5_000
        assert body.count(b"\rOBX|") == 15


@pytest.mark.parametrize(("charset", "declared"), [("utf-8", "UNICODE UTF-8"), ("iso-8859-1", "8859/1")])
def test_the_declared_character_set_is_the_one_used_and_danish_letters_are_there(charset, declared):
    citizens = Citizens(1, 200)
    for maker in (
        Hospital(citizens, RunningClock(), charset=charset).adt(),
        Laboratory(citizens, RunningClock(), charset=charset).results(),
    ):
        texts = [body.decode(charset) for body in take(maker, 60)]
        assert all(text.split("|", 18)[17] == declared for text in texts)
        assert set("æøåÆØÅ") & set("".join(texts))


def test_stays_begin_with_admission_end_with_discharge_and_keep_their_order():
    steps: dict[str, list[str]] = {}
    for body in take(Hospital(Citizens(5, 40), RunningClock()).adt(), 600):
        segments = body.decode().split("\r")
        event, visit = segments[0].split("|")[8].split("^")[1], segments[3].split("|")[19]
        steps.setdefault(visit, []).append(event)
    whole = ["A01", "A08", "A02", "A08", "A03"]
    assert all(events == whole[: len(events)] for events in steps.values())
    assert whole in steps.values()


def test_control_ids_and_reading_times_are_never_used_twice():
    citizens, clock = Citizens(1, 20), FrozenClock(MORNING)
    lab = take(Laboratory(citizens, clock).results(), 500)
    assert len({body.split(b"|", 10)[9] for body in lab}) == 500
    readings = [json.loads(line) for line in take(Home(citizens, clock).readings(), 500)]
    assert len({reading["timestamp"] for reading in readings}) == 500


def test_the_home_feed_takes_every_reading(stations):
    for body in take(Home(Citizens(1, 100), RunningClock()).batches(40), 5):
        translation = translated(stations, "home", body, "application/json")
        assert not translation.reasons
        assert sum(change.resource["resourceType"] == "Observation" for change in translation.changes) == 40
    for line in take(Home(Citizens(1, 100), RunningClock()).readings(), 50):
        assert not translated(stations, "home", line.encode(), "application/json").reasons


def test_faults_are_refused_one_by_one(stations):
    body = next(Home(Citizens(1, 100), RunningClock(), faults=0.5).batches(200))
    translation = translated(stations, "home", body, "application/json")
    assert 50 < len(translation.reasons) < 150
    assert translation.changes


def test_the_hospital_feed_takes_every_message_and_rejects_the_faulty(stations):
    citizens = Citizens(1, 100)
    bodies = take(Hospital(citizens, RunningClock()).adt(), 60) + take(
        Laboratory(citizens, RunningClock()).results(), 20
    )
    for body in bodies:
        translation = translated(stations, "hospital", body, "x-application/hl7-v2+er7")
        assert not translation.reasons, translation.reasons
        assert translation.changes
    station = stations["hospital"]
    for body in [
        next(Hospital(citizens, RunningClock(), faults=1).adt()),
        next(Laboratory(citizens, RunningClock(), faults=1).results()),
    ]:
        raw = RawMessage("hospital", "receipt", body, "x-application/hl7-v2+er7", Lane("0" * 32), MORNING)
        assert station.adapter.translate(raw, station.context).reasons


def test_the_municipal_feed_takes_every_letter(stations):
    municipality = Municipality(Citizens(1, 100), RunningClock())
    for body in take(municipality.notifications(), 20) + take(municipality.observations(), 5):
        translation = translated(stations, "municipal", body, "application/fhir+json")
        assert not translation.reasons, translation.reasons
        assert translation.changes


def test_a_citizen_is_a_value():
    citizen = Citizens(1, 1)[0]
    assert replace(citizen) == citizen
    assert importlib.import_module("synthetic").__doc__


CAST_KINDS = {"adt": ("hospital", "application/hl7-v2"), "oru": ("hospital", "application/hl7-v2"), "observation": ("municipal", "application/fhir+json"), "home": ("home", "application/json")}  # fmt: skip


def test_the_people_whom_one_can_log_in_as_are_citizens_of_the_demo(stations):
    """Whatever the demo sends first is taken, and is about the records that log-ins of the same people lead to."""
    ids = Ids(b"a secret of the tests alone")
    records: dict[str, set[str]] = {}
    for source, messages in cast.beginnings(RunningClock()).items():
        feed, content_type = CAST_KINDS[source]
        for body in messages:
            made = stations[feed].adapter
            for piece in made.split(body, content_type, stations[feed].feed):
                raw = RawMessage(
                    feed,
                    "receipt",
                    piece.body,
                    content_type,
                    Lane("0" * 32),
                    MORNING + dt.timedelta(days=1),
                    piece.control_id,
                )
                told = made.translate(raw, stations[feed].context)
                assert not told.reasons, told.reasons
                about = {
                    f"Patient/{change.resource['id']}"
                    for change in told.changes
                    if change.resource["resourceType"] == "Patient"
                }
                records.setdefault(source, set()).update(about)
    people = {name: record(person, ids) for name, person in PEOPLE.items() if person.cpr and not person.acts_for}
    assert records["home"] == set(people.values())
    assert records["adt"] == records["oru"] == {people["citizen-1"], people["citizen-4"], people["child"]}
    assert records["observation"] == {people["citizen-1"], people["citizen-2"]}


def test_the_cast_has_test_numbers_and_no_number_of_a_population():
    numbers = [citizen.cpr for citizen in cast.cast()]
    assert len(set(numbers)) == len(numbers)
    assert all(re.fullmatch(r"\d{6}99\d\d", number) for number in numbers)
    assert not {citizen.number for citizen in cast.cast()} & {citizen.number for citizen in Citizens(1, 5000)}
    ages = {citizen.given: (MORNING.date() - citizen.born).days / 365.25 for citizen in cast.cast()}
    assert ages["Barn"] < 15 < ages["Ung"] < 18
