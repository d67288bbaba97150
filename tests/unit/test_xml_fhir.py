"""FHIR XML and JSON say the same: laws over every resource at hand."""

from __future__ import annotations

import contextlib
import time
from decimal import Decimal
from typing import Any

import pytest
from lxml import etree

from gateway.errors import Incorrect
from gateway.fhir import xml as fhirxml
from gateway.formats import json, xml
from tests.corpus import corpus_folder

NS = 'xmlns="http://hl7.org/fhir"'


def same(one: Any, other: Any) -> bool:
    """Whether two resources are equal to the digit; a narrative by what it says (XML cannot keep how a tag was spaced)."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            canonical(one[name]) == canonical(other[name]) if name == "div" else same(one[name], other[name])
            for name in one
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and str(one) == str(other)


def canonical(div: str) -> bytes:
    return etree.tostring(xml.parse(div.encode()), method="c14n", exclusive=True)


def parts(folder: str) -> list[Any]:
    found = []
    for path in sorted(corpus_folder(folder).rglob("*.json")):
        try:
            value = json.loads(path.read_bytes())
        except Incorrect:
            continue  # the JSON door refuses it; nothing to compare
        if isinstance(value, dict) and "resourceType" in value:
            found.append((path.name, value))
    return found


@pytest.mark.corpus
def test_every_r4_example_is_the_same_after_a_journey_through_xml():
    resources = parts("fhir-r4-examples")
    different = [name for name, resource in resources if not same(fhirxml.loads(fhirxml.dumps(resource)), resource)]
    assert different == []
    assert len(resources) >= 500
    for name, resource in resources[::10]:
        assert same(fhirxml.loads(fhirxml.dumps(resource, indented=True)), resource), name


@pytest.mark.corpus
def test_what_is_written_as_xml_reads_back_or_names_the_element_that_r4_does_not_have():
    compared = 0
    for name, resource in parts("medcom-fhir"):
        try:
            written = fhirxml.dumps(resource)
        except Incorrect as refused:
            assert refused.at, name  # noqa: PT017
            continue
        assert same(fhirxml.loads(written), resource) or b"[]" in json.dumps(resource), name
        compared += 1
    assert compared >= 150


TWINS = (
    ("fhir-test-cases/r4/patient-example.xml", "fhir-r4-examples/Patient-example.json"),
    ("fhir-test-cases/r4/examples/patient-example.xml", "fhir-test-cases/r4/examples/patient-example.json"),
    ("fhir-test-cases/r4/questionnaire-example.xml", "fhir-r4-examples/Questionnaire-3141.json"),
    *(
        (f"medcom-ehmi-sbdh/samples/{name}.xml", f"medcom-ehmi-sbdh/samples/{name}.json")
        for name in (
            "pagecontent__ehmiSBDH__DocRef__DocumentReference-77787891-083a-4d19-9e56-423e7a223e30",
            "fsh__DocumentReference_samples__DocumentReference-instanceHomeCareObservationDocumentReference",
        )
    ),
)


@pytest.mark.corpus
@pytest.mark.parametrize(("as_xml", "as_json"), TWINS)
def test_an_example_in_xml_reads_equal_to_its_twin_in_json(as_xml, as_json):
    root = corpus_folder("fhir-test-cases").parent
    assert same(fhirxml.loads((root / as_xml).read_bytes()), json.loads((root / as_json).read_bytes()))


def test_a_large_bundle_takes_time_in_proportion_to_its_size():
    def seconds(entries: int) -> float:
        entry = {"resource": {"resourceType": "Patient", "name": [{"given": ["Anna"]}], "text": NARRATIVE}}
        begun = time.process_time()
        fhirxml.loads(fhirxml.dumps({"resourceType": "Bundle", "type": "collection", "entry": [entry] * entries}))
        return time.process_time() - begun

    seconds(10)
    few, many = min(seconds(500) for _ in range(3)), seconds(4000)
    assert many < 8 * few * 3


NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>a</p></div>'}


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE p [<!ENTITY a "b">]><Patient xmlns="http://hl7.org/fhir"><id value="&a;"/></Patient>',
        '<!DOCTYPE p SYSTEM "file:///etc/passwd"><Patient xmlns="http://hl7.org/fhir"/>',
        '<Patient xmlns="http://hl7.org/fhir"><id value="&a;"/></Patient>',
    ],
)
def test_entities_are_refused(document):
    with pytest.raises(Incorrect):
        fhirxml.loads(document.encode())


def test_indents_do_not_touch_a_narrative():
    written = fhirxml.dumps({"resourceType": "Patient", "text": NARRATIVE, "active": True}, indented=True)
    assert b"\n  <text>\n    <status" in written
    assert b"<p>a</p></div>" in written


def test_numbers_keep_the_digits_they_were_written_with():
    read = fhirxml.loads(
        f'<Observation {NS}><status value="final"/><valueQuantity><value value="1.20"/></valueQuantity></Observation>'.encode()
    )
    assert read == {"resourceType": "Observation", "status": "final", "valueQuantity": {"value": Decimal("1.20")}}
    assert str(read["valueQuantity"]["value"]) == "1.20"
    assert b'value="1.20"' in fhirxml.dumps(read)
    assert (
        type(
            fhirxml.loads(f'<Patient {NS}><multipleBirthInteger value="2"/></Patient>'.encode())["multipleBirthInteger"]
        )
        is int
    )


def test_lists_booleans_ids_and_extensions_of_primitives_become_what_json_has():
    read = fhirxml.loads(
        f"""<Patient {NS}><id value="p"/><active value="true"/>
        <name id="n"><given value="Anna"/><given><extension url="u"><valueCode value="unknown"/></extension></given></name>
        <birthDate id="b" value="1948-12-25"/></Patient>""".encode()
    )
    assert read == {
        "resourceType": "Patient",
        "id": "p",
        "active": True,
        "name": [
            {
                "id": "n",
                "given": ["Anna", None],
                "_given": [None, {"extension": [{"url": "u", "valueCode": "unknown"}]}],
            }
        ],
        "birthDate": "1948-12-25",
        "_birthDate": {"id": "b"},
    }
    assert fhirxml.loads(fhirxml.dumps(read)) == read


def test_a_narrative_is_one_string_of_xhtml_in_its_own_namespace():
    read = fhirxml.loads(
        f'<Patient {NS}><text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><p>a &lt; b</p></div></text></Patient>'.encode()
    )
    assert read["text"]["div"] == '<div xmlns="http://www.w3.org/1999/xhtml"><p>a &lt; b</p></div>'
    assert fhirxml.loads(fhirxml.dumps(read)) == read


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (f'<Patient {NS}><nonsense value="x"/></Patient>', "Patient.nonsense"),
        (f'<Patient {NS}><n2512489996 value="x"/></Patient>', "Patient.?"),
        (f'<Patient {NS}><active value="yes"/></Patient>', "Patient.active"),
        (
            f'<Patient {NS}><birthDate value="1948-12-25"/><birthDate value="1948-12-26"/></Patient>',
            "Patient.birthDate",
        ),
        (f"<Patient {NS}><birthDate/></Patient>", "Patient.birthDate"),
        (f'<Patient {NS}><name><family val="x"/></name></Patient>', "Patient.name[0].family"),
        (f"<Patient {NS}>text</Patient>", "Patient"),
        (f'<Patient {NS}><multipleBirthInteger value="1.5"/></Patient>', "Patient.multipleBirthInteger"),
        (
            f'<Observation {NS}><valueQuantity><value value="1e999999999"/></valueQuantity></Observation>',
            "Observation.valueQuantity.value",
        ),
        (
            f'<Observation {NS}><valueQuantity><value value="NaN"/></valueQuantity></Observation>',
            "Observation.valueQuantity.value",
        ),
        (f"<Bundle {NS}><entry><resource><Coding/></resource></entry></Bundle>", "Bundle.entry[0].resource"),
        (f"<Bundle {NS}><entry><resource/></entry></Bundle>", "Bundle.entry[0].resource"),
        ("<Patient/>", ""),
        (f"<HumanName {NS}/>", "HumanName"),
    ],
)
def test_what_cannot_be_json_is_refused_with_its_place(body, at):
    with pytest.raises(Incorrect) as refused:
        fhirxml.loads(body.encode())
    assert refused.value.at == at
    assert "2512489996" not in refused.value.text + refused.value.at


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Nonsense"},
        {"resourceType": 7},
        {},
        {"resourceType": "Patient", "nonsense": 1},
        {"resourceType": "Patient", "name": "x"},
        {"resourceType": "Patient", "name": ["x"]},
        {"resourceType": "Patient", "active": {"a": 1}},
        {"resourceType": "Patient", "id": "\x00"},
        {"resourceType": "Patient", "text": {"status": "generated", "div": "<div><p></div>"}},
        {"resourceType": "Bundle", "entry": [{"resource": 7}]},
    ],
)
def test_what_cannot_be_xml_is_refused_or_written_and_never_a_bug(resource):
    with contextlib.suppress(Incorrect):
        assert fhirxml.dumps(resource).startswith(b"<?xml")
