"""What the rules of ORU promise, one law a test."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.model import Mode, RejectionCode, Trace, Translation
from tests.feeds.hospital import CONTEXT, DANISH, context, translate
from tests.feeds.test_hospital_adt import pid, segment

OBR = {
    "f1": "1",
    "f2": "P-1^EPJ",
    "f3": "F-1^LAB",
    "f4": "AKUT^Akut^L",
    "f7": "20261122101500",
    "f22": "20261122142500",
    "f25": "F",
}
CODE = "NPU02319^B-Hb^NPU"


def oru(*segments: str, at: str = "20261122143000") -> bytes:
    head = f"MSH|^~\\&|LAB|OUH|SUNDBRO|RSD|{at}||ORU^R01|C-1|P|2.5.1||||||UNICODE UTF-8"
    return "\r".join([head, *segments, ""]).encode()


def obr(**fields: str) -> str:
    return segment("OBR", **(OBR | fields))


def obx(kind: str = "NM", value: str = "7.80", **fields: str) -> str:
    return segment("OBX", **({"f2": kind, "f3": CODE, "f5": value, "f11": "F"} | fields))


def done(*segments: str, within: Any = CONTEXT) -> Translation:
    return translate(oru(pid(f3="4711^^^OUH^MR"), *segments), within)


def of(result: Translation, kind: str) -> list[dict[str, Any]]:
    return [change.resource for change in result.changes if change.resource["resourceType"] == kind]


def reading(*segments: str, within: Any = CONTEXT) -> dict[str, Any]:
    (found,) = of(done(obr(), *segments, within=within), "Observation")
    assert validate(found) == []
    return found


@pytest.mark.parametrize(
    ("kind", "value", "fhir"),
    [
        ("NM", "1.20", {"valueQuantity": {"value": Decimal("1.20")}}),
        ("NM", " +12 ", {"valueQuantity": {"value": Decimal(12)}}),
        ("NM", "<0.1", {"valueQuantity": {"value": Decimal("0.1"), "comparator": "<"}}),
        ("NM", "5,6", {"valueString": "5,6"}),
        ("NM", "1e5", {"valueString": "1e5"}),
        ("NM", "NaN", {"valueString": "NaN"}),
        ("SN", ">^100", {"valueQuantity": {"value": Decimal(100), "comparator": ">"}}),
        ("SN", "=^100", {"valueQuantity": {"value": Decimal(100)}}),
        ("SN", "^100^-^200", {"valueRange": {"low": {"value": Decimal(100)}, "high": {"value": Decimal(200)}}}),
        (
            "SN",
            "^1^:^128",
            {"valueRatio": {"numerator": {"value": Decimal(1)}, "denominator": {"value": Decimal(128)}}},
        ),
        ("SN", "<>^5", {"valueString": "<> 5"}),
        ("SN", "^2^+", {"valueString": "2 +"}),
        ("ST", "a\\T\\b & c", {"valueString": "a&b & c"}),
        ("TX", "one~two", {"valueString": "one\ntwo"}),
        (
            "CWE",
            "A^Alfa^L",
            {
                "valueCodeableConcept": {
                    "coding": [{"system": "urn:id:test:codes:L", "code": "A", "display": "Alfa"}],
                    "text": "Alfa",
                }
            },
        ),
        ("CE", "^only words", {"valueCodeableConcept": {"text": "only words"}}),
        ("DT", "20261122", {"valueDateTime": "2026-11-22"}),
        ("TM", "1530", {"valueTime": "15:30:00"}),
        ("TM", "2530", {"valueString": "2530"}),
        ("DR", "20261101^20261102", {"valuePeriod": {"start": "2026-11-01", "end": "2026-11-02"}}),
        ("NR", "1^2", {"valueRange": {"low": {"value": Decimal(1)}, "high": {"value": Decimal(2)}}}),
        ("XX", "strange", {"valueString": "strange"}),
    ],
)
def test_obx_2_decides_what_obx_5_becomes(kind: str, value: str, fhir: dict[str, Any]) -> None:
    found = reading(obx(kind, value))
    assert {name: each for name, each in found.items() if name.startswith("value")} == fhir


def test_samples_of_an_na_keep_their_gaps() -> None:
    found = reading(obx("NA", "1^2^^4", f6="mV"))["valueSampledData"]
    assert (found["data"], found["dimensions"]) == ("1 2 E 4", 4)


def test_a_danish_comma_is_a_number_only_where_the_feed_says_so() -> None:
    assert reading(obx("NM", "5,60"), within=context(options={"decimal_comma": True}))["valueQuantity"][
        "value"
    ] == Decimal("5.60")


def test_several_coded_values_become_components() -> None:
    found = reading(obx("CWE", "A^Alfa^L~B^Beta^L"))
    assert len(found["component"]) == 2


@pytest.mark.parametrize(
    ("unit", "ucum"),
    [
        ("mmol/l", "mmol/L"),
        ("mm Hg", "mm[Hg]"),
        ("G/L", "10*9/L"),
        ("g/L", "g/L"),
        ("mg/dL^^UCUM", "mg/dL"),
        ("266016^MDC_DIM_MMHG^MDC", "mm[Hg]"),
        ("furlongs", None),
    ],
)
def test_units_get_their_ucum_code_and_keep_the_senders_word(unit: str, ucum: str | None) -> None:
    quantity = reading(obx(f6=unit))["valueQuantity"]
    assert quantity.get("code") == ucum
    assert quantity["unit"]
    assert ("system" in quantity) == (ucum is not None)


@pytest.mark.parametrize(
    ("sent", "low", "high"),
    [
        ("7.3-9.5", "7.3", "9.5"),
        ("7.3 - 9.5", "7.3", "9.5"),
        ("< 8.0", None, "8.0"),
        (">=60", "60", None),
        ("negative", None, None),
        ("-5--1", "-5", "-1"),
    ],
)
def test_a_reference_range_is_read_and_its_words_are_kept(sent: str, low: str | None, high: str | None) -> None:
    (found,) = reading(obx(f7=sent))["referenceRange"]
    assert found["text"] == sent
    assert [str(found[side]["value"]) if side in found else None for side in ("low", "high")] == [low, high]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("F", "final"),
        ("P", "preliminary"),
        ("C", "corrected"),
        ("A", "amended"),
        ("D", "entered-in-error"),
        ("W", "entered-in-error"),
        ("X", "cancelled"),
        ("R", "preliminary"),
        ("I", "registered"),
        ("N", "final"),
        ("", "unknown"),
    ],
)
def test_obx_11_decides_the_status(sent: str, status: str) -> None:
    assert reading(obx(f11=sent))["status"] == status


@pytest.mark.parametrize("sent", ["D", "W"])
def test_a_withdrawn_reading_loses_its_value_and_keeps_its_id(sent: str) -> None:
    found = reading(obx(f11=sent, f7="1-2", f8="H"))
    assert not [name for name in found if name.startswith(("value", "interpretation", "referenceRange"))]
    assert found["id"] == reading(obx())["id"]


@pytest.mark.parametrize(("sent", "absent"), [("F", "unknown"), ("N", "not-asked"), ("X", None), ("I", None)])
def test_a_missing_value_says_why(sent: str, absent: str | None) -> None:
    found = reading(obx(value="", f11=sent))
    assert found.get("dataAbsentReason", {}).get("coding", [{}])[0].get("code") == absent


def test_a_later_report_is_the_same_report() -> None:
    first, second = done(obr(f25="P"), obx()), done(obr(f25="C", f22="20261123080000"), obx(value="8"))
    assert of(first, "DiagnosticReport")[0]["id"] == of(second, "DiagnosticReport")[0]["id"]
    assert of(first, "Observation")[0]["id"] == of(second, "Observation")[0]["id"]
    times = [
        change.event_time
        for each in (first, second)
        for change in each.changes
        if change.resource["resourceType"] == "Observation"
    ]
    assert times[0] is not None
    assert times[1] is not None
    assert times[0] < times[1]


def test_equal_rows_of_one_report_stay_apart() -> None:
    found = of(done(obr(), obx(value="1"), obx(value="2")), "Observation")
    assert len({each["id"] for each in found}) == 2


def test_the_person_and_the_visit_of_a_report_are_only_mentioned() -> None:
    result = done(segment("PV1", f2="I", f3="M3", f19="V-1"), obr(), obx())
    modes = {change.resource["resourceType"]: change.mode for change in result.changes}
    assert modes["Patient"] is modes["Encounter"] is modes["ServiceRequest"] is Mode.ENSURE
    assert modes["Observation"] is modes["DiagnosticReport"] is Mode.PUT


def test_systolic_and_diastolic_become_one_blood_pressure() -> None:
    rows = [obx(value="142", f3="8480-6^Sys^LN", f6="mmHg"), obx(value="88", f3="8462-4^Dia^LN", f6="mmHg")]
    (found,) = of(done(obr(), *rows), "Observation")
    assert found["code"]["coding"][0]["code"] == "85354-9"
    assert [str(c["valueQuantity"]["value"]) for c in found["component"]] == ["142", "88"]


def test_pressures_of_different_times_are_not_joined() -> None:
    rows = [obx(f3="8480-6^Sys^LN", f14="20261122100000"), obx(f3="8462-4^Dia^LN", f14="20261122110000")]
    assert len(of(done(obr(), *rows), "Observation")) == 2


def test_lines_of_text_become_the_text_of_the_report() -> None:
    rows = [
        obx("TX", "line one", f3="18748-4^Report^LN"),
        obx("TX", "", f3="18748-4^Report^LN"),
        obx("TX", "line\\.br\\three", f3="18748-4^Report^LN"),
    ]
    result = done(obr(f24="RAD"), *rows)
    (report,) = of(result, "DiagnosticReport")
    assert base64.b64decode(report["presentedForm"][0]["data"]).decode() == "line one\n\nline\nthree"
    assert not of(result, "Observation")


def test_lines_of_text_among_numbers_become_one_reading() -> None:
    found = of(
        done(obr(), obx(), obx("TX", "one", f3="X^Comment^L"), obx("TX", "two", f3="X^Comment^L")), "Observation"
    )
    assert [each.get("valueString") for each in found] == [None, "one\ntwo"]


def test_results_of_an_organism_are_its_members() -> None:
    parent, child = obr(f3="F-1^LAB"), obr(f3="F-2^LAB", f26="600-7&B&LN^1", f29="P-1&EPJ^F-1&LAB")
    found = of(
        done(
            parent, obx("CWE", "1^E. coli^SCT", f3="600-7^B^LN", f4="1"), child, obx("SN", "<=^4", f3="18864-9^Amp^LN")
        ),
        "Observation",
    )
    assert found[0]["hasMember"] == [{"reference": f"Observation/{found[1]['id']}"}]


def test_an_obx_after_spm_is_about_the_specimen() -> None:
    result = done(obr(), obx(), "SPM|1|^G-1||BLD^Blood^HL70487", obx("ST", "haemolysed", f3="Q^Quality^L"))
    (specimen,) = of(result, "Specimen")
    assert all(each["specimen"]["reference"] == f"Specimen/{specimen['id']}" for each in of(result, "Observation"))


def test_notes_belong_to_the_segment_before_them() -> None:
    result = done(obr(), "NTE|1||of the order", obx(), "NTE|1||of the row", "NTE|2||goes on")
    assert of(result, "Observation")[0]["note"] == [{"text": "of the row\ngoes on"}]
    assert of(result, "ServiceRequest")[0]["note"] == [{"text": "of the order"}]


def test_an_attachment_belongs_to_the_report() -> None:
    (report,) = of(done(obr(), obx("ED", "APP^application^pdf^Base64^JVBERi0xLjQK")), "DiagnosticReport")
    assert report["presentedForm"] == [{"contentType": "application/pdf", "data": "JVBERi0xLjQK"}]


def test_a_broken_attachment_is_kept_as_it_came() -> None:
    assert "valueString" in reading(obx("ED", "APP^application^pdf^Base64^***"))


@pytest.mark.parametrize("status", ["Y", "Z"])
def test_a_report_that_says_there_is_no_order_or_patient_is_rejected(status: str) -> None:
    assert done(obr(f25=status), obx()).reasons[0].code is RejectionCode.CODE_UNKNOWN


def test_a_row_without_a_code_is_rejected_and_the_others_stand() -> None:
    result = done(obr(), obx(f3=""), obx())
    assert [reason.at for reason in result.reasons] == ["OBX[1]-3"]
    assert len(of(result, "Observation")) == 1


def test_an_obx_without_obr_is_rejected_where_it_stands() -> None:
    assert "OBX[1]" in {reason.at for reason in done(obx()).reasons}


def test_a_report_about_two_patients_keeps_them_apart() -> None:
    result = done(obr(), obx(), pid(f3="4712^^^OUH^MR"), obr(f3="F-2^LAB"), obx())
    subjects = [each["subject"]["reference"] for each in of(result, "Observation")]
    assert len(set(subjects)) == 2
    assert len({change.lane for change in result.changes if change.lane}) == 2


def device(*rows: str) -> Translation:
    return done(obr(), "OBX|1||528391^MDC_DEV_SPEC_PROFILE_BP^MDC|1|||||||X|||||||0123456789ABCDEF^EUI-64", *rows)


def test_a_devices_readings_carry_mdc_loinc_and_the_device() -> None:
    result = device(
        obx(f3="149546^MDC_PULS_RATE_NON_INV^MDC", f4="1.0.0.1", f6="264864^MDC_DIM_BEAT_PER_MIN^MDC", f11="R")
    )
    (found,) = of(result, "Observation")
    assert [c["code"] for c in found["code"]["coding"]] == ["8867-4", "149546"]
    assert found["status"] == "final"
    (box,) = of(result, "Device")
    assert box["identifier"][0]["value"] == "01-23-45-67-89-AB-CD-EF"
    assert found["device"] == {"reference": f"Device/{box['id']}"}


@pytest.mark.parametrize(
    ("flag", "check"),
    [
        ("QUES", {"status": "final"}),
        ("INV", {"status": "entered-in-error"}),
        ("EARLY", {"status": "preliminary"}),
        (
            "NAV",
            {
                "dataAbsentReason": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/data-absent-reason",
                            "code": "temp-unknown",
                            "display": "Temp Unknown",
                        }
                    ]
                }
            },
        ),
    ],
)
def test_measurement_status_of_a_device(flag: str, check: dict[str, Any]) -> None:
    (found,) = of(device(obx(f3="150456^MDC_PULS_OXIM_SAT_O2^MDC", f4="1.0.0.1", f8=flag, f11="R")), "Observation")
    assert validate(found) == []
    assert check.items() <= found.items()
    assert ("valueQuantity" in found) == (flag in {"QUES", "EARLY"})


def test_a_test_reading_of_a_device_never_reaches_a_patient() -> None:
    body = oru(pid(), obr(), obx(f3="150456^SPO2^MDC", f4="1.0.0.1", f8="TEST"))
    result = translate(body, DANISH)
    assert not of(result, "Observation")
    assert result.reasons[0].code is RejectionCode.TEST_MESSAGE


def test_lineage_of_a_reading_names_its_rows() -> None:
    trace = Trace()
    result = translate(oru(pid(f3="1^^^OUH"), obr(), obx(f6="g/L", f7="1-2", f8="N"), "NTE|1||x"), CONTEXT, trace)
    (found,) = of(result, "Observation")
    steps = {step.element: step for step in trace.of(f"Observation/{found['id']}")}
    assert steps["valueQuantity"].source == "OBX[1]-5"
    assert steps["code"].official == "segments/OBX--Observation.csv OBX-3"
    assert {"status", "interpretation", "referenceRange", "note", "effectiveDateTime", "valueQuantity.unit"} <= set(
        steps
    )


FIELD = st.text(alphabet=st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\n"), max_size=12)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["PID", "PV1", "OBR", "OBX", "ORC", "SPM", "NTE", "NK1", "DG1", "AL1"]),
            st.lists(FIELD, max_size=30),
        ),
        max_size=8,
    ),
    st.sampled_from(["ORU^R01", "ADT^A01", "ADT^A08", "ADT^A40"]),
)
def test_whatever_fields_hold_the_outcome_is_valid_or_reasoned(
    segments: list[tuple[str, list[str]]], kind: str
) -> None:
    head = f"MSH|^~\\&|A|B|C|D|20261122||{kind}|1|P|2.5.1||||||UNICODE UTF-8"
    lines = [head, pid(f3="4711^^^OUH^MR"), *("|".join([name, *fields]) for name, fields in segments)]
    result = translate("\r".join(lines).encode("utf-8"))
    assert result.changes or result.reasons
    for change in result.changes:
        json.dumps(change.resource)
        assert validate(change.resource) == []


def test_a_reference_range_of_nothing_but_blanks_is_none() -> None:
    assert "referenceRange" not in reading(obx(f7=" \n "))
