"""What the rules of ADT promise, one law a test."""

from __future__ import annotations

import datetime as dt

import pytest

from adapters.hospital_hl7v2 import translate as adapter
from gateway.model import Change, Mode, RejectionCode, Trace, Translation
from tests.feeds.hospital import DANISH, context, translate

CPR = "2512489996^^^CPR^NNDNK"


def segment(name: str, **fields: str) -> str:
    top = max((int(key[1:]) for key in fields), default=0)
    return "|".join([name, *(fields.get(f"f{number}", "") for number in range(1, top + 1))])


def adt(event: str, *segments: str, at: str = "20261122101500", control: str = "C-1") -> bytes:
    head = f"MSH|^~\\&|EPJ|OUH|SUNDBRO|RSD|{at}||ADT^{event}|{control}|P|2.5.1||||||UNICODE UTF-8"
    return "\r".join([head, f"EVN|{event}|{at}", *segments, ""]).encode()


def pid(**fields: str) -> str:
    return segment("PID", **({"f3": CPR, "f5": "Berggren^Nancy"} | fields))


def pv1(**fields: str) -> str:
    return segment("PV1", **({"f2": "I", "f3": "M3^12^2^OUH", "f19": "V-1^^^OUH"} | fields))


def done(body: bytes) -> Translation:
    return translate(body, DANISH)


def only(result: Translation, kind: str) -> Change:
    (found,) = [change for change in result.changes if change.resource["resourceType"] == kind]
    return found


def reason(result: Translation) -> RejectionCode:
    assert not result.changes
    return result.reasons[0].code


@pytest.mark.parametrize(
    ("event", "status", "weak"),
    [
        ("A01", "in-progress", ()),
        ("A02", "in-progress", ()),
        ("A03", "finished", ()),
        ("A04", "in-progress", ()),
        ("A05", "planned", ()),
        ("A06", "in-progress", ()),
        ("A08", "in-progress", ("status",)),
        ("A11", "cancelled", ()),
        ("A12", "in-progress", ()),
        ("A13", "in-progress", ()),
        ("A21", "onleave", ()),
        ("A23", "entered-in-error", ()),
        ("A38", "cancelled", ()),
    ],
)
def test_the_event_decides_the_status_and_an_update_does_not(event: str, status: str, weak: tuple[str, ...]) -> None:
    change = only(done(adt(event, pid(), pv1())), "Encounter")
    assert (change.resource["status"], change.mode, change.weak) == (status, Mode.MERGE, weak)


def test_every_event_of_a_visit_is_about_the_same_encounter() -> None:
    ids = {
        only(done(adt(event, pid(), pv1(f44=""))), "Encounter").resource["id"]
        for event in ("A01", "A02", "A03", "A08", "A11", "A13")
    }
    assert len(ids) == 1


@pytest.mark.parametrize("event", ["A28", "A31", "A29"])
def test_person_events_make_no_encounter(event: str) -> None:
    kinds = {change.resource["resourceType"] for change in done(adt(event, pid(), pv1())).changes}
    assert "Encounter" not in kinds
    assert "Patient" in kinds


def test_deleting_a_person_only_makes_them_inactive() -> None:
    assert only(done(adt("A29", pid())), "Patient").resource["active"] is False


@pytest.mark.parametrize("visit", ["PV1|1|N", "PV1|1|I", "PV1|1"])
def test_a_pv1_that_is_there_for_its_structure_makes_no_encounter(visit: str) -> None:
    assert not [c for c in done(adt("A08", pid(), visit)).changes if c.resource["resourceType"] == "Encounter"]


def test_a_future_admission_of_an_outpatient_is_planned() -> None:
    assert only(done(adt("A04", pid(), pv1(f2="O", f44="20261201100000"))), "Encounter").resource["status"] == "planned"


def test_a_transfer_closes_the_old_place_and_opens_the_new_one_at_the_same_moment() -> None:
    entries = only(done(adt("A02", pid(), pv1(f3="M5^3^1^OUH", f6="M3^12^2^OUH"))), "Encounter").resource["location"]
    moment = "2026-11-22T10:15:00+01:00"
    assert [(e["status"], e["period"]) for e in entries] == [
        ("active", {"start": moment}),
        ("completed", {"end": moment}),
    ]


def test_cancelling_a_discharge_takes_back_its_end_and_its_disposition() -> None:
    change = only(done(adt("A13", pid(), pv1(f36="01", f44="20261120", f45="20261122"))), "Encounter")
    assert change.resource["period"] == {"start": "2026-11-20"}
    assert "hospitalization" not in change.resource
    assert "hospitalization" in change.clear


def test_a_place_is_the_same_place_only_on_the_same_ward() -> None:
    beds = {
        only(done(adt("A01", pid(), pv1(f3=place))), "Encounter").resource["location"][0]["location"]["reference"]
        for place in ("M3^12^2^OUH", "M4^12^2^OUH", "M3^12^2^OUH")
    }
    assert len(beds) == 2


def test_null_clears_empty_leaves_and_a_value_sets() -> None:
    change = only(
        done(adt("A08", pid(f7="19481225", f11='""', f13="^PRN^PH^^^^1", f14='""', f30='""'), pv1())), "Patient"
    )
    assert "address" in change.clear
    assert "telecom" not in change.clear, "another field filled the element"
    assert {"deceasedBoolean", "deceasedDateTime"} <= set(change.clear)
    assert "maritalStatus" not in change.clear
    assert not {"address", "maritalStatus"} & change.resource.keys()
    assert '""' not in str(change.resource)


def test_the_two_forms_of_a_choice_never_stand_together() -> None:
    change = only(done(adt("A08", pid(f24="Y", f25="2", f29="20261101", f30="Y"), pv1())), "Patient")
    assert "deceasedBoolean" not in change.resource
    assert "deceasedBoolean" in change.clear
    assert "multipleBirthBoolean" not in change.resource


@pytest.mark.parametrize("number", ["251248-9996", "2512489996", "25 12 48 9996"])
def test_a_cpr_number_is_one_however_it_is_written(number: str) -> None:
    patient = only(done(adt("A28", pid(f3=f"{number}^^^CPR^NNDNK"))), "Patient").resource
    assert patient["identifier"][0]["value"] == "2512489996"
    assert patient["id"] == only(done(adt("A28", pid())), "Patient").resource["id"]


def test_a_cpr_number_that_fails_modulus_11_is_taken() -> None:
    assert only(done(adt("A28", pid(f3="0101659990^^^CPR^NNDNK"))), "Patient")


@pytest.mark.parametrize("number", ["3102489996", "0013489996", "251248999", "ABC", "2513489996"])
def test_a_cpr_number_that_cannot_be_is_rejected_where_it_stands(number: str) -> None:
    result = done(adt("A28", pid(f3=f"4711^^^OUH^MR~{number}^^^CPR^NNDNK")))
    assert reason(result) is RejectionCode.IDENTITY_INVALID
    assert result.reasons[0].at == "PID-3[2]"
    assert number not in result.reasons[0].text


def test_regional_replacement_numbers_are_told_apart_by_their_region() -> None:
    here = only(done(adt("A28", pid(f3="0101905QX2^^^D-ECPR"))), "Patient").resource["identifier"][0]
    assert (here["system"], here["use"]) == ("urn:oid:1.2.208.176.1.6.1.3.183", "temp")


def test_a_patient_without_a_number_is_rejected() -> None:
    assert reason(done(adt("A01", pid(f3=""), pv1()))) is RejectionCode.IDENTITY_MISSING
    assert reason(done(adt("A01"))) is RejectionCode.STRUCTURE


def test_cpr_comes_before_other_numbers_whatever_their_order() -> None:
    one = only(done(adt("A28", pid(f3=f"4711^^^OUH^MR~{CPR}"))), "Patient").resource["id"]
    assert one == only(done(adt("A28", pid())), "Patient").resource["id"]


def test_a_merge_links_both_ways_and_keeps_the_old_number_with_the_survivor() -> None:
    result = done(adt("A40", pid(f3=f"{CPR}~1^^^OUH^MR"), "MRG|2^^^OUH^MR"))
    survivor, replaced = result.changes
    assert survivor.resource["link"] == [
        {"other": {"reference": f"Patient/{replaced.resource['id']}"}, "type": "replaces"}
    ]
    assert replaced.resource["link"] == [
        {"other": {"reference": f"Patient/{survivor.resource['id']}"}, "type": "replaced-by"}
    ]
    assert replaced.resource["active"] is False
    assert ("2", "old") in {(each["value"], each.get("use")) for each in survivor.resource["identifier"]}
    assert survivor.lane != replaced.lane


def test_the_lane_of_a_merge_is_the_survivors() -> None:
    body = adt("A40", pid(), "MRG|2^^^OUH^MR")
    (piece,) = adapter.split(body, "application/hl7-v2", DANISH.feed)
    assert piece.person is not None
    assert DANISH.ids.lane(piece.person) == done(body).changes[0].lane


def test_a_merge_repeats_its_pairs() -> None:
    pairs = [pid(), "MRG|2^^^OUH^MR", pid(f3="0101019994^^^CPR"), "MRG|3^^^OUH^MR"]
    assert len(done(adt("A40", *pairs)).changes) == 4


def test_a_patient_is_not_merged_into_itself() -> None:
    assert reason(done(adt("A40", pid(), f"MRG|{CPR}"))) is RejectionCode.MERGE_CYCLE


def test_linking_names_both_and_unlinking_clears() -> None:
    two = (pid(), pid(f3="0101019994^^^CPR"))
    linked = done(adt("A24", *two)).changes
    assert [change.resource["link"][0]["type"] for change in linked] == ["seealso", "seealso"]
    assert all("link" in change.clear for change in done(adt("A37", *two)).changes)


@pytest.mark.parametrize(
    ("sent", "fhir"),
    [
        ("20260701120000", "2026-07-01T12:00:00+02:00"),
        ("20261201120000", "2026-12-01T12:00:00+01:00"),
        ("20261025023000", "2026-10-25T02:30:00+02:00"),
        ("20260329023000", "2026-03-29T02:30:00+01:00"),
        ("202612011200-0500", "2026-12-01T12:00:00-05:00"),
        ("2026120112", "2026-12-01T12:00:00+01:00"),
        ("20261201", "2026-12-01"),
        ("202612", "2026-12"),
        ("20261201120000.1234", "2026-12-01T12:00:00.1234+01:00"),
    ],
)
def test_times_get_the_feeds_zone_with_its_daylight_saving_rules(sent: str, fhir: str) -> None:
    assert only(done(adt("A01", pid(), pv1(f44=sent))), "Encounter").resource["period"]["start"] == fhir


@pytest.mark.parametrize("sent", ["20261025023000", "20260329023000"])
def test_an_hour_that_comes_twice_or_never_is_told(sent: str) -> None:
    codes = {notice.code for notice in done(adt("A01", pid(), pv1(f44=sent))).notices}
    assert codes & {"zone-assumed", "time-nonexistent"}


@pytest.mark.parametrize("sent", ["20260231", "00000000", "20261301", "2026120124", "2018080800000000000", "abc"])
def test_a_date_that_cannot_be_is_left_out_and_told(sent: str) -> None:
    result = done(adt("A28", pid(f7=sent)))
    patient = only(result, "Patient").resource
    assert "birthDate" not in patient
    assert patient["_birthDate"]["extension"][0]["valueCode"] == ("unknown" if sent == "00000000" else "error")
    assert "time-invalid" in {notice.code for notice in result.notices}


def test_the_event_time_is_when_it_happened_not_when_it_was_sent() -> None:
    body = adt("A01", pid(), pv1()).replace(b"EVN|A01|20261122101500", b"EVN|A01|20261122101500||||20261122090000")
    assert only(done(body), "Encounter").event_time == dt.datetime(2026, 11, 22, 8, 0, tzinfo=dt.UTC)


def test_an_unknown_sex_is_kept_beside_unknown() -> None:
    patient = only(done(adt("A28", pid(f8="Q"))), "Patient").resource
    assert patient["gender"] == "unknown"
    assert "Q" in str(patient["_gender"])


def test_training_messages_do_not_reach_production() -> None:
    body = adt("A01", pid(), pv1()).replace(b"|P|2.5.1", b"|T|2.5.1")
    assert reason(done(body)) is RejectionCode.TEST_MESSAGE
    assert translate(body, context(accept_test_messages=True)).changes


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (b"VXU^V04", RejectionCode.UNSUPPORTED_TYPE),
        (b"ADT^A99", RejectionCode.UNSUPPORTED_TYPE),
        (b"ORU^W01", RejectionCode.UNSUPPORTED_TYPE),
        (b"", RejectionCode.STRUCTURE),
    ],
)
def test_what_is_not_taken_is_said(kind: bytes, code: RejectionCode) -> None:
    assert reason(done(adt("A01", pid(), pv1()).replace(b"ADT^A01|C", kind + b"|C"))) is code


def test_versions_that_nobody_published_are_refused() -> None:
    assert reason(done(adt("A01", pid()).replace(b"|2.5.1|", b"|3.0|"))) is RejectionCode.UNSUPPORTED_VERSION


def test_an_allergy_withdrawn_by_its_action_code_is_entered_in_error() -> None:
    allergy = only(done(adt("A60", pid(), "IAM|1|DA|J01CA^Penicillin^ATC|||D|77^OUH")), "AllergyIntolerance").resource
    assert allergy["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    assert "clinicalStatus" not in allergy


def test_an_emptied_list_changes_nothing_and_is_told() -> None:
    result = done(adt("A08", pid(), pv1(), 'AL1|""'))
    assert "list-emptied" in {notice.code for notice in result.notices}


def test_lineage_names_the_official_row_and_the_field_and_costs_nothing_when_nobody_asks() -> None:
    trace = Trace()
    body = adt("A08", pid(f8="K"), pv1())
    traced = translate(body, DANISH, trace)
    patient = only(traced, "Patient").resource
    steps = {step.element: step for step in trace.of(f"Patient/{patient['id']}")}
    assert steps["gender"].official == "segments/PID--Patient.csv PID-8"
    assert steps["gender"].source == "PID-8"
    assert [c.resource for c in traced.changes] == [c.resource for c in done(body).changes]


def test_every_element_of_a_patient_has_its_lineage() -> None:
    trace = Trace()
    body = adt("A01", pid(f7="19481225", f8="K", f11="Vej 1^^By", f13="^PRN^PH^^^^1", f16="G"), pv1())
    patient = only(translate(body, DANISH, trace), "Patient").resource
    known = {step.element.split(".")[0] for step in trace.of(f"Patient/{patient['id']}")}
    assert set(patient) - {"resourceType", "id"} <= known


def test_a_batch_is_split_with_each_messages_person() -> None:
    one, two = adt("A28", pid(), control="C-1"), adt("A28", pid(f3="0101019994^^^CPR"), control="C-2")
    pieces = adapter.split(b"BHS|^~\\&|A\r" + one + two + b"BTS|2\r", "application/hl7-v2", DANISH.feed)
    assert [piece.control_id for piece in pieces] == ["C-1", "C-2"]
    assert [piece.body for piece in pieces] == [one, two]
    assert pieces[0].person != pieces[1].person


def test_a_swap_of_beds_keeps_the_two_patients_apart() -> None:
    result = done(
        adt("A17", pid(), pv1(f3="M3^1", f19="V-1^^^OUH"), pid(f3="0101019994^^^CPR"), pv1(f3="M3^2", f19="V-2^^^OUH"))
    )
    visits = [change for change in result.changes if change.resource["resourceType"] == "Encounter"]
    assert len({change.lane for change in visits}) == 2
    assert len({change.resource["location"][0]["location"]["reference"] for change in visits}) == 2
