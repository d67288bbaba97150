"""Every definition that is known, by canonical: profiles, value sets, code systems, and R4's own tables. No I/O.

The same canonical may be in several packages in several versions. What a profile names is looked up in the versions that
its package was built with (its dependencies, the nearest first), then in the newest that there is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from gateway.conformance.compact import CORE, Json, unversioned
from gateway.conformance.definitions import Binding, Law, Node, Profile, law, tree
from gateway.fhir.elements import elements, is_resource

DERIVED_MAX = 20
"""How many profiles may stand one on another; a circle of them ends here."""


class Library:
    """The definitions of `packages.load`. Definitions are compiled when they are first asked for, and kept."""

    def __init__(self, base: Json, packages: Sequence[Json]) -> None:
        self._base = base
        self._packages: dict[str, Json] = {}
        for package in packages:
            self._packages[_name(package)] = package
        newest = sorted(self._packages, key=lambda name: _order(self._packages[name]["package"]), reverse=True)
        # R4's own come last: a guide that brings its own copy of something means that copy.
        self._newest = tuple(sorted(newest, key=lambda name: name.startswith("hl7.fhir.r4.core")))
        self._scopes: dict[str, tuple[str, ...]] = {}
        self._profiles: dict[tuple[str, str], Profile] = {}
        self._found: dict[tuple[str, str, str], tuple[str, Json]] = {}

    def packages(self) -> list[str]:
        """Return `name-version` of every package, newest first."""
        return list(self._newest)

    def profile(self, canonical: str, within: str = "") -> Profile | None:
        """Return a profile by its canonical, `|version` allowed; of R4's own types one that says nothing more.

        `within` is the package of the definition that names it. None when it is not known.
        """
        url, _, version = canonical.partition("|")
        if url.startswith(CORE) and version in ("", "4.0.1", "4.0"):
            name = url.removeprefix(CORE)
            if is_resource(name) or name in ("Resource", "DomainResource") or (name[:1].isupper() and _is_type(name)):
                return _plain(url, name)
        key = (canonical, within)
        if key not in self._profiles:
            found = self.definition("profiles", canonical, within)
            if found is None:
                return None
            self._profiles[key] = self._compile(url, *found)
        return self._profiles[key]

    def definition(self, kind: str, canonical: str, within: str = "") -> tuple[str, Json] | None:
        """Return (package, row) of a definition of `kind` (`profiles`, `value_sets`, `code_systems`), or None."""
        key = (kind, canonical, within)
        if key not in self._found:
            found = self._look(kind, canonical, within)
            if found is None:
                return None  # not kept: canonicals come from callers, and there is no end of those that are not known
            self._found[key] = found
        return self._found[key]

    def _look(self, kind: str, canonical: str, within: str) -> tuple[str, Json] | None:
        url, _, version = canonical.partition("|")
        nearby = self._scope(within)
        for name in (*nearby, *self._newest):
            row = self._packages[name][kind].get(url)
            if row is not None and _is_version(row["version"], version):
                return name, row
        return None

    def _scope(self, within: str) -> tuple[str, ...]:
        """Return a package and those it was built on, breadth first; of one package the first version that is met."""
        if within not in self._packages:
            return ()
        if within not in self._scopes:
            order, met = [within], {self._packages[within]["package"]["name"]}
            for name in order:
                for other, version in self._packages[name]["package"]["dependencies"].items():
                    if other not in met and f"{other}-{version}" in self._packages:
                        met.add(other)
                        order.append(f"{other}-{version}")
            self._scopes[within] = tuple(order)
        return self._scopes[within]

    def _compile(self, url: str, package: str, row: Json) -> Profile:
        rows = self._rows(row, package, 0)
        return Profile(
            url=url,
            version=row["version"],
            type=row["type"],
            base=row["base"],
            package=package,
            root=tree(rows, row["type"]),
            context=tuple((kind, expression) for kind, expression in row.get("context", ())),
            modifies=row.get("modifier", False),
        )

    def _rows(self, row: Json, package: str, depth: int) -> dict[str, Json]:
        """Return the elements of a profile; a differential is laid over what its base says."""
        own: dict[str, Json] = row["elements"]
        if not row.get("differential") or depth > DERIVED_MAX:
            return own
        below = self.definition("profiles", row["base"], package)
        made = {} if below is None else dict(self._rows(below[1], below[0], depth + 1))
        for element_id, said in own.items():
            before = made.get(element_id, {})
            made[element_id] = {**before, **said}
            if "laws" in before and "laws" in said:
                made[element_id]["laws"] = before["laws"] + said["laws"]
        return made

    @functools.cached_property
    def base_keys(self) -> frozenset[str]:
        """The keys of R4's own invariants."""
        return frozenset(row[0] for rows in self._base["laws"].values() for row in rows)

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - one library a process
    def base_laws(self, path: str) -> tuple[Law, ...]:
        """Return R4's invariants of an element path (`Observation.component`, `Period`)."""
        return tuple(law(row) for row in self._base["laws"].get(path, ()))

    def base_binding(self, path: str) -> Binding | None:
        """Return R4's required or extensible binding of an element path, `value[x]` written so."""
        row = self._base["bindings"].get(path)
        return None if row is None else Binding(*row)

    def base_targets(self, path: str) -> tuple[str, ...]:
        """Return the resource types that R4 lets a Reference point at; empty when any will do."""
        return tuple(self._base["targets"].get(path, ()))


def _is_version(there: str, asked: str) -> bool:
    """Say whether a version is the one asked for: any, itself, or `1.2` for 1.2.3."""
    return not asked or there == asked or (asked.count(".") == 1 and there.startswith(f"{asked}."))


def _plain(url: str, name: str) -> Profile:
    return Profile(url, "4.0.1", name, "", "", Node(name))


def _is_type(name: str) -> bool:
    try:
        elements(name)
    except KeyError:
        return False
    return True


def _name(package: Json) -> str:
    return f"{package['package']['name']}-{package['package']['version']}"


def _order(manifest: Json) -> tuple[tuple[int, ...], str]:
    """Return a key by which a newer version sorts after an older one; a pre-release before its release."""
    release, _, pre = manifest["version"].partition("-")
    numbers = tuple(int(part) for part in re.findall(r"\d+", release))
    return numbers, pre or "~"


__all__ = ["Library", "unversioned"]
