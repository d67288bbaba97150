"""What search asks of terminology: `:in`, `:not-in`, `:above`, `:below` of a token (`gateway.search.Terminology`).

All codes or none: half a value set would make `:not-in` find too much and `:in` too little without a word.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import Incorrect
from gateway.model import Resource
from gateway.terminology.compose import Contents
from gateway.terminology.failures import NoContent, TooCostly, Unsupported
from gateway.terminology.library import Library, split


class Codes:
    """Answers over one library; what has to come from the store has been fetched into it beforehand.

    `local` are value sets by their address in this server (`ValueSet/x`), which a search may name as well.
    """

    def __init__(self, library: Library, local: Mapping[str, Resource] | None = None) -> None:
        self._library = library
        self._local = local or {}

    def expand(self, value_set: str) -> list[tuple[str, str]]:
        """Return (system, code) of all in a value set, by its address (`url|version`). Raises Incorrect: not known."""
        found = self._local.get(value_set) or self._library.value_set(*split(value_set))
        if found is None:
            raise Incorrect("there is no such value set here")
        contents = Contents(self._library)
        try:
            codes = list(contents.members(found))
        except (NoContent, TooCostly, Unsupported) as error:
            raise Incorrect(error.text) from error
        if contents.unclosed:
            raise Incorrect("the value set needs a code system of which only a part is here")
        return codes

    def below(self, system: str, code: str) -> list[tuple[str, str]]:
        """Return a code and all that it subsumes. Raises Incorrect."""
        return self._walk(system, code, down=True)

    def above(self, system: str, code: str) -> list[tuple[str, str]]:
        """Return a code and all that subsume it. Raises Incorrect."""
        return self._walk(system, code, down=False)

    def _walk(self, system: str, code: str, *, down: bool) -> list[tuple[str, str]]:
        found = self._library.code_system(system)
        if found is None or not found.whole:
            raise Incorrect("the hierarchy of this code system is not here")
        concepts = found.below(code) if down else found.above(code)
        if not concepts:
            raise Incorrect("the code system has no such code")
        return [(system, concept.code) for concept in concepts]
