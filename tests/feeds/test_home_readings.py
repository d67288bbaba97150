"""Laws of KIH-style readings: who, when, what, how much; what is refused, and that one refusal costs one reading."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from adapters.home_readings import measurements
from adapters.home_readings.translate import LOOKED_AT_BYTES_MAX, split
from gateway.errors import Unprocessable
from gateway.formats import json
from gateway.model import Mode, Trace
from gateway.terminology.tables import load
from tests.feeds.home_feed import (
    PROJECT,
    RECEIVED,
    context,
    feed,
    observations,
    only,
    reading,
    refused,
    translated,
)

CPR = "urn:oid:1.2.208.176.1.2"
NNDNK = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "NNDNK"}]}


def codings(observation):
    return {(coding["system"], coding["code"]) for coding in observation["code"]["coding"]}


def test_every_row_of_the_tables_belongs_together():
    tables = load(PROJECT / "mappings")
    known = measurements.of(tables)
    assert all(row["name"] in known.by_name for row in tables.rows("home/types"))
    assert all(row["name"] in known.by_name for row in tables.rows("home/codes"))
    ranges = [(row["name"], row["ucum"]) for row in tables.rows("home/plausible")]
    assert len(ranges) == len(set(ranges))
    assert set(ranges) == {(row["name"], row["ucum"]) for row in tables.rows("home/units")}
    for measurement in known.by_name.values():
        if measurement.kind == "quantity":
            assert measurement.unit_of(measurement.unit), measurement.name
        assert len({coding["system"] for coding in measurement.codings}) == len(measurement.codings)


def test_a_reading_carries_all_codings_side_by_side_and_the_senders_own_last():
    observation = only(translated(reading()))
    assert codings(observation) >= {
        ("http://loinc.org", "29463-7"),
        ("http://npu-terminology.org", "NPU03804"),
        ("urn:oid:1.2.208.176.2.1", "NPU03804"),
        ("urn:iso:std:iso:11073:10101", "188736"),
    }
    assert observation["code"]["coding"][-1] == {"system": "urn:id:home:type", "code": "weight", "userSelected": True}


def test_a_code_as_type_is_marked_where_it_stands_and_not_repeated():
    observation = only(translated(reading("NPU03804")))
    chosen = [coding for coding in observation["code"]["coding"] if coding.get("userSelected")]
    assert [coding["code"] for coding in chosen] == ["NPU03804"]
    assert len(observation["code"]["coding"]) == 4


@pytest.mark.parametrize(
    ("sent", "kept"), [("84.90", "84.90"), ("7", "7"), ("37.0", "37.0"), ("7.199999809265137", "7.199999809265137")]
)
def test_digits_stay_as_they_were_sent(sent, kept):
    body = json.dumps(
        reading("bloodsugar", Decimal(sent), "mmol/L") if sent != "84.90" else reading(value=Decimal(sent))
    )
    assert b'"value":' + kept.encode() in json.dumps(only(translated(body)))


@pytest.mark.parametrize(
    ("value", "unit", "becomes"),
    [
        (Decimal("0.97"), "NA", "97"),
        (Decimal("0.97"), None, "97"),
        (Decimal("0.970"), "1", "97.0"),
        (1, "{fraction}", "100"),
        (Decimal("0.9"), "", "90"),
        (97, "%", "97"),
        (Decimal("97.5"), " % ", "97.5"),
    ],
)
def test_a_saturation_is_a_fraction_or_per_cent_by_its_unit(value, unit, becomes):
    quantity = only(translated(reading("NPU03011", value, unit)))["valueQuantity"]
    assert (str(quantity["value"]), quantity["code"]) == (becomes, "%")


@pytest.mark.parametrize(
    ("value", "unit"), [(Decimal("0.97"), "%"), (97, "NA"), (97, ""), (97, None), (49, "%"), (101, "%"), (0, "NA")]
)
def test_a_saturation_that_contradicts_its_unit_is_refused_and_never_guessed(value, unit):
    assert refused(translated(reading("saturation", value, unit))) == [("implausible", "measurement.value")]


def test_metres_become_centimetres_without_losing_a_digit():
    quantity = only(translated(reading("height", Decimal("1.750"), "m")))["valueQuantity"]
    assert json.dumps(quantity) == b'{"value":175.0,"unit":"cm","system":"http://unitsofmeasure.org","code":"cm"}'


def test_a_unit_of_another_quantity_is_refused_by_name():
    translation = translated(reading(unit="mmHg"))
    assert refused(translation) == [("unit-unknown", "measurement.unit")]
    assert "kg" in translation.reasons[0].text
    assert refused(translated(reading("bloodsugar", 99, "mg/dL"))) == [("unit-unknown", "measurement.unit")]


@pytest.mark.parametrize(
    ("kind", "value", "unit", "at"),
    [
        ("weight", None, "kg", ("required-missing", "measurement.value")),
        ("weight", "", "kg", ("required-missing", "measurement.value")),
        ("weight", True, "kg", ("value-invalid", "measurement.value")),
        ("weight", "tung", "kg", ("value-invalid", "measurement.value")),
        ("weight", "81,5", "kg", ("value-invalid", "measurement.value")),
        ("weight", [81], "kg", ("value-invalid", "measurement.value")),
        ("weight", 651, "kg", ("implausible", "measurement.value")),
        ("weight", -1, "kg", ("implausible", "measurement.value")),
        ("weight", 80, "", ("unit-unknown", "measurement.unit")),
        ("weight", 80, 7, ("unit-unknown", "measurement.unit")),
        ("nitrite_in_urine", "+2", "-", ("value-invalid", "measurement.value")),
        ("protein_in_urine", 2, "g/L", ("value-invalid", "measurement.value")),
        ("fjernsyn", 1, "kg", ("code-unknown", "type")),
    ],
)
def test_a_value_that_cannot_be_taken_has_its_reason_and_place(kind, value, unit, at):
    assert refused(translated(reading(kind, value, unit))) == [at]


def test_a_decimal_comma_is_read_where_the_feed_says_so():
    observation = only(translated(reading(value="81,50"), options={"decimal_comma": True}))
    assert str(observation["valueQuantity"]["value"]) == "81.50"


def test_a_value_below_the_limit_of_detection_keeps_its_comparator():
    quantity = only(translated(reading("crp", "<5", "mg/L")))["valueQuantity"]
    assert (quantity["comparator"], str(quantity["value"])) == ("<", "5")


def test_a_blood_pressure_is_one_observation_with_components_and_needs_both():
    pressure = {"unit": "mmHg", "systolic": 142, "diastolic": 88}
    observation = only(translated(reading("blood_pressure", measurement=pressure)))
    assert [c["valueQuantity"]["value"] for c in observation["component"]] == [142, 88]
    assert "http://hl7.org/fhir/StructureDefinition/bp" in observation["meta"]["profile"]
    half = {"unit": "mmHg", "systolic": 142}
    assert refused(translated(reading("blood_pressure", measurement=half))) == [
        ("required-missing", "measurement.diastolic")
    ]
    swapped = {"unit": "mmHg", "systolic": 88, "diastolic": 142}
    assert refused(translated(reading("blood_pressure", measurement=swapped))) == [
        ("implausible", "measurement.diastolic")
    ]


def test_one_bad_reading_costs_one_reading():
    translation = translated([reading(), reading(unit="sten"), reading("pulse", 70, "BPM")])
    assert len(observations(translation)) == 2
    assert refused(translation) == [("unit-unknown", "readings[1].measurement.unit")]


def test_the_place_of_a_reason_uses_the_senders_own_name_of_the_list():
    for name in ("results", "measurements", "readings"):
        assert refused(translated({name: [reading(), reading(value=None)]})) == [
            ("required-missing", f"{name}[1].measurement.value")
        ]


def test_a_reading_sent_again_in_another_batch_is_the_same_observation_to_the_byte():
    first = only(translated({"results": [reading()]}))
    later = RECEIVED + dt.timedelta(days=2)
    again = observations(translated([reading("pulse", 60, "BPM"), reading()], received_at=later))[1]
    assert json.dumps(first) == json.dumps(again)


def test_the_id_knows_the_instant_however_its_text_is_written():
    texts = ("2026-11-20T08:00:00+01:00", "2026-11-20T07:00:00.000Z", "2026-11-20T08:00", "2026-11-20 09:00:00+0200")
    assert len({only(translated(reading(timestamp=text)))["id"] for text in texts}) == 1


def test_another_value_for_the_same_moment_in_one_message_is_refused_the_same_one_is_one():
    translation = translated([reading(value=80), reading(value=81)])
    assert refused(translation) == [("value-invalid", "readings[1]")]
    translation = translated([reading(value=80), reading(value=80)])
    assert len(observations(translation)) == 1
    assert [notice.code for notice in translation.notices] == ["duplicate-reading"]


def device(**more):
    return {"deviceMeasurement": {"manufacturer": "Nonin", "model": "3230 Bluetooth", **more}}


def test_an_instrument_is_one_device_whoever_uses_it_and_tells_readings_apart():
    serial = {"primaryDeviceIdentifier": {"serialNumber": "12345"}}
    one = translated(reading("pulse", 60, "BPM", origin=device(**serial)))
    other = translated(reading("pulse", 60, "BPM", origin=device(**serial), patient={"cpr": "0101019989"}))
    devices = [change for t in (one, other) for change in t.changes if change.resource["resourceType"] == "Device"]
    assert devices[0].resource == devices[1].resource
    assert devices[0].mode is Mode.ENSURE
    assert devices[0].lane is None
    assert devices[0].resource["type"]["coding"][0]["code"] == "MCI00013"
    assert only(one)["id"] != only(translated(reading("pulse", 60, "BPM")))["id"]


def test_an_instrument_that_nothing_tells_from_others_is_named_in_words_alone():
    translation = translated(reading("pulse", 60, "BPM", origin=device()))
    assert only(translation)["device"] == {"display": "Nonin 3230 Bluetooth"}
    assert len(translation.changes) == 2


def test_a_control_solution_is_nobodys_glucose():
    control = {"unit": "mmol/L", "value": 5, "isControlMeasurement": True}
    assert refused(translated(reading("bloodsugar", measurement=control))) == [
        ("test-message", "measurement.isControlMeasurement")
    ]


def test_severity_comment_and_origin_are_kept():
    sent = reading(severity="red", comment=" Svimmel ", origin={"manualMeasurement": {"enteredBy": "citizen"}})
    observation = only(translated(sent))
    assert [coding["code"] for coding in observation["interpretation"][0]["coding"]] == ["AA", "red"]
    assert observation["note"] == [{"text": "Svimmel"}]
    assert observation["method"]["coding"][0]["code"] == "TPD"
    assert observation["performer"] == [observation["subject"]]
    translation = translated(reading(severity="lilla"))
    assert [coding["code"] for coding in only(translation)["interpretation"][0]["coding"]] == ["lilla"]
    assert [notice.code for notice in translation.notices] == ["severity-unknown"]


def test_lineage_names_rule_official_row_and_source_of_each_element():
    trace = Trace()
    pressure = {"unit": "mmHg", "systolic": 142, "diastolic": 88}
    translated([reading(), reading("blood_pressure", measurement=pressure)], trace=trace)
    steps = {(step.element, step.official, step.source) for step in trace.steps}
    assert ("code", "home-monitoring-codes:2", "readings[0].type") in steps
    assert ("valueQuantity.value", "home-monitoring-codes:2", "readings[0].measurement.value") in steps
    assert ("component[0].valueQuantity.value", "home:blood-pressure", "readings[1].measurement.systolic") in steps


def test_the_same_translation_with_and_without_a_trace():
    assert translated([reading()], trace=Trace()).changes == translated([reading()]).changes


@pytest.mark.parametrize("body", [b"", b"hej", b'"tekst"', b"7", b"{", b"\xff{}", b"MSH|^~\\&|"])
def test_the_door_refuses_only_what_is_not_json(body):
    with pytest.raises(Unprocessable):
        split(body, "application/json", feed())


def test_a_large_body_is_taken_without_being_read():
    body = b"[" + b" " * LOOKED_AT_BYTES_MAX + b"1]"
    assert split(body, "application/json", feed())[0].person is None


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ([], "structure"),
        ({}, "structure"),
        ({"results": []}, "structure"),
        ({"results": {}}, "structure"),
        ([7], "structure"),
        ([{"resourceType": "Observation"}], "structure"),
        ({"uniqueId": "2512489996"}, "unsupported-type"),
        ({"header": {}, "body": {}}, "unsupported-type"),
        (b'{"a":1,"a":2}', "malformed"),
        (b'{"value":NaN}', "malformed"),
    ],
)
def test_a_message_without_readings_is_rejected_whole(document, code):
    translation = translated(document)
    assert not translation.changes
    assert [reason.code.value for reason in translation.reasons] == [code]


def test_the_tables_prepared_for_one_feed_do_not_leak_into_another():
    one = only(translated(reading()))
    other = only(translated(reading(), systems={"type": "urn:oid:2.999.8"}))
    assert one["code"]["coding"][-1]["system"] != other["code"]["coding"][-1]["system"]


def test_a_context_is_shared_by_all_messages():
    assert context().tables is context().tables
