"""Laws of the door itself: it never raises, tells no value, keeps to its limits, and is no burden to who does not ask."""

from __future__ import annotations

import copy
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.conformance import basis, patterns
from gateway.conformance import run as running
from gateway.conformance.issue import Severity
from tests.conformance import mutations
from tests.conformance.fixtures import DK_PATIENT, bad, loaded, shipped

ROOT = Path(__file__).resolve().parents[2]
CPR = "2512489996"
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "meta": {"profile": [DK_PATIENT]},
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Nancy</div>'},
    "identifier": [{"use": "official", "system": "urn:oid:1.2.208.176.1.2", "value": CPR}],
    "name": [{"use": "official", "family": "Berggren", "given": ["Nancy"]}],
    "gender": "female",
    "birthDate": "1948-12-25",
    "contact": [{"name": {"family": "Holm"}, "period": {"start": "2020-01-01"}}],
    "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace", "valueAddress": {"city": "Ry"}}
    ],
}


def test_a_danish_patient_is_fine_and_a_wrong_number_of_hers_is_not() -> None:
    assert bad(shipped().check(PATIENT)) == []
    wrong = copy.deepcopy(PATIENT)
    wrong["identifier"][0]["value"] = "99" + CPR[2:]
    assert ("Patient.identifier[0].value", "cpr") in bad(shipped().check(wrong))


def test_no_issue_repeats_a_value() -> None:
    chance = random.Random(7)
    for _ in range(300):
        changed = copy.deepcopy(PATIENT)
        mutations.KINDS[chance.choice(list(mutations.KINDS))](chance, changed)
        for issue in shipped().check(changed):
            told = f"{issue.text} {issue.at}"
            assert not any(value in told for value in (CPR[:9], "Berggren", "Nancy", "Holm", "no-such-code")), told


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "extension", "url", "coding", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*PATIENT, "contained", "_birthDate", "multipleBirthInteger", "junk"]), JSON))
def test_it_never_raises_whatever_is_where(junk: dict[str, Any]) -> None:
    assert isinstance(shipped().check({**PATIENT, **junk}), list)


def test_a_bundle_of_500_takes_seconds_and_one_too_large_is_cut_off_with_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries = [
        {"fullUrl": f"https://gw.example/Patient/{n}", "resource": {**PATIENT, "id": str(n)}} for n in range(500)
    ]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    begun = time.process_time()
    assert bad(shipped().check(bundle)) == []
    assert time.process_time() - begun < 20
    monkeypatch.setattr(running, "STEPS_MAX", 1000)
    assert [one.key for one in shipped().check(bundle) if one.key == "limit"] == ["limit"]


def test_there_are_never_more_issues_than_can_be_read() -> None:
    crowd = {**PATIENT, "contact": [{"relationship": [{"text": "x"}]}] * 2000}
    issues = shipped().check(crowd)
    assert len(issues) == 500
    assert issues[-1].key == "limit"


def test_patterns_that_could_take_for_ever_are_not_tried_and_those_that_are_shipped_cannot() -> None:
    assert all(patterns.runs_away(one) for one in ("(a+)+$", "((a*)*)", r"(\S+ ?)*x", "(a|ab)*c"))
    assert not any(
        patterns.runs_away(one) for one in ("^[0-9]{13}$", "([.][a-z]+)*", "^([0-9]){11,}$", r"[A-Z](\w){0,254}")
    )
    base, known = loaded()
    laws = [law for rows in base["laws"].values() for law in rows]
    laws += [
        law for package in known for profile in package["profiles"].values()
        for row in profile["elements"].values() for law in row.get("laws", ())
    ]  # fmt: skip
    written = {found for law in laws for found in re.findall(r"matches\('((?:[^'\\]|\\.)*)'\)", law[3])}
    assert len(written) > 10
    assert not [one for one in written if patterns.runs_away(one.replace("\\\\", "\\"))]


def test_what_the_fast_door_decides_is_not_asked_again_and_the_list_is_the_documented_one() -> None:
    text = (ROOT / "docs/reference/validation.md").read_text("utf-8")
    listed = re.search(r"## Invariants that are checked\n(.*?)\n`app-4`", text, re.DOTALL)
    assert listed is not None
    assert frozenset(re.findall(r"`([a-z]+-[0-9]+)`", listed[1])) == basis.NATIVE


def test_a_process_that_serves_loads_nothing_of_it_until_it_is_asked() -> None:
    code = (
        "import sys; import gateway.serve.validating, gateway.app.web;"
        "print([name for name in sys.modules if name.startswith('gateway.conformance')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_what_callers_name_and_nobody_knows_is_not_remembered() -> None:
    checker = shipped()

    def kept() -> int:
        library: Any = checker.library
        return len(library._found) + len(library._profiles)

    def strange(number: int) -> None:
        unknown = f"https://sundbro.example/{number}"
        coded = {"coding": [{"system": unknown, "code": "x"}]}
        said = {
            "meta": {"profile": [unknown]},
            "extension": [{"url": unknown, "valueString": "x"}],
            "maritalStatus": coded,
        }
        checker.check({**PATIENT, **said}, [unknown])

    strange(0)
    before = kept()
    for number in range(1, 50):
        strange(number)
    assert kept() == before


def test_a_shape_that_cannot_be_read_has_its_invariants_asked_all_the_same() -> None:
    wrong = {**PATIENT, "birthDate": 7, "contact": [{"gender": "female"}]}
    issues = shipped().check(wrong)
    assert ("Patient.birthDate", "type") in bad(issues)
    assert ("Patient.contact[0]", "pat-1") in bad(issues)
    assert all(issue.severity in set(Severity) for issue in issues)


def test_a_reference_by_identifier_alone_breaks_nothing_however_the_rest_is_shaped() -> None:
    wrong = {**PATIENT, "birthDate": 7, "generalPractitioner": [{"identifier": {"value": "x"}}]}
    assert bad(shipped().check(wrong)) == [("Patient.birthDate", "type")]
