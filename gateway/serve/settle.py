"""What the steps of a request are about, once the store has answered: which ids, at which versions. Pure.

FHIR R4 http: conditional create, update, patch and delete; the same resource twice in one transaction is an error, also
when two conditions find it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway import errors
from gateway.search.query import Query
from gateway.serve.conditional import SeveralMatch
from gateway.serve.step import Method, Step
from gateway.store.port import Version


@dataclass(frozen=True, slots=True)
class Found:
    """What the store answered: to questions, and the present versions (deleted ones included) by (type, id)."""

    answers: Mapping[Query, Sequence[Version]] = field(default_factory=dict)
    present: Mapping[tuple[str, str], Version | None] = field(default_factory=dict)
    hiding: frozenset[str] = frozenset()
    """The types of which something may be hidden from who asks. Then an id that is not in `present` may be taken: it is neither
    created under nor said to be there, and no answer tells which.
    """


@dataclass(frozen=True, slots=True)
class Target:
    """What a step is about. `held` is what its condition must still find when it is written, None without one."""

    step: Step
    id: str
    expect: int | None = None
    present: Version | None = None
    writes: bool = True
    held: tuple[str, ...] | None = None


def settle(steps: Sequence[Step], found: Found) -> list[Target]:
    """Return a target for each step.

    Raises PreconditionFailed (412), NotFound, Gone, Conflict, and Incorrect for a resource that is there twice.
    """
    targets = [_target(step, found) for step in steps]
    seen: dict[tuple[str, str], Step] = {}
    asked: set[tuple[str, Query]] = set()
    for target in targets:
        step, key = target.step, (target.step.type, target.id)
        if not target.writes and step.method is not Method.POST:
            continue
        if key in seen and (target.writes or seen[key].method is not Method.POST):
            raise errors.Incorrect("the same resource stands twice in one transaction", at=step.at)
        seen.setdefault(key, step)
        if step.question is not None and step.method in {Method.POST, Method.PUT}:
            if (step.type, step.question) in asked:
                raise errors.Incorrect("two entries of one transaction have the same condition", at=step.at)
            asked.add((step.type, step.question))
    return targets


def _target(step: Step, found: Found) -> Target:
    if step.question is not None:
        return _conditional(step, found, step.question)
    if step.method is Method.POST:
        assert step.resource is not None
        return Target(step, step.resource["id"], expect=0)
    present = found.present.get((step.type, step.id))
    looked = (step.type, step.id) in found.present
    if step.type in found.hiding:
        return _seen(step, present)
    if step.fresh:
        if present is not None and not present.deleted:
            raise errors.PreconditionFailed("there is such a resource already", at=step.at)
        return Target(step, step.id, expect=present.version if present else 0)
    if step.method is Method.PATCH:
        if present is None:
            raise errors.NotFound("there is no such resource", at=step.at)
        if present.deleted:
            raise errors.Gone("this resource was deleted", at=step.at)
    if step.tags is not None and looked:
        _tagged(step, present)
    if step.method is Method.PATCH or (step.tags is not None and looked):
        return Target(step, step.id, expect=present.version if present else 0, present=present)
    return Target(step, step.id, expect=next(iter(step.tags.versions)) if step.tags else None)


def _seen(step: Step, present: Version | None) -> Target:
    """Return the target of a step by who does not see everything: what he sees, at the version that he sees."""
    if step.tags is not None:
        _tagged(step, present)
    if present is not None:
        if step.fresh:
            raise errors.PreconditionFailed("there is such a resource already", at=step.at)
        return Target(step, step.id, expect=present.version, present=present)
    if step.method is Method.DELETE:
        return Target(step, step.id, writes=False)
    raise errors.NotFound("there is no such resource", at=step.at)


def _conditional(step: Step, found: Found, question: Query) -> Target:
    versions = found.answers[question]
    if len(versions) > 1:
        raise SeveralMatch("the condition finds several resources", at=step.at)
    only = versions[0] if versions else None
    held = tuple(version.id for version in versions)
    if step.tags is not None:
        _tagged(step, only)
    match step.method:
        case Method.POST:
            assert step.resource is not None
            if only is not None:
                return Target(step, only.id, present=only, writes=False, held=held)
            return Target(step, step.resource["id"], expect=0, held=held)
        case Method.PUT:
            if step.type in found.hiding and only is None and step.own_id:
                raise errors.NotFound(
                    "the condition finds nothing, and the id is not the caller's to choose", at=step.at
                )
            return _conditional_update(step, only, found.present.get((step.type, step.own_id)))
        case Method.PATCH:
            if only is None:
                raise errors.NotFound("the condition finds nothing", at=step.at)
            return Target(step, only.id, expect=only.version, present=only, held=held)
        case Method.DELETE:
            if only is None:
                return Target(step, "", writes=False)
            return Target(step, only.id, expect=only.version, held=held)
    raise AssertionError(question)


def _conditional_update(step: Step, only: Version | None, same_id: Version | None) -> Target:
    assert step.resource is not None
    if only is None:
        if same_id is not None and not same_id.deleted:
            raise errors.Conflict(
                "the condition finds nothing, and another resource has the id of the body", at=step.at
            )
        return Target(step, step.resource["id"], expect=same_id.version if same_id else 0, held=())
    if step.fresh:
        raise errors.PreconditionFailed("there is such a resource already", at=step.at)
    if step.own_id and step.own_id != only.id:
        at = f"{step.at or step.type}.id"
        raise errors.Incorrect("the resource that the condition finds has another id than the body", at=at)
    return Target(step, only.id, expect=only.version, present=only, held=(only.id,))


def _tagged(step: Step, present: Version | None) -> None:
    assert step.tags is not None
    if not step.tags.holds(present):
        raise errors.PreconditionFailed("it is another version than If-Match names, or there is none", at=step.at)
