"""Token exchange (RFC 8693): a partner's server that acts for a logged-in user, and a citizen who acts for another.

The subject token is one of our own that holds now. The new token says whose it is, who acts (`act`), and ends with the
authorization that it came of; it opens no more than the subject token did, nor than the client is registered for.
`requested_subject` (`Patient/<id>`, this gateway's own parameter) asks to act for a child or for who gave a fuldmagt
(power of attorney): whether he may is asked then, and again by `access.decide` at every request.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from authlib.oauth2.rfc6749.errors import InvalidRequestError

from gateway.access import Kind
from gateway.errors import Unauthenticated
from gateway.identity.oauth.acceptance import Acceptance
from gateway.identity.oauth.authorization import Authorization
from gateway.identity.oauth.client import Client, narrowed

ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  a name
PATIENT: Final = re.compile(r"Patient/[A-Za-z0-9\-.]{1,64}")
MayAct = Callable[[str, str], Awaitable[bool]]
"""(`Patient/<id>` of a citizen, of another) → whether he may act for the other today."""


class Exchange:
    """Finds what a subject token authorises another client to do."""

    def __init__(self, acceptance: Acceptance, may_act: MayAct, audience: str) -> None:
        self._acceptance = acceptance
        self._may_act = may_act
        self._audience = audience

    async def held(self, form: Mapping[str, str], client: Client) -> Authorization | None:
        """Return the authorization that comes of an exchange, None when there is none. Raises InvalidRequestError."""
        if form.get("subject_token_type") != ACCESS_TOKEN or not form.get("subject_token"):
            raise InvalidRequestError("subject_token with subject_token_type access_token is needed")
        if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN or "actor_token" in form:
            raise InvalidRequestError("an access token is all that can be had, and the client is the actor")
        if any(form.get(name, self._audience) != self._audience for name in ("audience", "resource")):
            raise InvalidRequestError("audience and resource are the FHIR base")
        try:
            principal = await self._acceptance.verify(form["subject_token"])
        except Unauthenticated:
            return None
        actor = principal.actor
        if actor.client not in client.exchanges or actor.kind is Kind.SYSTEM:
            return None
        wanted = form.get("requested_subject", "")
        if wanted and not await self._acts(actor.person, actor.on_behalf_of, wanted):
            return None
        made = replace(actor, client=client.id)
        if wanted and wanted != actor.person:
            made = replace(made, on_behalf_of=wanted, patient=wanted)
        acting = client.id if client.id != actor.client else ""
        return Authorization(made, acting=acting, key=principal.key, family=principal.family, expires=principal.expires)

    async def _acts(self, person: str, already: str, wanted: str) -> bool:
        if not person or not PATIENT.fullmatch(wanted) or (already and already != wanted):
            return False  # whoever acts for one does not act for another by it
        return wanted == person or await self._may_act(person, wanted)

    def narrowed(self, scope: str, held: Authorization, client: Client) -> str:
        """Return what of the scopes asked for both the subject token and the client's registration open."""
        by_token = narrowed(scope.split(), held.actor.scopes, ("patient", "user"))
        return narrowed(by_token.split(), client.scopes, ("patient", "user"))
