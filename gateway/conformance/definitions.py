"""A profile as a tree of what it says: elements, slices, types, bindings, invariants. Values only; no checking here.

The tree is sparse (`compact`): an element of which a profile says nothing beyond its base type is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.conformance.compact import Json

ABSENT: Final = object()
"""No fixed value, pattern or limit: None would be one."""


@dataclass(frozen=True, slots=True)
class Type:
    """A type that an element may have; `profiles` on the value itself, `targets` on what a Reference points at."""

    code: str
    profiles: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    brought: bool = False
    """Whether what a Reference points at comes with it, in the same Bundle or contained (ElementDefinition.type.aggregation)."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What an element is coded from: strength `required` or `extensible`, and the value set's canonical."""

    strength: str
    value_set: str


@dataclass(frozen=True, slots=True)
class Law:
    """One invariant (ElementDefinition.constraint): severity `error` or `warning`, a FHIRPath expression."""

    key: str
    severity: str
    human: str
    expression: str


@dataclass(frozen=True, slots=True)
class Slicing:
    """How the values of an element are told apart: (discriminator type, path) pairs; rules `open`, `closed`, `openAtEnd`."""

    by: tuple[tuple[str, str], ...]
    rules: str
    ordered: bool


@dataclass(slots=True)
class Node:
    """What a profile says about one element or slice. `children` by element name (`value[x]`), `slices` by slice name."""

    id: str
    minimum: int = 0
    maximum: int | None = None
    types: tuple[Type, ...] = ()
    fixed: Any = ABSENT
    pattern: Any = ABSENT
    least: Any = ABSENT
    most: Any = ABSENT
    length_max: int | None = None
    binding: Binding | None = None
    laws: tuple[Law, ...] = ()
    slicing: Slicing | None = None
    children: dict[str, Node] = field(default_factory=dict)
    slices: dict[str, Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Profile:
    """One StructureDefinition that constrains a type; `package` (`name-version`) is where its references are looked up."""

    url: str
    version: str
    type: str
    base: str
    package: str
    root: Node
    context: tuple[tuple[str, str], ...] = ()
    """Of an extension: where it may stand, (kind, expression)."""
    modifies: bool = False
    """Of an extension: whether it is a modifierExtension."""


def law(row: list[str]) -> Law:
    """Return an invariant from its row."""
    return Law(*row)


def tree(elements: Mapping[str, Json], type_name: str) -> Node:
    """Return the root node of the rows of a profile, ids as ElementDefinition.id writes them."""
    root = Node(type_name)
    for element_id, row in elements.items():
        _fill(_place(root, element_id), row)
    _implied_slicing(root)
    return root


def _place(root: Node, element_id: str) -> Node:
    """Return the node of an id, made with all that leads to it. `a:b/c` is a slice c of the slice b of a."""
    node, reached = root, root.id
    for step in element_id.split(".")[1:]:
        name, _, slice_name = step.partition(":")
        reached += f".{name}"
        node = node.children.setdefault(name, Node(reached))
        for part in slice_name.split("/") if slice_name else ():
            reached += f":{part}"
            node = node.slices.setdefault(part, Node(reached))
    return node


def _fill(node: Node, row: Json) -> None:
    node.minimum = row.get("min", node.minimum)
    node.maximum = row.get("max", node.maximum)
    if "types" in row:
        node.types = tuple(
            Type(one["code"], tuple(one.get("profiles", ())), tuple(one.get("targets", ())), one.get("brought", False))
            for one in row["types"]
        )
    node.fixed = row.get("fixed", node.fixed)
    node.pattern = row.get("pattern", node.pattern)
    node.least = row.get("least", node.least)
    node.most = row.get("most", node.most)
    node.length_max = row.get("length", node.length_max)
    if "binding" in row:
        node.binding = Binding(*row["binding"])
    if "laws" in row:
        node.laws += tuple(law(one) for one in row["laws"])
    if "slicing" in row:
        slicing = row["slicing"]
        by = tuple((kind, path) for kind, path in slicing["by"])
        node.slicing = Slicing(by, slicing["rules"], slicing.get("ordered", False))


def _implied_slicing(node: Node) -> None:
    """Give slices without a slicing the one that FHIR implies: extensions by url, choices by type (R4 profiling)."""
    name = node.id.rpartition(".")[2]
    if node.slices and node.slicing is None and ":" not in name:
        if name in ("extension", "modifierExtension"):
            node.slicing = Slicing((("value", "url"),), "open", ordered=False)
        elif name.endswith("[x]"):
            node.slicing = Slicing((("type", "$this"),), "open", ordered=False)
    for child in (*node.children.values(), *node.slices.values()):
        _implied_slicing(child)
