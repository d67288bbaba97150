"""What was authorised, as it is kept behind a code and a family of tokens, and what a token says of it. Values only."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.access import Actor
from gateway.access import scopes as access_scopes
from gateway.formats import json
from gateway.identity.claims import actor_of, claims_of


@dataclass(frozen=True, slots=True)
class Authorization:
    """Who may do what through which client. '' is what does not apply.

    The three methods are what authlib's grants ask of a code and of a refresh token.
    """

    actor: Actor
    redirect_uri: str = ""
    challenge: str = ""
    """PKCE code challenge, S256."""
    nonce: str = ""
    auth_time: int = 0
    encounter: str = ""
    """`Encounter/<id>` of the launch context."""
    intent: str = ""
    banner: bool = True
    """Whether the app must show whose data it shows (SMART need_patient_banner)."""
    context: tuple[Mapping[str, Any], ...] = ()
    """fhirContext of the launch."""
    acting: str = ""
    """The client that acts for the user by token exchange (RFC 8693 `act`)."""
    key: str = ""
    """JWK thumbprint that its tokens are bound to."""
    certificate: str = ""
    fhir_user: str = ""
    ends_with_session: bool = True
    """Whether it ends with the log-in (online_access), or goes on without the user (offline_access)."""
    family: str = ""
    """Set once its code was redeemed."""
    expires: dt.datetime | None = field(default=None, compare=False)

    code_challenge_method = "S256"

    @property
    def code_challenge(self) -> str:
        """The PKCE challenge, by authlib's name."""
        return self.challenge

    def get_redirect_uri(self) -> str:
        """Return the address that the code was sent to."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return the scopes, by blanks."""
        return self.actor.scopes.text

    def check_client(self, client: Any) -> bool:
        """Say whether it was given to this client."""
        return bool(client.get_client_id() == self.actor.client)

    def narrowed(self, scope: str) -> Authorization:
        """Return the same with other scopes."""
        return replace(self, actor=replace(self.actor, scopes=access_scopes.parse(scope.split())))

    def packed(self) -> bytes:
        """Return it as bytes; `unpacked` makes the same of them."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return json.dumps(
            {"claims": claims_of(self.actor), "context": list(self.context), "family": self.family, **plain}
        )

    @classmethod
    def unpacked(
        cls, body: bytes, family: uuid.UUID | None = None, expires: dt.datetime | None = None
    ) -> Authorization:
        """Read what `packed` wrote."""
        told = json.loads(body)
        actor = actor_of(told["claims"], access_scopes.parse(told["claims"]["scope"].split()))
        plain = {name: told[name] for name in _PLAIN}
        begun = str(family) if family else told["family"]
        return cls(actor, context=tuple(told["context"]), family=begun, expires=expires, **plain)

    def claims(self) -> dict[str, Any]:
        """Return the claims of an access token that say what was authorised (RFC 9068, and this gateway's own)."""
        told: dict[str, Any] = claims_of(self.actor)
        if self.acting:
            told["act"] = {"sub": self.acting}
        if self.auth_time:
            told["auth_time"] = self.auth_time
        if self.family:
            told["fam"] = self.family
        if self.encounter:
            told["encounter"] = self.encounter
        bound = {"jkt": self.key, "x5t#S256": self.certificate}
        if cnf := {name: value for name, value in bound.items() if value}:
            told["cnf"] = cnf
        return told

    def launch_context(self) -> dict[str, Any]:
        """Return the parameters of the token response that say what is open (SMART App Launch 2.2 §launch context)."""
        told: dict[str, Any] = {}
        if self.actor.patient:
            told["patient"] = self.actor.patient.removeprefix("Patient/")
            told["need_patient_banner"] = self.banner
        if self.encounter:
            told["encounter"] = self.encounter.removeprefix("Encounter/")
        if self.context:
            told["fhirContext"] = [dict(one) for one in self.context]
        if self.intent:
            told["intent"] = self.intent
        return told


_PLAIN = (
    *("redirect_uri", "challenge", "nonce", "auth_time", "encounter", "intent", "banner", "acting", "key"),
    *("certificate", "fhir_user", "ends_with_session"),
)
