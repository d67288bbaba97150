"""`_include` and `_revinclude`: what matches refer to, and what refers to them (FHIR R4 search, include).

Nothing comes twice, nothing that the caller may not see comes at all: every resource type is decided on its own, and
what is not permitted is left out without a word. Matches are parsed here only because an include asks where they refer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway import access
from gateway.access import Actor, NotPermitted, Permitted, Read, Search
from gateway.formats import json
from gateway.search import parameters, parse
from gateway.search.parameters import Kind
from gateway.search.query import AnyTerm, Include, Query, Term
from gateway.search.stated import references
from gateway.serve.permitted import PermittedStore
from gateway.store.port import Version

INCLUDED_MAX: Final = 1000
"""Resources included on one page; beyond, they are left out and an outcome says so."""
ROUNDS_MAX: Final = 5
"""How often `:iterate` follows what it has brought."""
_VALUES: Final = parse.VALUES_MAX
Key = tuple[str, str]


@dataclass(slots=True)
class Included:
    """What came along with matches, and whether something was left out for want of room."""

    versions: list[Version] = field(default_factory=list)
    cut: bool = False


class Includer:
    """Finds what comes along. `base` is the address of the API, without a slash at its end."""

    def __init__(self, store: PermittedStore, base: str) -> None:
        self._store = store
        self._base = base

    async def included(self, actor: Actor, includes: Sequence[Include], matches: Sequence[Version]) -> Included:
        """Return what the includes of a search bring to a page of matches."""
        made = Included()
        known = {(one.type, one.id) for one in matches}
        wanted, latest = includes, matches
        for _ in range(ROUNDS_MAX):
            found = [
                *await self._forward(actor, [one for one in wanted if not one.reverse], latest, known, made),
                *await self._backward(actor, [one for one in wanted if one.reverse], latest, known, made),
            ]
            made.versions += found
            wanted, latest = [one for one in wanted if one.iterate], found
            if not wanted or not latest or made.cut:
                break
        return made

    async def _forward(
        self, actor: Actor, includes: Sequence[Include], sources: Sequence[Version], known: set[Key], made: Included
    ) -> list[Version]:
        keys: dict[Key, None] = {}
        for source in sources if includes else ():
            mine = [one for one in includes if one.type in {source.type, "*"}]
            resource = json.look(source.body) if mine else {}
            for one in mine:
                keys |= dict.fromkeys(_targets(resource, one, self._base))
        permitted = [read for key in keys if key not in known and (read := _allowed(actor, *key))]
        room = INCLUDED_MAX - len(made.versions)
        if len(permitted) > room:
            permitted, made.cut = permitted[:room], True
        found = {(one.type, one.id): one for one in await self._store.read_many(permitted)}
        known.update(found)
        return [found[key] for key in keys if key in found]

    async def _backward(
        self, actor: Actor, includes: Sequence[Include], targets: Sequence[Version], known: set[Key], made: Included
    ) -> list[Version]:
        brought: list[Version] = []
        for one in _named(includes):
            for query in _queries(one, targets):
                room = INCLUDED_MAX - len(made.versions) - len(brought)
                if room <= 0:
                    made.cut = True
                    return brought
                try:
                    permitted = access.decide(actor, Search(replace(query, count=room)))
                except NotPermitted:
                    break
                page = await self._store.search(permitted)
                made.cut = made.cut or page.more
                for version in page.versions:
                    if (version.type, version.id) not in known:
                        known.add((version.type, version.id))
                        brought.append(version)
        return brought


def _named(includes: Sequence[Include]) -> Iterator[Include]:
    """Yield reverse includes of one type each: `*` is every type."""
    for one in includes:
        for kind in parameters.types() if one.type == "*" else (one.type,):
            yield replace(one, type=kind)


def _allowed(actor: Actor, kind: str, name: str) -> Permitted[Read] | None:
    try:
        return access.decide(actor, Read(kind, name))
    except NotPermitted:
        return None


def _parameters(include: Include) -> list[str]:
    """Return the reference parameters that an include names: one, or every one of its type."""
    if include.parameter != "*":
        return [include.parameter]
    return [one.name for one in parameters.of(include.type).all() if one.kind is Kind.REFERENCE and one.supported]


def _targets(resource: dict[str, Any], include: Include, base: str) -> Iterator[Key]:
    for text in references(resource, include.parameter):
        target = text.removeprefix(base + "/").split("/")
        if len(target) == 2 and target[0] in parameters.types() and include.target in {"", target[0]}:  # noqa: PLR2004
            yield target[0], target[1]


def _queries(include: Include, targets: Sequence[Version]) -> Iterable[Query]:
    """Return the searches for what refers to `targets` by the include's parameter."""
    mine = [f"{one.type}/{one.id}" for one in targets if include.target in {"", one.type}]
    names = [
        name
        for name in _parameters(include)
        if (parameter := parameters.of(include.type).get(name))
        and ({*parameter.targets} & {one.type for one in targets} or not parameter.targets)
    ]
    for start in range(0, len(mine) if names else 0, _VALUES):
        part = mine[start : start + _VALUES]
        terms: list[Term] = []
        for name in names:
            taken = [one for one in part if _may_name(include.type, name, one)]
            if taken:
                terms += parse.understand(include.type, [(name, ",".join(taken))]).query.terms
        if terms:
            yield Query(include.type, (terms[0] if len(terms) == 1 else AnyTerm(tuple(terms)),))


def _may_name(kind: str, name: str, target: str) -> bool:
    parameter = parameters.of(kind).get(name)
    return parameter is not None and (not parameter.targets or target.partition("/")[0] in parameter.targets)
