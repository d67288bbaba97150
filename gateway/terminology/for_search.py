"""What search asks of terminology: `:in`, `:not-in`, `:above`, `:below` of a token (R4 search, modifiers)."""

from __future__ import annotations

from gateway.terminology.compose import Contents
from gateway.terminology.failures import NoContent
from gateway.terminology.library import Library, split


class Codes:
    """Answers over one library; what has to come from the store has been fetched into it beforehand."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def expand(self, value_set: str) -> list[tuple[str, str]]:
        """Return the (system, code) of a value set, named by its address (`url|version`). Raises NoContent, TooCostly."""
        found = self._library.value_set(*split(value_set))
        if found is None:
            raise NoContent("there is no such value set here")
        contents = Contents(self._library)
        codes = list(contents.members(found))
        if contents.unclosed:
            raise NoContent("the value set needs a code system of which only a part is here")
        return codes

    def below(self, system: str, code: str) -> list[tuple[str, str]]:
        """Return a code and all that it subsumes. Raises NoContent."""
        return self._walk(system, code, down=True)

    def above(self, system: str, code: str) -> list[tuple[str, str]]:
        """Return a code and all that subsume it. Raises NoContent."""
        return self._walk(system, code, down=False)

    def _walk(self, system: str, code: str, *, down: bool) -> list[tuple[str, str]]:
        found = self._library.code_system(system)
        if found is None or not found.whole:
            raise NoContent("the hierarchy of this code system is not here")
        concepts = found.below(code) if down else found.above(code)
        if not concepts:
            raise NoContent("the code system has no such code")
        return [(system, concept.code) for concept in concepts]
