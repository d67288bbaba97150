"""The verdict is fhir.resources' verdict, on real resources and on damaged ones, except where a listed reason says otherwise.

Two lists. STRICTER: R4 forbids it and fhir.resources lets it pass. KINDER: R4 allows it and fhir.resources does not know
it. A disagreement that neither list explains fails the test; so does an entry that no case needs any more.
"""

from __future__ import annotations

import collections
import gzip
import os
import re
from decimal import Decimal
from random import Random

import pytest

from gateway.errors import Incorrect
from gateway.fhir import authority
from gateway.fhir.invariants import LAWS
from gateway.fhir.issue import ISSUE_TYPES
from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.terminology.tables import parse_table
from tests.corpus import corpus_folder
from tests.unit.mutations import mutate
from tools.r4_tables import MAPPINGS

pytestmark = pytest.mark.corpus

DIFFERENCES = parse_table((MAPPINGS / "r4-differences.csv").read_text("utf-8"))
R4_TYPES = {row["type"].partition(".")[0] for row in DIFFERENCES if row["r4"]} - {"Extension", "ElementDefinition"}
MUTANTS = int(os.environ.get("SUNDBRO_TEST_MUTANTS", "4000"))

STRICTER = {
    "code": "fhir.resources knows required codes only as words of its short descriptions and does not check them",
    "empty": "it takes empty objects, empty lists and, in a uri, an empty string (R4 json.html: never empty)",
    "null": "it takes null for an optional element (R4 json.html: null only to align primitive arrays)",
    "characters": "its pattern of a string is not anchored (R4 datatypes.html#string: no control characters)",
    "choice": "it does not count _valueX as one of value[x]",
    "format: a URI": "its pattern of a uri is not anchored and holds nowhere (R4 datatypes.html#uri: no white space)",
    "format: a URL": "a relative URL may contain anything for it",
    "format: a canonical": "as uri",
    "format: 1 to 64": "its limit of an id is 255 characters (R4 datatypes.html#id: 64)",
    "format: base64": "it discards characters that are not base64 before it decodes (RFC 4648 §3.3: refuse them)",
    "format: an XHTML": "xhtml is any string for it (R4 narrative.html: a div)",
    "format: a string": "its pattern of a string is not anchored",
    "format: a UUID": "it takes upper case and no urn:uuid: (R4 datatypes.html#uuid)",
    "type": "it converts: text to numbers and objects, numbers to dates and booleans (R4 json.html: JSON types are fixed)",
    "unknown: fhir_comments": "a leftover of DSTU2, not in R4 JSON",
    "unknown: R4B": "an element that exists in R4B and not in R4",
    "resource-type": "it takes an object without resourceType where any resource may stand",
    "invariant": "it does not check invariants",
}
KINDER = {
    "R4 type": "a type that differs between R4 and R4B (mappings/fhir/r4-differences.csv); the wire is R4",
    "R4 value": "Extension.valueMeta and its like exist in R4 and not in R4B",
    "_value of Extension": "value[x] is a primitive element and may have an extension; the R4B models forbid it",
    "_value of a required choice": "a required value[x] may be there by its extension alone (R4 extensibility.html)",
}


def stricter(issue):
    """Return the entry of STRICTER under which an issue falls; '' when none does."""
    if issue.rule not in ISSUE_TYPES:
        return "invariant"
    if issue.rule == "format":
        return next(
            (entry for entry in STRICTER if entry.startswith("format: ") and f"is not {entry[8:]}" in issue.text), ""
        )
    if issue.rule == "unknown-element":
        if "R4B" in issue.text:
            return "unknown: R4B"
        return "unknown: fhir_comments" if issue.path.endswith(".?") else ""
    return issue.rule if issue.rule in STRICTER else ""


def kinder(resource):
    """Return the entry of KINDER that a resource may fall under; '' when none does."""
    written = json.dumps(resource)
    types = set(re.findall(rb'"resourceType":"(\w+)"', written))
    if types & {name.encode() for name in R4_TYPES}:
        return "R4 type"
    if re.search(rb'"(value|defaultValue|fixed|pattern)Meta":', written):
        return "R4 value"
    if b'"_value' in written:
        return "_value of Extension"
    if re.search(rb'"_[a-z][A-Za-z]*(DateTime|String|Boolean|Uri|Canonical|Integer|Code|Decimal|Id)":', written):
        return "_value of a required choice"
    return ""


class Verdicts:
    """Compares, counts, and remembers which entries were needed."""

    def __init__(self):
        self.counts = collections.Counter()
        self.needed = collections.Counter()

    def compare(self, resource, about):
        issues = validate(resource)
        theirs = authority.verdict(resource)
        self.counts["valid" if not issues else "invalid", "valid" if theirs else "invalid"] += 1
        if issues and theirs:
            reasons = {issue: stricter(issue) for issue in issues}
            assert all(reasons.values()), f"{about}: refused here alone, no listed reason for {reasons}"
            self.needed.update(set(reasons.values()))
        elif theirs is False and not issues:
            reason = kinder(resource)
            assert reason, f"{about}: accepted here alone, and no listed reason"
            self.needed[reason] += 1

    def show(self, title):
        print(f"\n{title}: {sum(self.counts.values())} resources")
        for (here, there), number in sorted(self.counts.items()):
            print(f"  {number:>7}  here {here:8} fhir.resources {there}")
        for reason, number in self.needed.most_common():
            print(f"  {number:>7}  {reason}: {STRICTER.get(reason) or KINDER[reason]}")


def resources_of(folder, *, bytes_max=400_000, number_max=400):
    """Yield the FHIR resources of a source, those of a Bundle each for itself as well."""
    seen = 0
    for path in sorted([*folder.rglob("*.json"), *folder.rglob("*.json.gz")]):
        packed = path.read_bytes()
        raw = gzip.decompress(packed) if path.suffix == ".gz" else packed
        if len(raw) > bytes_max:
            continue
        try:
            read = json.loads(raw)
        except Incorrect:
            continue
        if not isinstance(read, dict) or not isinstance(read.get("resourceType"), str):
            continue
        seen += 1
        if seen > number_max:
            return
        yield path.name, read
        if read["resourceType"] == "Bundle":
            for at, entry in enumerate(read.get("entry", ())[:40]):
                if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
                    yield f"{path.name} entry {at}", entry["resource"]


SOURCES = [
    "cdc-prime-reportstream", "cdc-trusted-intermediary", "cumulus-etl-deid", "dk-core", "eu-base", "eu-ehds-examples",
    "eu-laboratory", "eu-mpd", "eu-synderai", "fhir-r4-examples", "fut-ehealth", "hl7-phd-ig", "ips", "kl-fhir",
    "medcom-ehmi-sbdh", "medcom-fhir", "microsoft-fhir-converter", "mii-kds-testdata", "miracum-fhir-pseudonymizer",
    "mock-health-conformance", "ms-fhir-server-data", "ms-health-data-anonymization", "subscriptions-backport-fixtures",
]  # fmt: skip
SAMPLED = {"cdc-prime-reportstream": 40, "eu-synderai": 30, "microsoft-fhir-converter": 50}


@pytest.mark.parametrize("source", SOURCES)
def test_the_verdict_on_real_resources_is_that_of_fhir_resources(source):
    verdicts = Verdicts()
    for about, resource in resources_of(corpus_folder(source), number_max=SAMPLED.get(source, 600)):
        verdicts.compare(resource, about)
    verdicts.show(source)
    assert verdicts.counts


def test_the_verdict_on_synthetic_histories_is_that_of_fhir_resources():
    verdicts = Verdicts()
    for about, resource in resources_of(corpus_folder("synthea-r4"), bytes_max=5_000_000, number_max=6):
        verdicts.compare(resource, about)
    verdicts.show("synthea-r4")
    assert verdicts.counts["valid", "valid"] > 100


def test_danish_and_device_resources_are_valid():
    for source in ("dk-core", "kl-fhir", "hl7-phd-ig", "medcom-ehmi-sbdh"):
        for about, resource in resources_of(corpus_folder(source)):
            assert validate(resource) == [], about


def test_the_examples_of_r4_are_valid():
    refused = {about: validate(one) for about, one in resources_of(corpus_folder("fhir-r4-examples")) if validate(one)}
    # Questionnaire.item.linkId is 1..1, and this example has items without one.
    assert refused.keys() <= {"Questionnaire-qs1.json"}, refused


def test_the_verdict_on_damaged_resources_is_that_of_fhir_resources():
    random = Random(20261122)
    whole = [one for _, one in resources_of(corpus_folder("fhir-r4-examples"), bytes_max=12_000) if not validate(one)]
    for source in ("dk-core", "medcom-fhir", "hl7-phd-ig"):
        whole += [one for _, one in resources_of(corpus_folder(source), bytes_max=12_000)]
    verdicts, by_kind = Verdicts(), collections.Counter()
    for number in range(MUTANTS):
        damaged, kind = mutate(random.choice(whole), random)
        by_kind[kind] += 1
        verdicts.compare(damaged, f"mutant {number} ({kind}): {json.dumps(damaged)[:2000]!r}")
    verdicts.show(f"damaged ({dict(by_kind)})")
    assert verdicts.counts["invalid", "invalid"] > MUTANTS // 3
    assert verdicts.counts["valid", "valid"] > MUTANTS // 10


CASES = {
    "code": {"resourceType": "Patient", "gender": "m"},
    "empty": {"resourceType": "Patient", "maritalStatus": {}},
    "null": {"resourceType": "Patient", "gender": None},
    "characters": {"resourceType": "Patient", "name": [{"family": "a\x00b"}]},
    "choice": {"resourceType": "Patient", "deceasedBoolean": True, "_deceasedDateTime": {"id": "x"}},
    "format: a URI": {"resourceType": "Patient", "implicitRules": "a b"},
    "format: a URL": {"resourceType": "Patient", "photo": [{"url": "a/b c"}]},
    "format: a canonical": {"resourceType": "Patient", "meta": {"profile": ["a b"]}},
    "format: 1 to 64": {"resourceType": "Patient", "id": "x" * 65},
    "format: base64": {"resourceType": "Binary", "contentType": "text/plain", "data": "YQ==!"},
    "format: an XHTML": {"resourceType": "Patient", "text": {"status": "generated", "div": "x"}},
    "format: a string": {"resourceType": "Patient", "name": [{"family": "x" * 1048577}]},
    "format: a UUID": {"resourceType": "Parameters", "parameter": [
        {"name": "x", "valueUuid": "C757873D-EC9A-4326-A141-556F43239520"}]},
    "type": {"resourceType": "Patient", "active": "true"},
    "unknown: fhir_comments": {"resourceType": "Patient", "fhir_comments": ["x"]},
    "unknown: R4B": {"resourceType": "ActivityDefinition", "status": "draft", "subjectCanonical": "http://example.org/x"},
    "resource-type": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"id": "x"}}]},
    "invariant": {"resourceType": "Organization", "active": True},
    "R4 type": {"resourceType": "MedicinalProductManufactured", "manufacturedDoseForm": {"text": "x"},
                "quantity": {"value": 1}},
    "R4 value": {"resourceType": "Basic", "code": {"text": "x"}, "extension": [
        {"url": "http://example.org/x", "valueMeta": {"source": "urn:x"}}]},
    "_value of Extension": {"resourceType": "Patient", "extension": [
        {"url": "http://example.org/x", "_valueString": {"id": "a"}}]},
    "_value of a required choice": {"resourceType": "Immunization", "status": "completed", "vaccineCode": {"text": "x"},
                                    "patient": {"reference": "Patient/1"},
                                    "_occurrenceDateTime": {"extension": [{"url": "http://x", "valueCode": "unknown"}]}},
}  # fmt: skip


@pytest.mark.parametrize("entry", [*CASES])
def test_every_listed_reason_is_still_needed(entry):
    verdicts = Verdicts()
    verdicts.compare(CASES[entry], entry)
    assert verdicts.needed.keys() == {entry}


def test_every_reason_has_its_case():
    assert STRICTER.keys() | KINDER.keys() == CASES.keys()


def test_no_float_is_a_decimal():
    quantity = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "valueQuantity": {"value": 1.5},
    }
    assert [issue.path for issue in validate(quantity)] == ["Observation.valueQuantity.value"]
    quantity["valueQuantity"]["value"] = Decimal("1.50")
    assert validate(quantity) == []


def test_the_laws_speak_of_types_that_exist():
    from gateway.fhir.elements import elements

    for type_path, makers in LAWS.items():
        assert elements(type_path)
        assert all(make(type_path) for make in makers)
