"""Merging converges: the same changes in any order end in the same content and the same state, to the byte."""

from __future__ import annotations

import copy
import datetime as dt
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.fhir import body
from gateway.fhir.merge import merge, put_state
from gateway.formats import json
from gateway.model import Change, Mode

NOON = dt.datetime(2026, 10, 25, 12, 0, tzinfo=dt.UTC)


def at(hours):
    return NOON + dt.timedelta(hours=hours)


def fold(arrivals, stored=None, state=None):
    """Let (change, feed, received_at) arrive one after the other, each through JSON as the store keeps them."""
    lates = []
    for change, feed, received_at in arrivals:
        stored, state, late = merge(stored, state, change, feed=feed, received_at=received_at)
        stored, state = json.loads(json.dumps(stored)), json.loads(json.dumps(state))
        lates.append(late)
    return stored, state, lates


def patient(mode=Mode.MERGE, hour=0, clear=(), weak=(), **elements):
    resource = {"resourceType": "Patient", "id": "p", **elements}
    return Change(resource, mode, event_time=at(hour), clear=clear, weak=weak)


def after(*changes):
    """Return what the changes of one feed end in, received a minute apart."""
    return fold((change, "a", at(100) + dt.timedelta(minutes=n)) for n, change in enumerate(changes))[0]


IDENTIFIERS = st.lists(
    st.fixed_dictionaries(
        {"value": st.sampled_from(["1", "2"])},
        optional={"system": st.sampled_from(["urn:a", "urn:b"]), "use": st.sampled_from(["official", "old"])},
    ),
    min_size=1,
    max_size=3,
)
CODINGS = st.lists(st.sampled_from([{"code": "x"}, {"code": "y", "display": "Y"}, {"code": "y"}]), min_size=1)
PLACES = st.lists(
    st.fixed_dictionaries(
        {
            "location": st.sampled_from(
                [{"reference": "Location/1"}, {"identifier": {"value": "2"}}, {"display": "3"}]
            ),
            "status": st.sampled_from(["active", "completed", "planned", "reserved"]),
        },
        optional={
            "period": st.fixed_dictionaries(
                {},
                optional={
                    "start": st.sampled_from(["2026-10-25T13:00:00Z", "2026-10-25T15:00:00+01:00", "2026-10-26"]),
                    "end": st.sampled_from(["2026-10-25T14:30:00Z", "2026-10-25T17:00:00+01:00"]),
                },
            )
        },
    ),
    min_size=1,
    max_size=2,
)
META = st.fixed_dictionaries(
    {},
    optional={
        "source": st.sampled_from(["urn:f", "urn:g"]),
        "tag": CODINGS,
        "security": CODINGS,
        "profile": st.lists(st.sampled_from(["http://a", "http://b"]), min_size=1),
    },
)


def resources(resource_type, **elements):
    return st.fixed_dictionaries(
        {"resourceType": st.just(resource_type), "id": st.just("x")}, optional={"meta": META, **elements}
    ).flatmap(lambda made: st.permutations(list(made.items())).map(dict))


PATIENTS = resources(
    "Patient",
    identifier=IDENTIFIERS,
    gender=st.sampled_from(["male", "female"]),
    birthDate=st.sampled_from(["1948-12-25", "1948"]),
    _birthDate=st.just({"extension": [{"url": "urn:t", "valueString": "x"}]}),
    deceasedBoolean=st.booleans(),
    name=st.lists(st.sampled_from([{"family": "A"}, {"text": "B"}]), min_size=1),
)
ENCOUNTERS = resources(
    "Encounter",
    identifier=IDENTIFIERS,
    status=st.sampled_from(["planned", "in-progress", "finished"]),
    location=PLACES,
)
CLEARS = st.lists(
    st.sampled_from(
        ["identifier", "gender", "birthDate", "_birthDate", "deceasedDateTime", "status", "location", "name"]
    ),
    max_size=3,
)
ARRIVALS = st.tuples(
    st.sampled_from(list(Mode)),
    st.sampled_from([0, 1, 2, 13, 30]),
    CLEARS,
    st.lists(st.sampled_from(["status", "gender", "birthDate"]), max_size=2),
    st.sampled_from(["a", "b"]),
    st.integers(5, 8),
)


def arrival(resource, about):
    mode, hour, clear, weak, feed, received = about
    return Change(resource, mode, event_time=at(hour), clear=tuple(clear), weak=tuple(weak)), feed, at(received)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from([PATIENTS, ENCOUNTERS]).flatmap(
    lambda kind: st.lists(st.tuples(kind, ARRIVALS), min_size=2, max_size=6)), st.randoms(use_true_random=False))  # fmt: skip
def test_any_order_of_arrival_ends_in_the_same_bytes(changes, random):
    arrivals = [arrival(*change) for change in changes]
    before = copy.deepcopy(arrivals)
    resource, state, _ = fold(arrivals)
    shuffled = list(arrivals)
    random.shuffle(shuffled)
    again, again_state, _ = fold(shuffled)
    assert body.prepare(resource) == body.prepare(again)
    assert json.dumps(state) == json.dumps(again_state)
    assert arrivals == before
    # Seen twice changes nothing either.
    twice, twice_state, _ = fold([shuffled[0]], resource, state)
    assert body.prepare(twice) == body.prepare(resource)
    assert twice_state == state


def test_every_order_of_one_story_ends_in_the_same_bytes():
    story = [
        patient(Mode.ENSURE, 5, identifier=[{"system": "urn:cpr", "value": "1"}], gender="other"),
        patient(
            hour=1, identifier=[{"system": "urn:cpr", "value": "1"}, {"system": "urn:x", "value": "7"}], gender="male"
        ),
        patient(hour=2, clear=("identifier", "gender")),
        patient(hour=3, identifier=[{"system": "urn:cpr", "value": "1", "use": "official"}], birthDate="1948"),
        patient(Mode.PUT, 2, active=True, name=[{"family": "A"}]),
    ]
    arrivals = [(change, "a", at(10 + n)) for n, change in enumerate(story)]
    ends = {body.prepare(fold(order)[0]) for order in itertools.permutations(arrivals)}
    assert ends == {
        b'{"resourceType":"Patient","id":"p","meta":{},"identifier":[{"system":"urn:cpr","value":"1","use":"official"}],"active":true,"name":[{"family":"A"}],"birthDate":"1948"}'
    }


def test_a_later_event_is_never_overwritten_and_an_earlier_one_fills_gaps():
    stored, _, lates = fold(
        [(patient(hour=5, gender="female"), "a", at(6)), (patient(hour=2, gender="male", birthDate="1948"), "a", at(7))]
    )
    assert (stored["gender"], stored["birthDate"]) == ("female", "1948")
    assert lates == [False, True]


def test_a_mention_fills_what_nobody_stated_and_yields_to_who_states_it():
    assert after(patient(gender="male"), patient(Mode.ENSURE, 9, gender="other", birthDate="1948")) == {
        "resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1948",
    }  # fmt: skip
    assert after(patient(Mode.ENSURE, 9, gender="other"), patient(hour=1, gender="male"))["gender"] == "male"


def test_mentions_of_one_day_are_written_once_and_a_later_day_replaces_them():
    first = patient(Mode.ENSURE, 1, name=[{"text": "A"}])
    stored, state, _ = fold([(first, "a", at(5))])
    for hour in (2, 3, 4):
        again = patient(Mode.ENSURE, hour, name=[{"text": "A"}])
        assert fold([(again, "b", at(6))], stored, state)[:2] == (stored, state)
    tomorrow = patient(Mode.ENSURE, 24, name=[{"text": "B"}])
    assert after(first, tomorrow)["name"] == after(tomorrow, first)["name"] == [{"text": "B"}]


def test_a_weak_element_does_not_overwrite_a_stated_one():
    ended = Change({"resourceType": "Encounter", "id": "x", "status": "finished"}, Mode.MERGE, event_time=at(1))
    update = Change(
        {"resourceType": "Encounter", "id": "x", "status": "in-progress", "priority": {"text": "low"}},
        Mode.MERGE, event_time=at(2), weak=("status",),
    )  # fmt: skip
    assert after(ended, update)["status"] == "finished"
    assert after(update)["status"] == "in-progress"
    assert "priority" in after(ended, update)


def test_a_cleared_element_stays_cleared_until_a_later_event_states_it():
    assert "gender" not in after(patient(hour=5, clear=("gender",)), patient(hour=2, gender="male"))
    assert after(patient(hour=5, clear=("gender",)), patient(hour=6, gender="male"))["gender"] == "male"
    assert "gender" not in after(patient(hour=2, gender="male"), patient(hour=5, clear=("gender",)))


def test_identifiers_are_a_union_and_a_cleared_one_does_not_come_back():
    one, two = {"system": "urn:a", "value": "1"}, {"system": "urn:b", "value": "2"}
    assert after(patient(hour=1, identifier=[two]), patient(hour=2, identifier=[one]))["identifier"] == [one, two]
    later = {**one, "use": "old"}
    assert after(patient(hour=2, identifier=[later]), patient(hour=1, identifier=[one]))["identifier"] == [later]
    cleared = patient(hour=3, clear=("identifier",), identifier=[two])
    assert after(cleared, patient(hour=2, identifier=[one]))["identifier"] == [two]


def test_one_form_of_a_choice_replaces_another_and_a_value_its_extension():
    alive, dead = patient(hour=1, deceasedBoolean=False), patient(hour=2, deceasedDateTime="2026-10-25")
    assert after(alive, dead) == after(dead, alive) == {**dead.resource}
    shadow = patient(hour=1, _birthDate={"extension": [{"url": "urn:x", "valueCode": "unknown"}]})
    assert "_birthDate" not in after(shadow, patient(hour=2, birthDate="1948"))


def test_a_put_replaces_the_whole_and_an_older_one_nothing():
    stored = after(patient(hour=1, gender="male", identifier=[{"value": "1"}]), patient(Mode.PUT, 2, active=True))
    assert stored == {"resourceType": "Patient", "id": "p", "active": True}
    assert after(patient(Mode.PUT, 2, active=True), patient(Mode.PUT, 1, gender="male")) == stored
    assert after(patient(Mode.PUT, 2, active=True), patient(hour=3, gender="male"))["active"] is True


def test_two_messages_of_one_second_keep_the_order_in_which_they_came_in():
    first, second = (patient(hour=1, gender="male"), "a", at(5)), (patient(hour=1, gender="female"), "a", at(6))
    assert fold([first, second])[0]["gender"] == fold([second, first])[0]["gender"] == "female"


def test_what_was_stored_without_a_state_yields_to_a_statement_and_not_to_a_mention():
    stored = {"resourceType": "Patient", "id": "p", "gender": "male"}
    mention = (patient(Mode.ENSURE, 9, gender="other", active=True), "a", at(9))
    assert fold([mention], stored)[0] == stored
    assert fold([(patient(hour=1, gender="other"), "a", at(9))], stored)[0]["gender"] == "other"
    state = put_state(at(3), at(3), "a")
    assert fold([(patient(hour=1, gender="other"), "a", at(9))], stored, state)[0]["gender"] == "male"


def test_meta_is_a_union_of_tags_labels_and_profiles():
    vip, test = {"system": "urn:s", "code": "VIP"}, {"system": "urn:s", "code": "TEST"}
    merged = after(
        patient(hour=1, meta={"security": [vip], "profile": ["http://b"], "source": "urn:1"}),
        patient(hour=2, meta={"security": [test], "profile": ["http://a"], "source": "urn:2", "versionId": "7"}),
    )
    assert merged["meta"] == {"profile": ["http://a", "http://b"], "security": [test, vip], "source": "urn:2"}


def test_a_state_names_no_person():
    _, state, _ = fold(
        [(patient(identifier=[{"system": "urn:oid:1.2.208.176.1.2", "value": "2512489996"}]), "a", at(1))]
    )
    assert b"2512489996" not in json.dumps(state)


def stay(place, status="active", start=None, end=None):
    period = {
        name: f"2026-10-25T{hour:02}:00:00Z" for name, hour in (("start", start), ("end", end)) if hour is not None
    }
    entry = {"location": {"reference": f"Location/{place}"}, "status": status}
    return {**entry, "period": period} if period else entry


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        # admitted, transferred, transferred: the middle message comes last in half of the orders
        ([(1, stay("a", start=1)), (2, stay("b", start=2)), (3, stay("c", start=3))],
         [stay("a", "completed", 1, 2), stay("b", "completed", 2, 3), stay("c", start=3)]),
        # a transfer that also says what was left
        ([(1, stay("a", start=1)), (4, stay("b", start=4)), (4, stay("a", "completed", end=4))],
         [stay("a", "completed", 1, 4), stay("b", start=4)]),
        # an update that only repeats where the person is
        ([(1, stay("a", start=1)), (2, stay("a"))], [stay("a", start=1)]),
        # discharged
        ([(1, stay("a", start=1)), (5, stay("a", "completed", end=5))], [stay("a", "completed", 1, 5)]),
        # back again
        ([(1, stay("a", start=1)), (2, stay("b", start=2)), (3, stay("a", start=3))],
         [stay("a", "completed", 1, 2), stay("b", "completed", 2, 3), stay("a", start=3)]),
        # a reserved bed closes nothing
        ([(1, stay("a", start=1)), (2, stay("b", "reserved"))], [stay("a", start=1), stay("b", "reserved")]),
    ],
)  # fmt: skip
def test_places_are_a_history_whatever_order_they_are_told_in(said, shown):
    changes = [
        Change({"resourceType": "Encounter", "id": "x", "location": [entry]}, Mode.MERGE, event_time=at(hour - 12))
        for hour, entry in said
    ]
    for order in itertools.permutations(changes):
        merged, _, _ = fold((change, "a", at(50)) for change in order)
        assert merged["location"] == shown
