"""The official suites of FHIR/fhir-test-cases: the validator's and FHIRPath's. What differs is in docs/reference/validation.md."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest
from fhirpathpy.engine.nodes import ResourceNode

from gateway.conformance import fhirpath, items, pathfunctions
from gateway.formats import xml
from tests.conformance import suite
from tests.conformance.fixtures import loaded
from tests.corpus import corpus_folder

pytestmark = pytest.mark.corpus
DOCUMENTED = Path(__file__).resolve().parents[2] / "docs" / "reference" / "validation.md"


def section(title: str) -> str:
    text = DOCUMENTED.read_text("utf-8")
    return text.partition(f"### {title}\n")[2].partition("\n##")[0]


def test_the_validator_cases_differ_only_where_it_is_documented() -> None:
    cases = list(suite.cases(corpus_folder("fhir-test-cases") / "validator", *loaded()))
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        table[case.module][case.verdict] += 1
        table["all"][case.verdict] += 1
    for module, counts in sorted(table.items()):
        print(f"{module:14} {dict(counts)}")
    documented = section("The validator cases")
    differing = {
        case.name for case in cases if case.verdict in ("stricter", "laxer") and case.module != "questionnaire"
    }
    assert {name for name in differing if f"`{name}`" not in documented} == set()
    assert table["all"]["agree"] >= 90


def values(found: list[Any]) -> list[Any]:
    return [one.data if isinstance(one, ResourceNode) else one for one in found]


def same(got: Any, wanted_type: str, wanted: str) -> bool:
    if isinstance(got, bool):
        return str(got).lower() == wanted
    if str(got) == wanted or str(got).lstrip("@T") == wanted.lstrip("@T"):
        return True
    try:
        return Decimal(str(got)) == Decimal(wanted)
    except InvalidOperation:
        return False


def passes(test: Any, resource: dict[str, Any]) -> bool:
    around = fhirpath.Surroundings(lambda _: None, lambda *_: True, lambda *_: True)
    expression = test.find("expression")
    wanted = [(one.get("type", ""), one.text or "") for one in test.iter("output")]
    try:
        found = fhirpath.Evaluator(around).evaluate(expression.text, items.root(resource), resource, resource)
    except pathfunctions.Unevaluable:
        return bool(expression.get("invalid"))
    if expression.get("invalid"):
        return False
    got = values(found)
    if test.get("predicate") == "true":
        truth = got[0] if len(got) == 1 and isinstance(got[0], bool) else bool(got)
        return [str(truth).lower()] == [text for _, text in wanted]
    return len(got) == len(wanted) and all(same(one, *other) for one, other in zip(got, wanted, strict=True))


def test_the_fhirpath_cases_differ_only_where_it_is_documented() -> None:
    folder = corpus_folder("fhir-test-cases") / "r4"
    tests = xml.parse((folder / "fhirpath" / "tests-fhir-r4.xml").read_bytes())
    failing: dict[str, list[str]] = defaultdict(list)
    passed = 0
    for group in tests.iter("group"):
        for test in group.iter("test"):
            name = test.get("inputfile", "")
            path = next((one for one in (folder / name, folder / "examples" / name) if one.is_file()), None)
            resource = suite.read(path) if path else {"resourceType": "Basic"}
            if passes(test, resource):
                passed += 1
            else:
                failing[str(group.get("name"))].append(str(test.get("name")))
    for group_name, names in sorted(failing.items()):
        print(f"{group_name}: {', '.join(names)}")
    print(f"{passed} as expected, {sum(map(len, failing.values()))} not")
    documented = dict(re.findall(r"^\| (\w[\w-]*) \| ([0-9]+) \|", section("The FHIRPath cases"), re.MULTILINE))
    assert {name: len(names) for name, names in failing.items()} == {name: int(n) for name, n in documented.items()}
    assert passed >= 780
