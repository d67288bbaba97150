"""EHR launch (SMART App Launch 2.2): a health record says what is open, and gets a handle to start an app with.

The handle is good for one app, for five minutes, once; for one user where the record names him. What is open is context,
not a right: the app sees of the patient what its user may see.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from authlib.oauth2.rfc6749.errors import InvalidRequestError, UnauthorizedClientError

from gateway.clock import Clock
from gateway.errors import SundbroError
from gateway.formats import json
from gateway.identity.oauth.client import Client
from gateway.identity.oauth.issuing import digest
from gateway.identity.oauth.registration import Registry
from gateway.store.grants import Grants

LIFETIME: Final = dt.timedelta(minutes=5)
_PATIENT: Final = re.compile(r"Patient/[A-Za-z0-9\-.]{1,64}")
_ENCOUNTER: Final = re.compile(r"Encounter/[A-Za-z0-9\-.]{1,64}")
_REFERENCE: Final = re.compile(r"[A-Z][A-Za-z]{0,63}/[A-Za-z0-9\-.]{1,64}")
_INTENT: Final = re.compile(r"[A-Za-z0-9:/._-]{1,128}")
_CONTEXT_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Launch:
    """What is open in a health record. '' is what does not apply."""

    client: str
    patient: str = ""
    encounter: str = ""
    intent: str = ""
    user: str = ""
    """`sub` of the user it is for."""
    banner: bool = True
    context: tuple[Mapping[str, Any], ...] = ()


class Launching:
    """Makes and reads launches."""

    def __init__(self, registry: Registry, grants: Grants, audience: str, clock: Clock) -> None:
        self._registry = registry
        self._grants = grants
        self._audience = audience
        self._clock = clock

    async def make(self, form: Mapping[str, str], client: Client) -> dict[str, Any]:
        """Return a handle for `form["app"]`, and where to open the app with it. Raises OAuth2Error."""
        app = self._registry.get(form.get("app", ""))
        if app is None or app.id not in client.launches or not app.launch_uri:
            raise UnauthorizedClientError("app is none that this client launches")
        launch = {
            "client": app.id,
            "patient": _matching(form, "patient", _PATIENT),
            "encounter": _matching(form, "encounter", _ENCOUNTER),
            "intent": _matching(form, "intent", _INTENT),
            "user": form.get("user", "")[:256],
            "banner": form.get("need_patient_banner", "true") != "false",
            "context": _context(form.get("fhirContext", "[]")),
        }
        handle, now = secrets.token_urlsafe(32), self._clock.now()
        await self._grants.put("launch", digest(handle), json.dumps(launch), now + LIFETIME, now)
        joint = "&" if "?" in app.launch_uri else "?"
        url = app.launch_uri + joint + urlencode({"iss": self._audience, "launch": handle})
        return {"launch": handle, "launch_url": url, "expires_in": int(LIFETIME.total_seconds())}

    async def of(self, handle: str, client: Client, *, use: bool) -> Launch:
        """Return what a handle of this app stands for, used up if it is to be. Raises InvalidRequestError."""
        read = self._grants.take if use else self._grants.peek
        body = await read("launch", digest(handle), self._clock.now())
        told = json.loads(body) if body else None
        if told is None or told["client"] != client.id:
            raise InvalidRequestError("launch does not hold")
        return Launch(**{**told, "context": tuple(told["context"])})


def _matching(form: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = form.get(name, "")
    if value and not pattern.fullmatch(value):
        raise InvalidRequestError(f"{name} is not of its form")
    return value


def _context(text: str) -> list[dict[str, Any]]:
    """Return fhirContext: references alone, with type and role (SMART App Launch 2.2 §fhircontext)."""
    try:
        told = json.loads(text.encode())
    except SundbroError:
        told = None
    if not isinstance(told, list) or len(told) > _CONTEXT_MAX:
        raise InvalidRequestError("fhirContext is a JSON list")
    for one in told:
        plain = isinstance(one, dict) and all(isinstance(value, str) for value in one.values())
        if not plain or set(one) - {"reference", "type", "role"} or not _REFERENCE.fullmatch(one.get("reference", "")):
            raise InvalidRequestError("fhirContext has objects with reference, type and role")
    return told
