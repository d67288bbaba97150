"""Element table → compiled pydantic-core schemas, one per resource type, made at its first use (about 3 ms, 1 MB).

A schema here decides shape: elements and their names, JSON types, cardinality, forms of primitives, required codes,
one of value[x], and the laws of `invariants`. A type has three, `Variant` says which.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, SchemaValidator, ValidationError
from pydantic_core import core_schema as cs

from gateway.fhir import primitives
from gateway.fhir.elements import Element, codes, elements, is_resource
from gateway.fhir.invariants import LAWS
from gateway.fhir.issue import Fault
from gateway.fhir.laws import Broken, Law, Value


class Variant(enum.Enum):
    """How much a schema knows of primitive extensions (`_status`), which hardly any resource has."""

    PLAIN = "plain"
    """Nothing, and it leaves out what it does not know: a resource that comes out whole is valid. The fast one."""
    COMPLETE = "complete"
    """Knows them and forbids the unknown; wants each required primitive and no null. Its errors are told, but for those
    where an extension stands in for a primitive (R4 json.html#null)."""
    LENIENT = "lenient"
    """As complete, but a primitive may be missing or null: for the laws of objects that have such errors excused."""


# A reference to a definition costs a tenth of a microsecond at every use; these small and frequent types are written
# out where they are used instead.
_WRITTEN_OUT = {"CodeableConcept", "Coding", "Meta", "Period", "Quantity", "Reference"} | primitives.SCHEMAS.keys()

Validator = Callable[[Any], Any]
"""Returns what it accepts (the plain schema: without unknown elements), raises pydantic_core.ValidationError."""


class Nested(NamedTuple):
    """Validators that stand on their own, called from inside others."""

    contained: Validator
    """For each item of `contained`."""
    entry: Validator
    """For any other resource inside: Bundle.entry.resource, Parameters.parameter.resource."""
    extension: Validator | None
    """For Extension, which leads to every data type: one for all keeps the others small. None inside itself."""


def compiled(type_path: str, *, variant: Variant, nested: Nested) -> Validator:
    """Return a validator for a resource type, or for Extension."""
    builder = _Builder(nested, variant)
    root = builder.type(type_path)
    return SchemaValidator(cs.definitions_schema(root, list(builder.definitions.values()))).validate_python


class _Builder:
    """Collects the definitions that one type needs."""

    def __init__(self, nested: Nested, variant: Variant) -> None:
        self.definitions: dict[str, CoreSchema] = {}
        self._variant = variant
        self._contained = cs.no_info_plain_validator_function(nested.contained)
        self._entry = cs.no_info_plain_validator_function(nested.entry)
        self._extension = nested.extension and cs.no_info_plain_validator_function(nested.extension)

    def type(self, type_path: str) -> CoreSchema:
        """Return the schema of a type: written out, or a reference to its definition."""
        if type_path in primitives.SCHEMAS:
            return primitives.SCHEMAS[type_path]
        if type_path == "Extension" and self._extension is not None:
            return self._extension
        if type_path in _WRITTEN_OUT and self._extension is not None and self._variant is Variant.PLAIN:
            return self._object(type_path)
        if type_path not in self.definitions:
            self.definitions[type_path] = cs.any_schema()  # holds the place: types refer to one another in circles
            self.definitions[type_path] = {**self._object(type_path), "ref": type_path}
        return cs.definition_reference_schema(type_path)

    def _object(self, type_path: str) -> CoreSchema:
        fields: dict[str, cs.TypedDictField] = {}
        if is_resource(type_path):
            fields["resourceType"] = cs.typed_dict_field(cs.literal_schema([type_path]), required=True)
        for name, element in elements(type_path).items():
            excused = element.extensible and self._variant is Variant.LENIENT
            required = element.required and not element.choice and not excused
            fields[name] = cs.typed_dict_field(self._value(name, element), required=required)
            if element.extensible and self._variant is not Variant.PLAIN:
                fields[f"_{name}"] = cs.typed_dict_field(self._beside(element), required=False)
        unknown: Literal["forbid", "ignore"] = "ignore" if self._variant is Variant.PLAIN else "forbid"
        shape = cs.typed_dict_schema(fields, extra_behavior=unknown, total=False, strict=True)
        laws = [*_choices(type_path), *(make(type_path) for make in LAWS.get(type_path, ()))]
        if self._variant is not Variant.PLAIN:
            laws += _gaps(type_path)
        return cs.no_info_after_validator_function(_all(laws), shape) if laws else shape

    def _value(self, name: str, element: Element) -> CoreSchema:
        if element.type_path == "Resource":
            item: CoreSchema = self._contained if name == "contained" else self._entry
        elif element.value_set:
            item = self._bound(element)
        else:
            item = self.type(element.type_path)
        if not element.many:
            return item
        if element.extensible and self._variant is Variant.LENIENT:
            item = cs.nullable_schema(item)
        return cs.list_schema(item, min_length=1, strict=True)

    def _beside(self, element: Element) -> CoreSchema:
        """`_name`: what stands beside a primitive; for many, nulls fill the places that have nothing."""
        one = self.type("Element")
        return cs.list_schema(cs.nullable_schema(one), min_length=1, strict=True) if element.many else one

    def _bound(self, element: Element) -> CoreSchema:
        allowed = codes(element.value_set)
        if element.type_path == "code":
            return cs.literal_schema(sorted({code for listed in allowed.values() for code in listed}))
        pairs = {(system, code) for system, listed in allowed.items() for code in listed}
        text = f"has no coding from {element.value_set}"

        def one_of_them(concept: Value) -> Value:
            codings = concept.get("coding", ())
            if any((coding.get("system"), coding.get("code")) in pairs for coding in codings):
                return concept
            if not codings and "extension" in concept:
                return concept  # data-absent-reason
            raise PydanticCustomError("code", text)

        return cs.no_info_after_validator_function(one_of_them, self.type(element.type_path))


@functools.cache
def _choices(type_path: str) -> list[Law]:
    """One law for all choices of a type: at most one of value[x], or just one where it is required."""
    groups: dict[str, str] = {}
    required: set[str] = set()
    for name, element in elements(type_path).items():
        if element.choice:
            groups[name] = element.choice
            if element.extensible:
                groups[f"_{name}"] = element.choice
            if element.required:
                required.add(element.choice)
    if not groups:
        return []
    listed = groups.keys()

    def law(value: Value) -> Broken | None:
        found = value.keys() & listed
        if not required and len(found) == len({groups[name] for name in found}):
            return None  # one name of each
        used = {name.lstrip("_"): groups[name] for name in found}
        for choice in required - {*used.values()}:
            return Broken("required", choice, f"one {choice}[x] is required")
        for choice in used.values():
            if [*used.values()].count(choice) > 1:
                return Broken("choice", choice, f"more than one {choice}[x]")
        return None

    return [law]


@functools.cache
def _gaps(type_path: str) -> list[Law]:
    """One law for all primitives of a type that may occur more than once: a null in `_name` stands beside a value in `name`
    (R4 json.html#primitive). A place with neither would be an element with nothing in it (ele-1).
    """
    many = [name for name, element in elements(type_path).items() if element.many and element.extensible]

    def law(value: Value) -> Broken | None:
        for name in many:
            beside = value.get(f"_{name}")
            if beside is not None and None in beside[len(value.get(name, ())) :]:
                return Broken("empty", f"_{name}", "has a place with neither a value nor an extension")
        return None

    return [law] if many else []


def _all(laws: list[Law]) -> Callable[[Value], Value]:
    if len(laws) == 1:
        (law,) = laws

        def one(value: Value) -> Value:
            broken = law(value)
            if broken is not None:
                raise failure([_fault(broken)])
            return value

        return one

    def all_of_them(value: Value) -> Value:
        for law in laws:
            if law(value) is not None:
                raise failure([_fault(broken) for law in laws if (broken := law(value)) is not None])
        return value

    return all_of_them


def _fault(broken: Broken) -> Fault:
    return Fault((broken.element,) if broken.element else (), broken.rule, broken.text)


def failure(faults: list[Fault]) -> ValidationError:
    """Make the error that pydantic-core carries upwards, putting the place of the object before each fault's."""
    lines = [
        InitErrorDetails(type=PydanticCustomError(fault.rule, fault.text), loc=fault.place, input=None)
        for fault in faults
    ]
    return ValidationError.from_exception_data("resource", lines)
