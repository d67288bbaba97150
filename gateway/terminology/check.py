"""$validate-code: is this code in a value set or a code system, and is it called what the caller calls it.

The answer says no with a reason, and raises only where it cannot be known (`NoContent`): an unknown is not a no.
Texts repeat the names of code systems and displays, which are published, never the code that was sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.model import Resource
from gateway.terminology.compose import Contents, Member, Versions
from gateway.terminology.failures import NoContent
from gateway.terminology.library import Library

NOT_IN: str = "the code is not in the value set"


@dataclass(frozen=True, slots=True)
class Asked:
    """One coding to look at. `system` None: any system that the value set uses."""

    code: str
    system: str | None = None
    version: str = ""
    display: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a code; `display` is what it is called here, '' when it is not known."""

    result: bool
    message: str = ""
    display: str = ""
    system: str = ""
    code: str = ""


def in_value_set(
    value_set: Resource, asked: Asked, library: Library, *, language: str = "", abstract: bool = False
) -> Verdict:
    """Say whether a code is in a value set; `abstract` says that a code not to be chosen will do. Raises NoContent."""
    versions = Versions(default={asked.system: asked.version}) if asked.system and asked.version else Versions()
    member = Contents(library, versions).holds(value_set, asked.system, asked.code)
    if member is None:
        return Verdict(False, NOT_IN)
    if asked.version and member.version and asked.version != member.version:
        return Verdict(
            False, f"the value set has this code of version {member.version}, not of the version that was asked"
        )
    return _judged(member, asked, language, abstract=abstract)


def in_code_system(asked: Asked, library: Library, *, language: str = "", abstract: bool = True) -> Verdict:
    """Say whether a code system has a code. Raises NoContent when the system is not here, or only a part that lacks it."""
    system = library.code_system(asked.system or "", asked.version)
    if system is None:
        raise NoContent("the code system is not here, or not in that version", at="system")
    concept = system.find(asked.code)
    if concept is None:
        if not system.whole:
            raise NoContent("only a part of the code system is here, and the code is not in it", at="code")
        return Verdict(False, f"{system.name} has no such code")
    member = Member(system.url, system.version, concept.code, concept.display, concept)
    return _judged(member, asked, language, abstract=abstract)


def several(
    codings: Sequence[Asked], judge: Resource | None, library: Library, *, language: str = "", abstract: bool = False
) -> Verdict:
    """Say whether any coding of a CodeableConcept is right: in the value set `judge`, or in its code system.

    What cannot be known of one coding does not matter where another is right.
    """
    said: list[Verdict] = []
    unknown: NoContent | None = None
    for one in codings:
        try:
            verdict = (
                in_code_system(one, library, language=language)
                if judge is None
                else in_value_set(judge, one, library, language=language, abstract=abstract)
            )
        except NoContent as error:
            unknown = unknown or error
            continue
        if verdict.result:
            return verdict
        said.append(verdict)
    if unknown is not None:
        raise unknown
    return next(
        (one for one in said if one.message != NOT_IN), said[0] if said else Verdict(False, "there is no coding")
    )


def _judged(member: Member, asked: Asked, language: str, *, abstract: bool) -> Verdict:
    display = member.called(language)
    place = {"display": display, "system": member.system, "code": member.code}
    if member.abstract and not abstract:
        return Verdict(False, "the code is abstract: it groups others and is not to be chosen", **place)
    if asked.display and not _is_called(member, asked.display):
        return Verdict(False, f"the code is not called that; it is called {display!r}" if display else "", **place)
    message = "the code is not in use any more" if member.inactive else ""
    return Verdict(True, message, **place)


def _is_called(member: Member, display: str) -> bool:
    """Say whether a display is one of the names, without regard to case and runs of blanks. Without names, anything is."""
    names = [member.display, *(one.value for one in member.designations)]
    if member.concept is not None:
        names += member.concept.names()
    known = {" ".join(name.casefold().split()) for name in names if name}
    return not known or " ".join(display.casefold().split()) in known
