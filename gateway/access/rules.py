"""The rules that decided a request, by name: for the audit, never told to the caller. Closed."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Final

from gateway.access.actor import Actor, Purpose
from gateway.access.policy import RECORD
from gateway.search.reach import Blocked, Empowered, Follows, Labelled, Owner, Reach, Related, Way
from gateway.search.standing import Power


class Rule(enum.StrEnum):
    """Why something was opened, and what was taken out of it. What each rests on stands in docs/explanation/access.md."""

    SYSTEM_SCOPE = "system-scope"  # the registration of a client
    SCOPE_CONSTRAINT = "scope-constraint"
    ADMINISTRATIVE = "administrative"  # a type about nobody's health
    OWN_RECORD = "own-record"
    CUSTODY = "custody"
    FULDMAGT = "fuldmagt"
    RELATION = "treatment-relation"
    RELATION_UNCLEAR = "relation-unclear"  # to be confirmed or asked about afterwards
    VAERDISPRING = "vaerdispring"  # to be reviewed
    AGREED = "patient-agreed"
    QUALITY = "quality"
    SPAERRING = "spaerring"  # blocks were looked for
    LABELS = "labels"  # confidential resources were left out
    NOTHING = "nothing-in-reach"
    # refusals
    NO_SCOPE = "no-scope"
    PURPOSE_NOT_ITS = "purpose-not-its"
    ASSURANCE_TOO_LOW = "assurance-too-low"
    NO_REASON = "no-reason"
    NOT_ITS_TO_WRITE = "not-its-to-write"
    BEYOND_REACH = "beyond-reach"  # what was to be written would not be within reach
    NOT_ITS_PAGE = "not-its-page"


FLAGGED: Final = frozenset({Rule.VAERDISPRING, Rule.RELATION_UNCLEAR})
"""Looks that somebody comes back to."""


def fired(actor: Actor, resource_type: str, reach: Reach | None) -> tuple[Rule, ...]:
    """Return the rules that made a reach of a type."""
    if reach is None:
        return (Rule.SYSTEM_SCOPE,)
    if not reach.ways:
        return (Rule.NOTHING,)
    return tuple(dict.fromkeys(rule for way in reach.ways for rule in _of(actor, resource_type, way)))


def _of(actor: Actor, resource_type: str, way: Way) -> Iterator[Rule]:
    if way.terms:
        yield Rule.SCOPE_CONSTRAINT
    for test in way.tests:
        if isinstance(test, Follows):
            yield from (rule for reach, types in test.reaches for rule in fired(actor, types[0], reach))
            return
    powers = {test.power for test in way.tests if isinstance(test, Empowered)}
    kinds = {type(one) for one in (*way.tests, *way.unless)}
    if resource_type not in RECORD:
        yield Rule.SYSTEM_SCOPE if actor.purpose is Purpose.SHARING else Rule.ADMINISTRATIVE
    elif actor.purpose is Purpose.SHARING:
        yield Rule.SYSTEM_SCOPE
    elif actor.purpose is Purpose.VAERDISPRING:
        yield Rule.VAERDISPRING
    elif Power.CUSTODY in powers:
        yield Rule.CUSTODY
    elif Power.FULDMAGT in powers:
        yield Rule.FULDMAGT
    elif Power.AGREED in powers:
        yield Rule.AGREED
    elif Related in kinds:
        yield Rule.QUALITY if actor.purpose is Purpose.QUALITY else Rule.RELATION
    elif actor.purpose is Purpose.TREATMENT:
        yield Rule.RELATION_UNCLEAR
    elif Owner in kinds:
        yield Rule.OWN_RECORD
    else:
        yield Rule.ADMINISTRATIVE
    if Blocked in kinds:
        yield Rule.SPAERRING
    if Labelled in kinds:
        yield Rule.LABELS
