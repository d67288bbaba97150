"""What may stand in a narrative: formatting alone, at every place where a Narrative is, and nothing that runs."""

from __future__ import annotations

import pytest

from gateway.fhir import narrative
from gateway.fhir.validate import validate
from gateway.formats import json
from tests.corpus import corpus_folder


def div(inside: str, attributes: str = "") -> str:
    return f'<div xmlns="http://www.w3.org/1999/xhtml"{attributes}>{inside}</div>'


GOOD = [
    div("text"), div("<p>a &amp; b &#160;</p>"), div('<a href="Patient/1">x</a>'), div('<a name="x">x</a><a href="#x">y</a>'),
    div('<img src="data:image/png;base64,AAAA" alt="x"/>'), div('<table border="1"><tbody><tr><td style="color: red">x</td></tr></tbody></table>'),
    div("x", ' xml:lang="da" lang="da"'), div('<a href="https://x.example/javascript:">x</a>'), "  " + div("x"), div('<img src="x.png"/>'),
]  # fmt: skip
UNSAFE = [
    div("<script>alert(1)</script>"), div("<p onclick='x'>x</p>"), div('<a href="javascript:alert(1)">x</a>'),
    div('<a href=" java&#10;script:alert(1)">x</a>'), div('<a href="JAVASCRIPT:x">x</a>'), div('<a href="vbscript:x">x</a>'),
    div('<a href="data:text/html,x">x</a>'), div('<img src="data:text/html,x"/>'), div('<img src="x" onerror="x"/>'),
    div("<iframe/>x"), div("<object/>x"), div("<form>x</form>"), div('<link href="x"/>x'), div("<style>x</style>"), div('<base href="x"/>x'),
    div("<svg xmlns='http://www.w3.org/2000/svg'>x</svg>"), div('<a xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="x">x</a>'),
    div("<font>x</font>"), div("<body>x</body>"), div("<head/>x"), "<div>x</div>", div("x") + div("y"), div("<p>x"), div("a &nbsp; b"),
    '<!DOCTYPE div [<!ENTITY x "y">]>' + div("&x;"), div("<DIV>x</DIV>"), div("x", ' onload="x"'), div("<p>" * 300 + "x" + "</p>" * 300),
]  # fmt: skip
EMPTY = [div(""), div("  <p> \n </p>")]


def patient(text: str) -> dict:
    return {"resourceType": "Patient", "id": "p", "text": {"status": "generated", "div": text}}


@pytest.mark.parametrize("text", GOOD)
def test_formatting_passes(text):
    assert validate(patient(text)) == []


@pytest.mark.parametrize("text", UNSAFE)
def test_what_is_not_formatting_is_refused_and_not_repeated(text):
    issues = validate(patient(text))
    assert [(issue.path, issue.code) for issue in issues] in (
        [("Patient.text.div", "invariant")], [("Patient.text.div", "value")],
    )  # fmt: skip
    assert issues[0].rule in {"txt-1", "format"}
    assert "alert" not in issues[0].text
    assert not narrative.is_safe(text)


@pytest.mark.parametrize("text", EMPTY)
def test_a_narrative_that_shows_nothing_is_stored_and_known(text):
    assert validate(patient(text)) == []
    assert not narrative.has_content(text)


def test_every_place_of_a_narrative_is_looked_at():
    bad = {"status": "generated", "div": UNSAFE[0]}
    contained = {"resourceType": "Patient", "contained": [{**patient(UNSAFE[0]), "id": "c"}],
                 "managingOrganization": {"reference": "#c"}}  # fmt: skip
    section = {
        "resourceType": "Composition", "status": "final", "type": {"text": "x"}, "date": "2026", "title": "x",
        "author": [{"display": "x"}], "section": [{"text": bad}],
    }  # fmt: skip
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient(UNSAFE[0])}]}
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "x", "resource": patient(UNSAFE[0])}]}
    assert [
        [(issue.path, issue.rule) for issue in validate(one)] for one in (contained, section, bundle, parameters)
    ] == [
        [("Patient.contained[0].text.div", "txt-1")],
        [("Composition.section[0].text.div", "txt-1")],
        [("Bundle.entry[0].resource.text.div", "txt-1")],
        [("Parameters.parameter[0].resource.text.div", "txt-1")],
    ]


def test_a_text_that_only_looks_like_one_is_left_alone():
    assert validate({"resourceType": "Patient", "id": "p", "name": [{"text": "<script>x</script>"}]}) == []


@pytest.mark.corpus
@pytest.mark.parametrize("corpus", ["fhir-r4-examples", "medcom-fhir", "dk-core"])
def test_no_published_narrative_is_refused(corpus):
    """Of resources that are valid otherwise as well as of others: only what is said of narratives counts here."""
    seen = 0
    for path in sorted(corpus_folder(corpus).rglob("*.json")):
        resource = json.loads(path.read_bytes())
        if isinstance(resource, dict):
            for text in _narratives(resource):
                seen += 1
                assert not narrative.fault(text), path.name
    assert seen > 100


def _narratives(value):
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "div" and isinstance(inner, str):
                yield inner
            else:
                yield from _narratives(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _narratives(inner)
