"""What an app is given once its user has agreed: whose record it is about, which actor its tokens speak for, and a code.

Whom a citizen may act for is asked of `people`, what is open in a health record of `launching`; both are context. What an
actor may see is decided at every request, by `access.decide`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from authlib.oauth2.rfc6749.errors import AccessDeniedError

from gateway.access import Actor, Kind, Purpose
from gateway.access import scopes as access_scopes
from gateway.access.scopes import Scopes
from gateway.clock import Clock
from gateway.identity.oauth.asked import Asked
from gateway.identity.oauth.authorization import Authorization
from gateway.identity.oauth.client import Client
from gateway.identity.oauth.issuing import CODE_LIFETIME, digest
from gateway.identity.oauth.launching import Launch, Launching
from gateway.identity.oauth.pages import Choice
from gateway.identity.oauth.people import People
from gateway.identity.oauth.protocol import Form, Protocol
from gateway.identity.on_record import Act, Happened, Record
from gateway.identity.session import LogIn, Session
from gateway.store.grants import Grants

_PATIENT: Final = re.compile(r"Patient/[A-Za-z0-9\-.]{1,64}")
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_LASTING: Final = ("offline_access", "online_access")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the user's page said."""

    patient: str = ""
    reason: str = ""
    found: Sequence[Choice] = ()
    searched: bool = False


class Granting:
    """Turns what a user agreed to into a code."""

    def __init__(
        self, *, protocol: Protocol, grants: Grants, people: People, launching: Launching, clock: Clock, record: Record
    ) -> None:
        self._record = record
        self._protocol = protocol
        self._grants = grants
        self._people = people
        self._launching = launching
        self._clock = clock

    async def fitting(self, asked: Asked, client: Client, login: LogIn) -> None:
        """Raise OAuth2Error for a user whom the request is not for."""
        try:
            Authorization.unpacked(Authorization(_actor(asked, client, login, Scopes(text="openid"))).packed())
        except ValueError:
            raise AccessDeniedError("the purpose is none of this kind of user") from None
        launch = await self._launch(asked, client, use=False)
        if launch and launch.user and launch.user != login.subject:
            raise AccessDeniedError("the launch is for another user")

    async def silent(self, asked: Asked, client: Client, login: LogIn) -> bool:
        """Say whether there is nothing to ask: agreed for staff, and clear whom it is about."""
        if client.asks or login.kind is Kind.CITIZEN or "consent" in asked.prompts or must_say_why(asked, login):
            return False
        return not await self.finds(asked, client, login)

    async def finds(self, asked: Asked, client: Client, login: LogIn) -> bool:
        """Say whether a professional must look a patient up."""
        if login.kind is Kind.CITIZEN or not _about_one(self.scopes(asked, client)):
            return False
        launch = await self._launch(asked, client, use=False)
        return launch is None or not launch.patient

    async def _launch(self, asked: Asked, client: Client, *, use: bool) -> Launch | None:
        handle = asked.form.get("launch", "")
        return await self._launching.of(handle, client, use=use) if handle else None

    def scopes(self, asked: Asked, client: Client) -> Scopes:
        """Return the scopes that are put to the user."""
        return access_scopes.parse((client.get_allowed_scope(asked.form.get("scope")) or "").split())

    async def choices(self, asked: Asked, client: Client, login: LogIn) -> Sequence[Choice]:
        """Return whom a citizen may choose, nobody where there is nothing to choose."""
        if login.kind is not Kind.CITIZEN or not _about_one(self.scopes(asked, client)):
            return ()
        others = await self._people.represented(login.person)
        return (Choice(login.person, login.name), *others) if others else ()

    async def found(self, login: LogIn, words: str) -> Sequence[Choice]:
        """Return the patients that a professional finds."""
        return tuple(await self._people.find(login, words))

    async def granted(self, handle: str, asked: Asked, client: Client, session: Session, answer: Answer) -> str:
        """Use the request up; return where to send the user with a code. Raises OAuth2Error."""
        login, now = session.login, self._clock.now()
        patient = await self._patient(asked, client, login, answer)
        if await self._grants.take("request", digest(handle), now) is None:
            raise AccessDeniedError("the request was answered before")
        launch = await self._launch(asked, client, use=True)
        scopes = self.scopes(asked, client)
        if asked.purpose(login.kind) is Purpose.VAERDISPRING:  # a short look, not a lasting one
            scopes = access_scopes.parse(word for word in scopes.text.split() if word not in _LASTING)
        offline = "offline_access" in scopes.others
        actor = _actor(
            asked,
            client,
            login,
            scopes,
            patient=patient,
            reason=answer.reason,
            session="" if offline else session.id,
        )
        held = Authorization(
            actor,
            redirect_uri=asked.redirect_uri,
            challenge=asked.form["code_challenge"],
            nonce=asked.form.get("nonce", ""),
            auth_time=int(login.at.timestamp()),
            encounter=launch.encounter if launch else "",
            intent=launch.intent if launch else "",
            banner=launch.banner if launch else True,
            context=launch.context if launch else (),
            key=asked.form.get("dpop_jkt", ""),
            fhir_user=_fhir_user(login),
            ends_with_session=not offline,
        )
        form = Form({**asked.form, "scope": scopes.text}, client, held)
        location = self._protocol.granted(form)
        await self._record(Happened(Act.AUTHORIZE, "", actor))
        await self._grants.put("code", digest(form.code), held.packed(), now + CODE_LIFETIME, now)
        return location

    async def _patient(self, asked: Asked, client: Client, login: LogIn, answer: Answer) -> str:
        """Return whom the authorization is about, '' when about nobody in particular. Raises OAuth2Error."""
        if not _about_one(self.scopes(asked, client)):
            launch = await self._launch(asked, client, use=False)
            return launch.patient if launch and login.kind is not Kind.CITIZEN else ""
        launch = await self._launch(asked, client, use=False)
        patient = (launch.patient if launch else "") or answer.patient
        if login.kind is Kind.CITIZEN:
            patient = patient or login.person
            if patient != login.person and not await self._people.may_act(login.person, patient):
                raise AccessDeniedError("the user may not act for this person")
        if not _PATIENT.fullmatch(patient):
            raise AccessDeniedError("no patient was chosen")
        return patient


def must_say_why(asked: Asked, login: LogIn) -> bool:
    """Say whether the user must give a reason."""
    return asked.purpose(login.kind) is Purpose.VAERDISPRING


def _about_one(scopes: Scopes) -> bool:
    """Say whether scopes are about one patient."""
    return "launch/patient" in scopes.others or any(grant.context == "patient" for grant in scopes.grants)


def _actor(
    asked: Asked,
    client: Client,
    login: LogIn,
    scopes: Scopes,
    *,
    patient: str = "",
    reason: str = "",
    session: str = "",
) -> Actor:
    other = patient if login.kind is Kind.CITIZEN and patient != login.person else ""
    return Actor(
        client=client.id,
        scopes=scopes,
        kind=login.kind,
        purpose=asked.purpose(login.kind),
        subject=login.subject,
        person=login.person,
        on_behalf_of=other,
        organisation=login.organisation,
        role=login.role,
        authorisation=login.authorisation,
        assurance=login.assurance,
        patient=patient,
        reason=reason,
        session=session,
    )


def _fhir_user(login: LogIn) -> str:
    """Return the user as a reference, '' for who is no citizen and has no id that FHIR takes."""
    if login.kind is Kind.CITIZEN:
        return login.person
    return f"Practitioner/{login.subject}" if login.kind is Kind.STAFF and _ID.fullmatch(login.subject) else ""
