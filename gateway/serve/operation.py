"""What an operation of the API is: the row from which its routes, its place in the CapabilityStatement and in OpenAPI come.

An operation stands in one module of its own that exports its row and its handler; `api.FhirApi` is given the pairs.
Not the operations themselves.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.access import Actor
from gateway.access.scopes import Letter
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.routes import RESOURCE, Interaction, Route


class Level(enum.StrEnum):
    """Where an operation is asked: `/$x`, `/Type/$x`, `/Type/id/$x`."""

    SYSTEM = "system"
    TYPE = "type"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Field:
    """One input parameter (FHIR R4 OperationDefinition.parameter)."""

    name: str
    type: str
    text: str
    minimum: int = 0
    maximum: str = "1"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: `code` without `$`; `types` it is for, none: every type; `letter` the scope it needs on the type."""

    code: str
    definition: str
    levels: frozenset[Level]
    letter: Letter
    text: str
    types: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET", "POST")
    fields: tuple[Field, ...] = ()


Handler = Callable[[Actor, Asking], Awaitable[Answer]]
"""Decides (`access.decide`, a decision for every type that it touches), asks the store, answers. A GET's parameters are
`asking.pairs`; a POST's are a Parameters resource, `asking.resource()`, or the resource itself."""


def rows(operation: Operation) -> list[Route]:
    """Return the routes of an operation: a row for each method and level."""
    patterns = {Level.SYSTEM: "/", Level.TYPE: "/{type}/", Level.INSTANCE: "/{type}/{id}/"}
    return [
        Route(
            method,
            f"{patterns[level]}${operation.code}",
            Interaction.OPERATION,
            operation.letter,
            operation.text,
            takes=RESOURCE if method == "POST" else (),
            types=operation.types if level is not Level.SYSTEM else (),
            code=operation.code,
        )
        for level in Level
        if level in operation.levels
        for method in operation.methods
    ]
