"""The R4 invariants that plain Python decides in well under a microsecond, one table: type → laws.

What needs the whole
resource (dom-2 to dom-5, ref-1) is in `whole.py`. Not here: invariants that need FHIRPath over a whole tree, a
terminology server, or that only bind the resources with which FHIR describes itself (StructureDefinition, TestScript,
Questionnaire …); docs/reference/validation.md lists both.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from gateway.fhir.laws import Broken, Law, Maker, Value, any_of, excludes, names, needs, one_of, when


def coded(concept: Any, system: str, *codes: str) -> bool:
    """Say whether a CodeableConcept has one of these codes of a system."""
    return isinstance(concept, dict) and any(
        coding.get("system") == system and coding.get("code") in codes for coding in concept.get("coding", ())
    )


def _after(start: Any, end: Any) -> bool:
    """Say whether `start` is surely later than `end`: both at hand, and of one precision (FHIRPath, comparison)."""
    if not isinstance(start, str) or not isinstance(end, str) or start == end:
        return False
    if "T" not in start and "T" not in end:
        return len(start) == len(end) and start > end
    if "T" not in start or "T" not in end:
        return False
    if len(start) == len(end) and start[-6:] == end[-6:]:
        return start > end
    try:
        return dt.datetime.fromisoformat(start) > dt.datetime.fromisoformat(end)
    except ValueError:  # a leap second, which Python does not know
        return False


def _inverted(value: Value) -> bool:
    low, high = value.get("low"), value.get("high")
    if low is None or high is None or low.get("code", low.get("unit")) != high.get("code", high.get("unit")):
        return False
    return bool("value" in low and "value" in high and low["value"] > high["value"])


def _not_ucum(value: Value) -> bool:
    return bool(value.get("system", UCUM) != UCUM)


_MEALS = {"C", "CM", "CD", "CV"}
UCUM = "http://unitsofmeasure.org"
CONDITION_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CONDITION_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
ALLERGY_VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"


def _observation(path: str) -> Law:
    values = names(path, "value[x]")
    absent_with_value = Broken("obs-6", "dataAbsentReason", "dataAbsentReason only where there is no value")
    same_code = Broken("obs-7", "component", "no value where a component has the same code as the observation")

    def law(value: Value) -> Broken | None:
        if "dataAbsentReason" in value and not values.isdisjoint(value):
            return absent_with_value
        if "component" in value and not values.isdisjoint(value):
            own = value["code"].get("coding", ())
            if any(coding in own for part in value["component"] for coding in part["code"].get("coding", ())):
                return same_code
        return None

    return law


def _abated(path: str) -> Law:
    abatement = names(path, "abatement[x]")
    broken = Broken("con-4", "clinicalStatus", "an abated condition is inactive, resolved or in remission")

    def law(value: Value) -> Broken | None:
        if abatement.isdisjoint(value):
            return None
        over = coded(value.get("clinicalStatus"), CONDITION_CLINICAL, "resolved", "remission", "inactive")
        return None if over else broken

    return law


def _in_entries(value: Value, element: str) -> bool:
    return any(element in entry for entry in value.get("entry", ()))


def _entries(rule: str, element: str, types: set[str]) -> Maker:
    """bdl-3 and bdl-4: every entry has it in these types of Bundle, none in any other."""

    def wrong(value: Value) -> bool:
        expected = value.get("type") in types
        return any((element in entry) != expected for entry in value.get("entry", ()))

    return when(rule, wrong, "entry", f"each entry has {element} in {', '.join(sorted(types))}, and nowhere else")


def _repeats_full_url(value: Value) -> bool:
    if value.get("type") == "history":
        return False
    seen = [
        (entry["fullUrl"], entry.get("resource", {}).get("meta", {}).get("versionId"))
        for entry in value.get("entry", ())
        if "fullUrl" in entry
    ]
    return len(set(seen)) != len(seen)


def _first_is_not(value: Value, bundle_type: str, resource_type: str) -> bool:
    if value.get("type") != bundle_type:
        return False
    first = value["entry"][0] if "entry" in value else {}
    return bool(first.get("resource", {}).get("resourceType") != resource_type)


def _is_document_without(value: Value, *path: str) -> bool:
    found = value
    for name in path:
        found = found.get(name, {})
    return value.get("type") == "document" and not found


def _in_error(value: Value, system: str) -> bool:
    return coded(value.get("verificationStatus"), system, "entered-in-error")


LAWS: dict[str, tuple[Maker, ...]] = {
    # data types
    "Age": (
        needs("qty-3", "code", "system"), needs("age-1", "value", "code"),
        when("age-1", _not_ucum, "system", "the system is UCUM"),
        when("age-1", lambda value: value.get("value", 1) <= 0, "value", "an age is positive"),
    ),
    "Attachment": (needs("att-1", "data", "contentType"),),
    "ContactPoint": (needs("cpt-2", "value", "system"),),
    "Count": (
        needs("qty-3", "code", "system"), needs("cnt-3", "value", "code"),
        when("cnt-3", _not_ucum, "system", "the system is UCUM"),
        when("cnt-3", lambda value: value.get("code", "1") != "1", "code", "the code of a count is 1"),
    ),
    "Distance": (
        needs("qty-3", "code", "system"), needs("dis-1", "value", "code"),
        when("dis-1", _not_ucum, "system", "the system is UCUM"),
    ),
    "Duration": (
        needs("qty-3", "code", "system"),
        when("drt-1", lambda value: "code" in value and value.get("system") != UCUM, "system",
             "a duration's code is UCUM"),
        when("drt-1", lambda value: "code" in value and value.keys().isdisjoint(("value", "_value")), "value",
             "a duration's code needs a value"),
    ),
    "Expression": (any_of("exp-1", "expression", "reference"),),
    "Extension": (one_of("ext-1", "extension", "value[x]"),),
    "Period": (when("per-1", lambda value: _after(value.get("start"), value.get("end")), "", "start is after end"),),
    "Quantity": (needs("qty-3", "code", "system"),),
    "Range": (when("rng-2", _inverted, "", "low is greater than high"),),
    "Ratio": (
        when("rat-1", lambda value: ("numerator" in value) != ("denominator" in value), "",
             "numerator and denominator come together"),
        any_of("rat-1", "numerator", "extension"),
    ),
    "Timing.repeat": (
        needs("tim-1", "duration", "durationUnit"),
        needs("tim-2", "period", "periodUnit"),
        when("tim-4", lambda value: value.get("duration", 0) < 0, "duration", "a duration is not negative"),
        when("tim-5", lambda value: value.get("period", 0) < 0, "period", "a period is not negative"),
        needs("tim-6", "periodMax", "period"),
        needs("tim-7", "durationMax", "duration"),
        needs("tim-8", "countMax", "count"),
        when("tim-9", lambda value: "offset" in value and (not value.get("when") or _MEALS & {*value["when"]}),
             "offset", "an offset needs a when that is not a meal as such"),
        excludes("tim-10", "timeOfDay", "when"),
    ),
    # resources
    "AllergyIntolerance": (
        when("ait-1", lambda value: "clinicalStatus" not in value and not _in_error(value, ALLERGY_VERIFICATION),
             "clinicalStatus", "clinicalStatus is there unless entered in error"),
        when("ait-2", lambda value: "clinicalStatus" in value and _in_error(value, ALLERGY_VERIFICATION),
             "clinicalStatus", "no clinicalStatus when entered in error"),
    ),
    "Appointment": (
        needs("app-2", "start", "end"),
        needs("app-2", "end", "start"),
        when("app-3", lambda value: value.get("status") not in {"proposed", "cancelled", "waitlist"}
             and ("start" not in value or "end" not in value), "start",
             "start and end may be missing only when proposed, cancelled or on a waiting list"),
        when("app-4", lambda value: "cancelationReason" in value and value.get("status") not in {"noshow", "cancelled"},
             "cancelationReason", "only when cancelled or noshow"),
    ),
    "Appointment.participant": (any_of("app-1", "type", "actor"),),
    "AppointmentResponse": (any_of("apr-1", "participantType", "actor"),),
    "AuditEvent.entity": (excludes("sev-1", "name", "query"),),
    "Bundle": (
        when("bdl-1", lambda value: "total" in value and value.get("type") not in {"searchset", "history"}, "total",
             "total only in a searchset or a history"),
        when("bdl-2", lambda value: value.get("type") != "searchset" and _in_entries(value, "search"), "entry",
             "entry.search only in a searchset"),
        _entries("bdl-3", "request", {"batch", "transaction", "history"}),
        _entries("bdl-4", "response", {"batch-response", "transaction-response", "history"}),
        when("bdl-7", _repeats_full_url, "entry", "a fullUrl occurs twice for one version"),
        when("bdl-9", lambda value: _is_document_without(value, "identifier", "system")
             or _is_document_without(value, "identifier", "value"), "identifier", "a document has an identifier"),
        when("bdl-10", lambda value: _is_document_without(value, "timestamp"), "timestamp",
             "a document has a timestamp"),
        when("bdl-11", lambda value: _first_is_not(value, "document", "Composition"), "entry",
             "a document begins with a Composition"),
        when("bdl-12", lambda value: _first_is_not(value, "message", "MessageHeader"), "entry",
             "a message begins with a MessageHeader"),
    ),
    "Bundle.entry": (
        any_of("bdl-5", "resource", "request", "response"),
        when("bdl-8", lambda value: "/_history/" in value.get("fullUrl", ""), "fullUrl", "no version in a fullUrl"),
    ),
    "CarePlan.activity": (excludes("cpl-3", "detail", "reference"),),
    "Composition.section": (any_of("cmp-1", "text", "entry", "section"), excludes("cmp-2", "emptyReason", "entry")),
    "Condition": (
        _abated,
        when("con-5", lambda value: "clinicalStatus" in value and _in_error(value, CONDITION_VERIFICATION),
             "clinicalStatus", "no clinicalStatus when entered in error"),
    ),
    "Condition.evidence": (any_of("con-2", "code", "detail"),),
    "Condition.stage": (any_of("con-1", "summary", "assessment"),),
    "Consent": (any_of("ppc-1", "policy", "policyRule"),),
    "FamilyMemberHistory": (excludes("fhs-1", "age[x]", "born[x]"), needs("fhs-2", "estimatedAge", "age[x]")),
    "Goal.target": (needs("gol-1", "detail[x]", "measure"),),
    "Group": (when("grp-1", lambda value: "member" in value and value.get("actual") is not True, "member",
                   "only an actual group has members"),),
    "Immunization.education": (any_of("imm-1", "documentType", "reference"),),
    "ImmunizationRecommendation.recommendation": (any_of("imr-1", "vaccineCode", "targetDisease"),),
    "Linkage": (when("lnk-1", lambda value: len(value["item"]) < 2, "item", "at least two items"),),  # noqa: PLR2004
    "List": (
        excludes("lst-1", "emptyReason", "entry"),
        when("lst-2", lambda value: value.get("mode") != "changes" and _in_entries(value, "deleted"), "entry",
             "deleted only in a list of changes"),
        when("lst-3", lambda value: value.get("mode") != "working" and _in_entries(value, "date"), "entry",
             "dates only in a working list"),
    ),
    "MedicationAdministration.dosage": (any_of("mad-1", "dose", "rate[x]"),),
    "MedicationDispense": (
        when("mdd-1", lambda value: _after(value.get("whenPrepared"), value.get("whenHandedOver")), "whenHandedOver",
             "handed over before it was prepared"),
    ),
    "Observation": (_observation,),
    "Observation.referenceRange": (any_of("obs-3", "low", "high", "text"),),
    "Organization": (
        any_of("org-1", "identifier", "name"),
        when("org-2", lambda value: any(item.get("use") == "home" for item in value.get("address", ())), "address",
             "an organization has no home address"),
        when("org-3", lambda value: any(item.get("use") == "home" for item in value.get("telecom", ())), "telecom",
             "an organization has no home telecom"),
    ),
    "Parameters.parameter": (one_of("inv-1", "value[x]", "resource", "part"),),
    "Patient.contact": (any_of("pat-1", "name", "telecom", "address", "organization"),),
    "QuestionnaireResponse.item": (excludes("qrs-1", "answer", "item"),),
    "RequestGroup.action": (one_of("rqg-1", "resource", "action"),),
    "ServiceRequest": (needs("prr-1", "orderDetail", "code"),),
}  # fmt: skip
