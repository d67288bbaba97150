"""Bindings: is a coded value from the value set that a definition asks for? (R4 terminologies.html#strength). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.conformance.definitions import Binding
from gateway.conformance.issue import Issue, Severity
from gateway.conformance.items import Item
from gateway.conformance.terms import Member, Terms

_CODED = ("Quantity", "Age", "Count", "Distance", "Duration", "Money")


def issues(terms: Terms, item: Item, binding: Binding, within: str, source: str) -> Iterator[Issue]:
    """Give what is wrong with a value under a binding: an error when required, a warning when extensible.

    What cannot be known, because the value set or its code system is not here, is a warning.
    """
    required = binding.strength == "required"
    severity = Severity.ERROR if required else Severity.WARNING
    if item.value is None or not _is_coded(item):
        return
    codes = list(_codes(item))
    if not codes:
        if item.type == "CodeableConcept" and not (required is False and "text" in item.value):
            text = "no code, where one is " + ("required" if required else "asked for")
            yield Issue(severity, "code-invalid", item.at, f"{text} from {binding.value_set}", "binding", source)
        return
    answers = [terms.member(binding.value_set, within, system, code) for system, code in codes]
    if Member.YES in answers or Member.UNSEEN in answers:
        return
    if Member.UNKNOWN in answers:
        text = f"it cannot be known here whether the code is from {binding.value_set}"
        yield Issue(Severity.WARNING, "not-supported", item.at, text, "binding", source)
        return
    word = "required" if required else "extensible"
    text = f"the code is not from {binding.value_set} ({word})"
    yield Issue(severity, "code-invalid", item.at, text, "binding", source)


def defined(terms: Terms, item: Item, within: str) -> Iterator[Issue]:
    """Give an issue for a code that its own code system, known here as a whole, does not have (R4 datatypes.html#coding)."""
    system, code = item.fields.get("system"), item.fields.get("code")
    if isinstance(system, str) and isinstance(code, str) and terms.system_has(system, within, code) is Member.NO:
        yield Issue(
            Severity.ERROR, "code-invalid", f"{item.at}.code", "its code system has no such code", "code-unknown"
        )


def _is_coded(item: Item) -> bool:
    if item.type in ("CodeableConcept", "Coding", *_CODED):
        return isinstance(item.value, dict)
    return item.type in ("code", "string", "uri") and isinstance(item.value, str)


def _codes(item: Item) -> Iterator[tuple[str | None, str]]:
    """Give (system, code) of a coded value; the system is None where the type has none."""
    value = item.value
    if isinstance(value, str):
        yield None, value
        return
    codings: Any = value.get("coding", []) if item.type == "CodeableConcept" else [value]
    for coding in codings if isinstance(codings, list) else []:
        if isinstance(coding, dict) and isinstance(coding.get("code"), str):
            system = coding.get("system", "")
            yield (system if isinstance(system, str) else ""), coding["code"]


def member(terms: Terms, value: Any, value_set: str, within: str) -> Member:
    """Say whether a JSON value (code, Coding or CodeableConcept) is in a value set: FHIRPath's memberOf."""
    if isinstance(value, dict) and "coding" in value:
        item = Item(value, "CodeableConcept", "")
    else:
        item = Item(value, "Coding" if isinstance(value, dict) else "code", "")
    answers = [terms.member(value_set, within, system, code) for system, code in _codes(item)]
    for answer in (Member.YES, Member.UNSEEN, Member.UNKNOWN):
        if answer in answers:
            return answer
    return Member.NO
