"""Does the changes that callers ask for: decide, judge, find, write. One step or all those of a transaction, all or none.

The store may move between what is looked up here and what is written: the write then says so, and everything is looked
up again, a few times. What the caller named itself (If-Match, If-None-Match, If-None-Exist) is not looked up again but
refused with 412.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway import access, errors
from gateway.access import Actor, NotPermitted, Permitted, Read, Search, Writing
from gateway.clock import Clock
from gateway.fhir import body as bodies
from gateway.fhir.subset import SUBSETTED
from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.model import Resource
from gateway.search.index import extract
from gateway.search.query import Query
from gateway.serve import links as linking
from gateway.serve.answer import Fault, Invalid
from gateway.serve.conditional import SeveralMatch
from gateway.serve.lanes import Lanes
from gateway.serve.links import Links
from gateway.serve.permitted import PermittedStore
from gateway.serve.settle import Found, Target, settle
from gateway.serve.step import Done, Method, Step, What, new_id
from gateway.store.port import Edit, Edited, Moved, Version

_ATTEMPTS_MAX: Final = 5
_BREATHE: Final = 50
"""Resources after which others on this event loop have their turn."""
_SUBSETTED: Final = (SUBSETTED["system"], SUBSETTED["code"])
_PART: Final = "this is marked as a part of a resource (_summary, _elements): the rest would be lost by writing it"
"""R4 search, _elements: what is SUBSETTED is not suitable as a base to update the resource."""
_INTENTS: Final[Mapping[Method, type[Writing]]] = {
    Method.POST: access.Create,
    Method.PUT: access.Update,
    Method.PATCH: access.Patch,
    Method.DELETE: access.Delete,
}


@dataclass(slots=True)
class _Work:
    """What is known of a request before the store is asked."""

    actor: Actor
    steps: Sequence[Step]
    addresses: Mapping[str, Step]
    links: Links
    hiding: frozenset[str]
    """The types of which something may be hidden from the actor: steps of these rest on what he sees."""
    conditions: dict[Query, Permitted[Search]] = field(default_factory=dict)


class Performer:
    """Does steps. `base` is the address of the API, without a slash at its end."""

    def __init__(self, store: PermittedStore, lanes: Lanes, clock: Clock, base: str) -> None:
        self._store = store
        self._lanes = lanes
        self._clock = clock
        self._base = base

    async def __call__(self, actor: Actor, steps: Sequence[Step], *, linked: bool = False) -> list[Done]:
        """Do steps, all or none, and answer in their order. `linked`: they refer to one another, as in a transaction.

        Raises NotPermitted, Invalid and whatever else is refused, with where in the request as `at`.
        """
        decided = [access.decide(actor, _INTENTS[step.method](step.type, step.id)) for step in steps]
        conditions = {step.question: access.decide(actor, Search(step.question)) for step in steps if step.question}
        await self._judge(steps)
        addresses = linking.addresses(steps) if linked else {}
        links = linking.find(steps, addresses, linked=linked, now=self._clock.now(), base=self._base)
        for question in links.questions:
            conditions[question] = access.decide(actor, Search(question))
        work = _Work(
            actor, steps, addresses, links, frozenset(one.intent.type for one in decided if one.hides), conditions
        )
        for attempt in range(_ATTEMPTS_MAX):
            try:
                return await self._attempt(work, again=attempt > 0)
            except Moved as moved:
                for step in steps:
                    if step.tags is not None and moved.at == f"{step.type}/{step.id}":
                        raise errors.PreconditionFailed(
                            "it is another version than If-Match names", at=step.at
                        ) from None
                await asyncio.sleep(0.002 * 2**attempt)
        raise errors.Conflict("others change the same resources at this moment; try again")

    async def _judge(self, steps: Sequence[Step]) -> None:
        """Look at every resource that was sent. Raises Invalid with all that is wrong."""
        found: list[Fault] = []
        for number, step in enumerate(steps, 1):
            if step.resource is not None:
                if step.method is Method.POST or (step.question is not None and "id" not in step.resource):
                    step.resource["id"] = new_id(self._clock)
                found += judged(step.resource, step.at)
            if number % _BREATHE == 0:
                await asyncio.sleep(0)
        if found:
            raise Invalid(found)

    async def _attempt(self, work: _Work, *, again: bool) -> list[Done]:
        found = await self._look(work, again=again)
        targets = settle(work.steps, found)
        whole = {id(target.step): f"{target.step.type}/{target.id}" for target in targets}
        # what an entry creates under the very condition that a reference asks is what the reference means
        own = {t.step.question: whole[id(t.step)] for t in targets if t.step.method in {Method.POST, Method.PUT}}
        answers = {
            question: own.get(question) or _only(found.answers[question], work.links, question)
            for question in work.links.questions
        }
        work.links.set({address: whole[id(step)] for address, step in work.addresses.items()}, answers)
        writing = [target for target in targets if target.writes]
        edits = await self._edits(work, writing)
        if not edits:
            return [await self._done(work, target, None) for target in targets]
        # a condition whose step writes nothing must hold only as long as something else rests on it
        held = [(work.conditions[t.step.question], t.held) for t in targets if t.held is not None and t.step.question]
        edited = iter(await self._store.write(edits, held))
        for target in writing:
            if target.step.type == "Patient":
                self._lanes.forget(target.id)
        return [await self._done(work, target, next(edited) if target.writes else None) for target in targets]

    async def _look(self, work: _Work, *, again: bool) -> Found:
        """Ask the store for what conditions find, and for the present versions that steps rest on."""
        questions = list(work.conditions)
        asked = [self._store.search(work.conditions[question]) for question in questions]
        pages = await asyncio.gather(*asked) if asked else []
        wanted = [
            (step, name)
            for step in work.steps
            if (name := step.id or step.own_id)
            and _rests_on_present(step, again=again, hiding=step.type in work.hiding)
        ]
        permitted = [access.decide(work.actor, _INTENTS[step.method](step.type, name)) for step, name in wanted]
        present = await self._store.present(permitted) if permitted else []
        return Found(
            {question: page.versions for question, page in zip(questions, pages, strict=True)},
            {(step.type, name): version for (step, name), version in zip(wanted, present, strict=True)},
            work.hiding,
        )

    async def _edits(self, work: _Work, targets: Sequence[Target]) -> list[tuple[Permitted[Writing], Edit]]:
        contents = [self._content(target, hiding=target.step.type in work.hiding) for target in targets]
        resources = [content for content in contents if content is not None]
        new = {target.id for target in targets if target.step.method is Method.POST}
        lanes = iter(await self._lanes.of(resources, new=new))
        edits: list[tuple[Permitted[Writing], Edit]] = []
        for number, (target, content) in enumerate(zip(targets, contents, strict=True), 1):
            step = target.step
            permitted = access.decide(work.actor, _INTENTS[step.method](step.type, target.id))
            body = b"" if content is None else bodies.prepare(content)
            edit = Edit(step.type, target.id, body, expect=target.expect, posted=step.method is Method.POST)
            if content is not None:
                edit.digest, edit.lane, edit.index = bodies.content_digest(body), next(lanes), extract(content)
            edits.append((permitted, edit))
            if number % _BREATHE == 0:
                await asyncio.sleep(0)
        return edits

    def _content(self, target: Target, *, hiding: bool) -> Resource | None:
        """Return what the resource is to be: as sent, or as the patch makes it. None: it is deleted."""
        step = target.step
        content = step.resource
        if step.patch is not None and target.present is not None:
            content = patched(step, target.present)
            linking.relative(content, self._base)
        elif content is not None:
            content["id"] = target.id
        if hiding and content is not None:
            keep_labels(content, target.present)
        return content

    async def _done(self, work: _Work, target: Target, edited: Edited | None) -> Done:
        step = target.step
        version = edited.version if edited else target.present
        if step.method is Method.DELETE:
            return Done(What.DELETED, step.type, target.id, version)
        what = What.CREATED if edited and edited.created and edited.new else What.WRITTEN if edited else What.FOUND
        # who wrote it sent it whole, or may read it (a patch); what was only found, a reader alone may see
        shown = edited is not None or await self._may_read(work, step.type, target.id)
        return Done(what, step.type, target.id, version, shown)

    async def _may_read(self, work: _Work, resource_type: str, resource_id: str) -> bool:
        try:
            permitted = access.decide(work.actor, Read(resource_type, resource_id))
        except NotPermitted:
            return False
        return not permitted.hides or await self._store.read(permitted) is not None


def judged(resource: Resource, at: str) -> list[Fault]:
    """Return what is not valid R4, with paths from the top of the request; a part of a resource is refused as well."""
    issues = validate(resource)
    if not issues and _SUBSETTED in [
        (tag.get("system"), tag.get("code")) for tag in resource.get("meta", {}).get("tag", ())
    ]:
        return [Fault("business-rule", _PART, f"{at or resource['resourceType']}.meta.tag")]
    if not at:
        return [Fault(issue.code, issue.text, issue.path) for issue in issues]
    return [Fault(issue.code, issue.text, at + issue.path[len(issue.path.partition(".")[0]) :]) for issue in issues]


def keep_labels(content: Resource, present: Version | None) -> None:
    """Put the security labels that stand into a content: they are not for those to set from whom they may hide something."""
    labels = json.loads(present.body).get("meta", {}).get("security") if present is not None else None
    meta = {name: value for name, value in content.get("meta", {}).items() if name != "security"}
    if labels:
        meta["security"] = labels
    if meta:
        content["meta"] = meta
    else:
        content.pop("meta", None)


def patched(step: Step, present: Version) -> Resource:
    """Return the content after a step's patch. Raises Unprocessable or Invalid."""
    assert step.patch is not None
    resource: Resource = json.loads(present.body)
    try:
        made: Resource = json.loads(json.dumps(step.patch.apply(resource)))
    except (errors.Incorrect, TypeError):
        raise errors.Unprocessable("what the patch makes is nested too deep", at=step.at) from None
    if made.get("resourceType") != present.type or made.get("id") != present.id:
        raise errors.Unprocessable("a patch changes neither the type nor the id of a resource", at=step.at)
    if found := judged(made, step.at):
        raise Invalid(found)
    return made


def _rests_on_present(step: Step, *, again: bool, hiding: bool) -> bool:
    if step.question is not None:
        return again and bool(step.own_id)
    if hiding or step.method is Method.PATCH or (step.fresh and again):
        return True
    return step.tags is not None and (step.tags.any or len(step.tags.versions) > 1)


def _only(versions: Sequence[Version], links: Links, question: Query) -> str:
    if len(versions) == 1:
        return f"{versions[0].type}/{versions[0].id}"
    at = next(slot.at for slot in links.slots if slot.question == question)
    if versions:
        raise SeveralMatch("a conditional reference finds several resources", at=at)
    raise errors.PreconditionFailed("a conditional reference finds nothing", at=at)
