"""What fhir.resources (R4B models) says: the one module that imports it. Not for the hot path, not imported by a role.

`elements` reads the models into the table from which `r4.json` is made (tools/r4_tables.py); `verdict` is their own
answer about one resource. Tests and the benchmark hold `gateway.fhir.validate` against both. The models cost about half
a second and 20 MB to import, and 190 µs to validate an Observation, which is why nothing else touches them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import deque
from typing import Any

from fhir.resources import R4B
from fhir_core.fhirabstractmodel import FHIRAbstractModel
from fhir_core.utils import get_fhir_type_name, is_list_type
from pydantic import ValidationError

from gateway.model import Resource

Elements = dict[str, dict[str, str]]
"""Type path → element → `min..max type|type`. `Observation` → `value[x]` → `0..1 Quantity|CodeableConcept|…`;
`Observation` → `component` → `0..* Observation.component`."""

_PREFIX = "R4."  # how fhir_core registers the types of R4B
_NOT_TYPES = {"FHIRAbstractModel", "FHIRAbstractResource", "FHIRPrimitiveExtension"}
_ABSTRACT = {"Resource", "DomainResource", "Element", "BackboneElement"}


def verdict(resource: Resource) -> bool:
    """Say whether fhir.resources accepts a resource, as its documentation tells to ask it. Never raises."""
    try:
        R4B.get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError):
        # Beside ValidationError, its validators let these out for input of the wrong shape.
        return False
    return True


def elements() -> Elements:
    """Return every concrete type of the R4B models with its elements, in the order of the specification."""
    models = _models()
    table: Elements = {}
    for name, model in models.items():
        # Types of their own stand in a module of their name; backbone elements stand beside their resource.
        if model.__module__.rpartition(".")[2] == name.lower() and name not in _ABSTRACT | _NOT_TYPES:
            table |= _type_and_backbones(name, model, models)
    table["Element"] = _elements_of(models["Element"], {}, "Element")
    return table


def _models() -> dict[str, type[FHIRAbstractModel]]:
    found: dict[str, type[FHIRAbstractModel]] = {}
    for info in pkgutil.iter_modules(R4B.__path__):
        if info.ispkg:
            continue
        module = importlib.import_module(f"{R4B.__name__}.{info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, FHIRAbstractModel) and value.__module__ == module.__name__:
                found[value.get_resource_type()] = value
    return found


def _type_and_backbones(name: str, model: Any, models: dict[str, Any]) -> Elements:
    """Walk from a type to its backbone elements.

    The class of `Claim.item.detail` is called ClaimItemDetail; an element whose class is called otherwise refers to
    content that is defined elsewhere.
    """
    paths = {name: name}
    todo = deque([(name, model)])
    while todo:
        path, current = todo.popleft()
        for element, field in _fields(current):
            type_name, inner_path = _type_name(element, field), f"{path}.{element}"
            if type_name == "".join(part[0].upper() + part[1:] for part in inner_path.split(".")):
                paths[type_name] = inner_path
                todo.append((inner_path, models[type_name]))
    return {path: _elements_of(models[type_name], paths, path) for type_name, path in paths.items()}


def _elements_of(model: Any, paths: dict[str, str], path: str) -> dict[str, str]:
    required = {name for name, _ in model.model_construct().get_required_fields()}
    rows: dict[str, tuple[str, list[str]]] = {}
    for element, field in _fields(model):
        type_name = _type_name(element, field)
        about = field.json_schema_extra or {}
        name, least = element, int(field.is_required() or element in required)
        if choice := about.get("one_of_many"):
            name, least = f"{choice}[x]", int(about["one_of_many_required"])
        most = "*" if is_list_type(field) else "1"
        rows.setdefault(name, (f"{least}..{most}", []))[1].append(paths.get(type_name, type_name))
    if path == "Element":
        rows.pop("fhir_comments", None)
    return {name: f"{cardinality} {'|'.join(types)}" for name, (cardinality, types) in rows.items()}


def _fields(model: Any) -> list[tuple[str, Any]]:
    names = model.get_alias_mapping()
    return [(element, model.model_fields[names[element]]) for element in model.elements_sequence()]


def _type_name(element: str, field: Any) -> str:
    try:
        return str(get_fhir_type_name(field, _PREFIX))
    except ValueError:
        if element == "id":  # a union of id and string, which fhir_core cannot name; R4: Resource.id is an id
            return "id"
        raise
