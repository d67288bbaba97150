"""FHIR XML and JSON say the same: laws over every resource at hand."""

from __future__ import annotations

import contextlib
import gzip
from decimal import Decimal
from typing import Any

import pytest

from gateway.errors import Incorrect
from gateway.fhir import xml as fhirxml
from gateway.formats import json
from tests.corpus import corpus_folder

NS = 'xmlns="http://hl7.org/fhir"'


def comparable(value: Any) -> Any:
    """Without what XML cannot say: empty lists and objects, and how a narrative is spaced and quoted."""
    if isinstance(value, dict):
        return {
            name: "div" if name == "div" else comparable(item) for name, item in value.items() if item not in ([], {})
        }
    return [comparable(item) for item in value] if isinstance(value, list) else value


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
@pytest.mark.parametrize("folder", ["medcom-fhir", "fhir-r4-examples"])
def test_what_is_written_as_xml_reads_back_as_the_same_json(folder):
    compared = without_place = 0
    for name, resource in parts(folder):
        try:
            written = fhirxml.dumps(resource)
        except Incorrect as refused:
            without_place += not refused.at  # an element that R4 does not have is said with its place
            continue
        back = fhirxml.loads(written)
        assert comparable(back) == comparable(resource), name
        compared += 1
    assert compared >= 150
    assert without_place == 0
    print(f"{folder}: {compared} resources the same in XML and in JSON")


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


@pytest.mark.corpus
def test_the_table_of_elements_is_what_the_definitions_of_r4_say():
    folder = corpus_folder("fhir-r4-definitions")
    with gzip.open(folder / "StructureDefinition.ndjson.gz", "rt", encoding="utf-8") as lines:
        definitions = [json.loads(line) for line in lines]
    checked = 0
    for definition in definitions:
        name = definition["type"]
        if definition["url"] != f"http://hl7.org/fhir/StructureDefinition/{name}" or definition["kind"] not in {
            "resource",
            "complex-type",
        }:
            continue
        for element in definition["snapshot"]["element"]:
            parent, _, step = element["path"].rpartition(".")
            shape = fhirxml.shapes().get(parent)
            if shape is None or element["max"] == "0" or (step == "id" and not shape.is_resource):
                continue
            names = [step]
            if step.endswith("[x]"):
                names = [step[:-3] + one["code"][0].upper() + one["code"][1:] for one in element["type"]]
            for one in names:
                assert shape.elements[one].many == (element["max"] != "1"), (parent, one)
                checked += 1
    assert checked > 7000
