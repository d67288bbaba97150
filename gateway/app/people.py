"""Whom a user may open, for the authorization server (`identity.oauth.people`): by the facts and rules that a request meets.

Nothing is decided here: whom a citizen may act for, the store's facts of access say; whom a professional finds is what a
search by himself would show him. Either is context for a token. What the token shows is decided again at every request.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from typing import Final

from gateway import access
from gateway.access import Actor, Kind, NotPermitted, Permitted, Policy, Purpose, Read, Search, sight
from gateway.access import scopes as access_scopes
from gateway.audit.ledger import Ledger
from gateway.audit.record import who
from gateway.audit.vocabulary import Event
from gateway.clock import Clock
from gateway.errors import Refused
from gateway.fhir import persons
from gateway.fhir.ids import Ids
from gateway.formats import json
from gateway.identity.oauth.pages import Choice
from gateway.identity.persons import PersonIndex
from gateway.identity.session import LogIn
from gateway.search import parse
from gateway.search.query import own
from gateway.search.standing import Category
from gateway.serve.permitted import PermittedStore
from gateway.settings import Settings
from gateway.store.port import Store, Version

FOUND_MAX: Final = 10
WORDS_MAX: Final = 6
CLIENT: Final = "sundbro"
"""What the pages of the authorization server are called in the audit: no app asks yet."""
_BIRTHDAY: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_UNNAMED: Final = "(fuldmagt)"
"""Whose name a holder may not see: his fuldmagt is of other types than Patient."""
_CATEGORIES: Final = {"A+": Category.A_PLUS, "A": Category.A, "B+": Category.B_PLUS, "B": Category.B, "C": Category.C}


def policy_of(settings: Settings) -> Policy:
    """Return what the region has set."""
    return Policy(
        least=_CATEGORIES[settings.relation_least],
        begins_before=dt.timedelta(days=settings.relation_days_before),
        lasts_after=dt.timedelta(days=settings.relation_days_after),
        quality_after=dt.timedelta(days=settings.relation_quality_days),
        unclear_opens=settings.relation_unclear,
    )


class StoredPeople:
    """Answers from the store; whom it shows to whom is on record first."""

    def __init__(self, store: Store, audit: Ledger, ids: Ids, clock: Clock, policy: Policy) -> None:
        self._store = store
        self._permitted = PermittedStore(store, clock, policy)
        self._clock = clock
        self._ids = ids
        self._audit = audit
        self._index = PersonIndex(store)

    async def may_act(self, person: str, other: str) -> bool:
        """Say whether a citizen may act for another today. Raises Unavailable."""
        return other in await self._represented((await self._index.person_of(person)).all)

    async def represented(self, person: str) -> Sequence[Choice]:
        """Return whom a citizen may act for, by name where he may see it. Raises Unavailable."""
        found: list[Choice] = []
        mine = (await self._index.person_of(person)).all
        others = await self._represented(mine)
        for other in others:
            if await self._index.current(other) in {*others} - {other}:
                continue  # of several records of one person, the current one
            actor = _citizen(person, tuple(sorted(mine - {person})), other)
            version = await self._permitted.read(access.decide(actor, Read("Patient", other.partition("/")[2])))
            if version is not None:
                await self._shown(actor, (version,))
            found.append(Choice(other, _name(version) if version is not None else _UNNAMED))
        return found

    async def _represented(self, mine: frozenset[str]) -> list[str]:
        now = self._clock.now()
        others = await self._store.represented([own(one) for one in mine], now, sight.grown(now))
        return [f"Patient/{name}" for name in others if f"Patient/{name}" not in mine]

    async def find(self, login: LogIn, words: str) -> Sequence[Choice]:
        """Return the patients in a professional's sight that a person number, or names and a birthday, tell of. A birthday
        is written 1958-03-12; less than two words find nobody. Raises Unavailable.
        """
        if login.kind is not Kind.STAFF:
            return ()
        actor = _professional(login)
        try:
            versions = await self._found(actor, words.split()[:WORDS_MAX])
        except (NotPermitted, Refused):
            return ()
        if versions:
            await self._shown(actor, versions)
        return [Choice(f"Patient/{one.id}", f"{_name(one)} ({_born(one)})") for one in versions]

    async def _found(self, actor: Actor, words: Sequence[str]) -> Sequence[Version]:
        if id_ := self._numbered("".join(words)):
            version = await self._permitted.read(access.decide(actor, Read("Patient", id_)))
            return (version,) if version is not None else ()
        if len(words) < 2:  # noqa: PLR2004  a name alone, or a day, is a list of people and no patient
            return ()
        pairs = [("birthdate" if _BIRTHDAY.fullmatch(word) else "name", _escaped(word)) for word in words]
        query = parse.parse("Patient", [*pairs, ("_count", str(FOUND_MAX))])
        permitted: Permitted[Search] = access.decide(actor, Search(query))
        return (await self._permitted.search(permitted)).versions

    def _numbered(self, text: str) -> str:
        """Return the id of the Patient of a person number, '' for what is none."""
        for system in (persons.CPR, persons.X_ECPR):
            if key := persons.danish(system, text):
                return self._ids.patient(key)
        return ""

    async def _shown(self, actor: Actor, versions: Iterable[Version]) -> None:
        """Put on record who is shown to whom, before it is."""
        shown = [(f"{one.type}/{one.id}/{one.version}", one.patient) for one in versions]
        given = {
            "event": Event.SEARCH,
            "type": "Patient",
            "status": 200,
            "count": len(shown),
            "resources": [name for name, _ in shown],
            "patients": tuple(patient for _, patient in shown if patient is not None),
        }
        await self._audit.write(given, who(actor))


def _citizen(person: str, records: tuple[str, ...], other: str) -> Actor:
    scopes = access_scopes.parse(["patient/Patient.rs"])
    return Actor(
        CLIENT,
        scopes,
        Kind.CITIZEN,
        Purpose.OWN,
        person=person,
        records=records,
        on_behalf_of=other,
        patient=other,
        assurance=access.Assurance.SUBSTANTIAL,
    )


def _professional(login: LogIn) -> Actor:
    return Actor(
        CLIENT,
        access_scopes.parse(["user/Patient.rs"]),
        Kind.STAFF,
        Purpose.TREATMENT,
        login.subject,
        organisation=login.organisation,
        role=login.role,
        authorisation=login.authorisation,
        assurance=login.assurance,
    )


def _escaped(word: str) -> str:
    return re.sub(r"([\\,|$])", r"\\\1", word)


def _name(version: Version) -> str:
    names = json.look(version.body).get("name", ())
    first = next((one for one in names if one.get("use") == "official"), names[0] if names else {})
    return first.get("text") or " ".join([*first.get("given", ()), first.get("family", "")]).strip() or "–"


def _born(version: Version) -> str:
    return str(json.look(version.body).get("birthDate", "–"))
