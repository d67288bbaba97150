"""FHIRPath, by the library fhirpathpy (beda.software, MIT): the one module of this room that imports it.

Here: expressions parsed once, the functions that FHIR adds and the library does not have (hasValue, resolve, conformsTo,
memberOf, htmlChecks, lowBoundary …), patterns that cannot run away, no printing, no clock. What the library gets wrong is
listed, by the official suite, in docs/reference/validation.md. What it cannot evaluate raises `Unevaluable`.

The library keeps its type model in a variable that all its users share; so types are asked here, by a table of R4's own.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from antlr4 import CommonTokenStream, InputStream, ParseTreeWalker, Token
from antlr4.error.ErrorListener import ErrorListener
from fhirpathpy.engine import do_eval
from fhirpathpy.engine.invocations import invocation_registry
from fhirpathpy.engine.nodes import ResourceNode, TypeInfo
from fhirpathpy.models import models
from fhirpathpy.parser.ASTPathListener import ASTPathListener
from fhirpathpy.parser.generated.FHIRPathLexer import FHIRPathLexer
from fhirpathpy.parser.generated.FHIRPathParser import FHIRPathParser

from gateway.conformance import pathfunctions
from gateway.conformance.items import Item
from gateway.conformance.pathfunctions import Unevaluable
from gateway.fhir.narrative import is_safe

MODEL: Final = models["r4"]
EXPRESSION_CHARACTERS_MAX: Final = 10_000
SYSTEMS: Final = {
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
    "ucum": "http://unitsofmeasure.org",
}


_OWN_VALUE: Final = re.compile(r"(?<![.$%`'\w])value(?=[.\s=)]|$)")
"""`value` of a primitive is the primitive itself (R4 fhirpath.html): the library knows no such child."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an expression may ask beyond its own resource."""

    resolve: Callable[[Any], Any | None]
    """A Reference or an address → the resource, where it is at hand."""
    conforms: Callable[[Any, str], bool]
    """(resource, profile's canonical) → whether it conforms; raises Unevaluable for an unknown profile."""
    member: Callable[[Any, str], bool]
    """(coded value, value set's canonical) → membership; raises Unevaluable where it cannot be known."""


@functools.lru_cache(maxsize=4096)
def _parsed(expression: str) -> Any:
    if len(expression) > EXPRESSION_CHARACTERS_MAX:
        raise Unevaluable("the expression is too long")
    lexer = FHIRPathLexer(InputStream(expression))
    tokens = CommonTokenStream(lexer)
    parser = FHIRPathParser(tokens)
    for reader in (lexer, parser):
        reader.removeErrorListeners()
        reader.addErrorListener(_Strict())
    read = parser.expression()
    if tokens.LA(1) != Token.EOF:
        raise Unevaluable("the expression cannot be parsed")
    listener = ASTPathListener()
    ParseTreeWalker().walk(listener, read)
    return listener.parentStack[0]


class _Strict(ErrorListener):  # type: ignore[misc]
    """Refuses what the library's own reading passes over: it takes the part of an expression that it understands."""

    def syntaxError(self, *_: Any) -> None:  # noqa: N802 - the name that ANTLR calls
        raise Unevaluable("the expression cannot be parsed")


class Evaluator:
    """Evaluates expressions for one check of one resource."""

    def __init__(self, around: Surroundings) -> None:
        self._functions = _functions(around)
        self._bare: dict[int, tuple[Any, Any]] = {}

    def holds(self, expression: str, item: Item, resource: Mapping[str, Any], whole: Mapping[str, Any]) -> bool:
        """Say whether an invariant holds of an item: true, or anything but false or nothing (as HL7's validator reads it).

        `resource` is %resource, the resource that the item stands in; `whole` is %rootResource, what contains that.
        Raises Unevaluable.
        """
        found = self.evaluate(expression, item, resource, whole)
        if len(found) == 1:
            value = found[0].data if isinstance(found[0], ResourceNode) else found[0]
            return value is not False
        return bool(found)

    def evaluate(self, expression: str, item: Item, resource: Mapping[str, Any], whole: Mapping[str, Any]) -> list[Any]:
        """Return what an expression gives. Raises Unevaluable."""
        if item.is_primitive and "xtension" not in expression:
            expression = _OWN_VALUE.sub("$this", expression)
        parsed = _parsed(expression)
        full = "xtension" in expression
        here, holder = self._shown(_data(item), full=full), self._shown(resource, full=full)
        variables = {**SYSTEMS, "resource": holder, "rootResource": self._shown(whole, full=full), "context": here}
        start = [here if item.is_resource else ResourceNode.create_node(here, item.type)]
        state = {
            "dataRoot": start,
            "$this": start,
            "vars": variables,
            "model": MODEL,
            "userInvocationTable": self._functions,
        }
        try:
            found = do_eval(state, start, parsed["children"][0])
        except Unevaluable:
            raise
        except Exception as error:  # noqa: BLE001 - the library raises bare Exception for what it does not know
            raise Unevaluable(_cause(error)) from None
        return found if isinstance(found, list) else [found]

    def _shown(self, data: Any, *, full: bool) -> Any:
        """Return data as the library should see it.

        It takes `name` and `_name` for two values of one element; so where an expression does not ask for extensions,
        `_name` beside a value is left out.
        """
        if full or not isinstance(data, dict):
            return data
        key = id(data)
        if key not in self._bare:
            self._bare[key] = (data, _without(data) if _has_beside(data) else data)
        return self._bare[key][1]


def _data(item: Item) -> Any:
    return item.value if item.value is not None else item.extra


def _has_beside(data: Any) -> bool:
    if isinstance(data, dict):
        return any(name.startswith("_") or _has_beside(value) for name, value in data.items())
    return isinstance(data, list) and any(_has_beside(value) for value in data)


def _without(data: Any) -> Any:
    if isinstance(data, dict):
        return {
            name: _without(value) for name, value in data.items() if not (name.startswith("_") and name[1:] in data)
        }
    return [_without(value) for value in data] if isinstance(data, list) else data


def _cause(error: BaseException) -> str:
    """Return what the library could not do, from its own words where they name a function, never from a value."""
    found = re.fullmatch(r"Not implemented:? ?([A-Za-z]{1,40})", str(error))
    return f"the function {found[1]} is not supported" if found else f"its evaluation failed ({type(error).__name__})"


def _functions(around: Surroundings) -> dict[str, dict[str, Any]]:
    """Return the functions that the library lacks or that must be other here, as its registry writes them."""

    def resolve(values: list[Any]) -> list[Any]:
        found = [one for value in values if (one := around.resolve(value)) is not None]
        return [ResourceNode.create_node(one, one.get("resourceType")) for one in found]

    def conforms(values: list[Any], profile: str) -> list[bool]:
        return [around.conforms(values[0], profile)] if len(values) == 1 else []

    def member(values: list[Any], value_set: str) -> list[bool]:
        return [around.member(values[0], value_set)] if len(values) == 1 else []

    strings: dict[str, tuple[Callable[..., list[Any]], int]] = {
        "conformsTo": (conforms, 1),
        "memberOf": (member, 1),
        "matches": (pathfunctions.matches, 1),
        "matchesFull": (pathfunctions.matches_full, 1),
        "replaceMatches": (pathfunctions.replace_matches, 2),
    }
    plain: dict[str, Callable[[list[Any]], list[Any]]] = {
        "resolve": resolve,
        "hasValue": lambda values: [len(values) == 1 and not isinstance(values[0], Mapping)],
        "getValue": lambda values: [value for value in values[:1] if not isinstance(value, Mapping)],
        "htmlChecks": lambda values: [all(isinstance(value, str) and is_safe(value) for value in values)],
        "now": pathfunctions.no_clock,
        "today": pathfunctions.no_clock,
        "timeOfDay": pathfunctions.no_clock,
        "toString": pathfunctions.to_string,
    }
    return {
        **{name: {"fn": _on_data(function)} for name, function in plain.items()},
        **{
            name: {"fn": _on_data(function), "arity": {count: ["String"] * count}, "nullable_input": True}
            for name, (function, count) in strings.items()
        },
        **{name: {**invocation_registry[name], "fn": _scoped(invocation_registry[name]["fn"])} for name in _MACROS},
        **{name: {**invocation_registry[name], "fn": _is} for name in ("is", "isOp")},
        **{name: {**invocation_registry[name], "fn": _as} for name in ("as", "asOp")},
        "inOp": {**invocation_registry["inOp"], "fn": _in},
        "ofType": {**invocation_registry["ofType"], "fn": _of_type},
        "trace": {"fn": lambda _, values, *__: values, "arity": {0: [], 1: ["String"], 2: ["String", "Expr"]}},
    }


_MACROS: Final = ("where", "select", "all", "exists", "repeat", "iif", "aggregate")


def _is_a(value: Any, wanted: TypeInfo) -> bool:
    """Say whether a value is of a type, or of one that is derived from it."""
    if isinstance(value, ResourceNode) and value.path is not None and not value.path.startswith("System."):
        namespace, name = TypeInfo.FHIR, value.path if "." not in value.path else "BackboneElement"
    else:
        found = TypeInfo.create_by_value_in_namespace(
            TypeInfo.System, value.data if isinstance(value, ResourceNode) else value
        )
        namespace, name = TypeInfo.System, found.name
    if wanted.namespace and wanted.namespace != namespace:
        return False
    while name and name != wanted.name and namespace == TypeInfo.FHIR:
        name = MODEL["type2Parent"].get(name) or MODEL["path2Type"].get(name)
    return bool(name == wanted.name)


def _is(_: Any, values: list[Any], wanted: TypeInfo) -> list[bool]:
    """`is` as HL7's validator reads it: nothing is of no type. R4's own invariants count on that (ras-2)."""
    if len(values) > 1:
        raise Unevaluable("it asks for the type of more than one value")
    return [_is_a(values[0], wanted) if values else False]


def _in(state: Any, values: list[Any], listed: list[Any]) -> Any:
    """`in` as HL7's validator reads it: nothing is in anything (ref-1 of a reference that has only an identifier)."""
    return invocation_registry["inOp"]["fn"](state, values, listed) if values else [True]


def _as(_: Any, values: list[Any], wanted: TypeInfo) -> list[Any]:
    if len(values) > 1:
        raise Unevaluable("it asks for the type of more than one value")
    return [value for value in values if _is_a(value, wanted)]


def _of_type(_: Any, values: list[Any], wanted: TypeInfo) -> list[Any]:
    return [value for value in values if _is_a(value, wanted)]


def _on_data(function: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Return a function of plain values as one of the library's nodes."""
    return lambda _, nodes, *rest: function(
        [node.data if isinstance(node, ResourceNode) else node for node in nodes], *rest
    )


def _scoped(macro: Callable[..., Any]) -> Callable[..., Any]:
    """Return a macro after which $this and $index are what they were: the library leaves the innermost ones."""

    def run(state: dict[str, Any], *rest: Any) -> Any:
        before: dict[str, Any] = {name: state[name] for name in ("$this", "$index") if name in state}
        try:
            return macro(state, *rest)
        finally:
            state.update(before)

    return run
