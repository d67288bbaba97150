"""The pages of the authorization server: who asks for what, whose record it is about, and why not. Plain HTML, no script.

Danish and English. A page carries what it must to be answered (a handle and a token bound to the session) and nothing
else; it cannot be framed, and its form goes to this gateway and on to the app that asked, nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse

from gateway.access import Purpose
from gateway.access.scopes import Grant, Scopes

_STYLE: Final = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}"
    "h1{font-size:1.5rem}button{font:inherit;padding:.6rem 1.2rem;margin:.5rem .5rem 0 0;border:2px solid #004b87}"
    "button[value=yes]{background:#004b87;color:#fff}label{display:block;margin:.3rem 0}"
    "textarea,input[type=text]{font:inherit;width:100%;box-sizing:border-box}fieldset{border:1px solid #888;margin:1rem 0}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
LANGUAGES: Final = ("da", "en")
_WORDS: Final = {
    "da": {
        "title": "Giv adgang",
        "asks": "vil have adgang til sundhedsoplysninger gennem Sundbro.",
        "may": "Appen beder om lov til at:",
        "about": "Hvem gælder det?",
        "self": "mig selv",
        "find": "Søg patient (personnummer)",
        "search": "Søg",
        "nobody": "Ingen patient fundet.",
        "reason": "Begrund værdispringet. Det registreres og gennemgås, og patienten kan se det.",
        "offline": "også når du ikke selv er logget på",
        "yes": "Giv adgang",
        "no": "Afvis",
        "over": "Forespørgslen er udløbet, eller den er allerede besvaret.",
        "wrong": "Det kan ikke lade sig gøre",
        "back": "Gå tilbage til appen og begynd forfra.",
        "r": "se",
        "w": "oprette, ændre eller slette",
        "all": "alle sundhedsoplysninger",
        "who": "vide, hvem du er",
    },
    "en": {
        "title": "Give access",
        "asks": "wants access to health data through Sundbro.",
        "may": "The app asks to:",
        "about": "Who is it about?",
        "self": "myself",
        "find": "Find patient (civil registration number)",
        "search": "Find",
        "nobody": "No patient found.",
        "reason": "Say why you must look past the block. It is recorded and reviewed, and the patient can see it.",
        "offline": "also when you are not logged in yourself",
        "yes": "Give access",
        "no": "Refuse",
        "over": "The request has expired, or it was answered before.",
        "wrong": "This cannot be done",
        "back": "Go back to the app and begin again.",
        "r": "see",
        "w": "create, change or delete",
        "all": "all health data",
        "who": "know who you are",
    },
}
_TYPES: Final = {
    "Patient": ("personoplysninger", "personal details"),
    "Observation": ("målinger og prøvesvar", "measurements and test results"),
    "Condition": ("diagnoser", "diagnoses"),
    "MedicationRequest": ("recepter", "prescriptions"),
    "MedicationStatement": ("medicin", "medicines"),
    "AllergyIntolerance": ("allergier", "allergies"),
    "Immunization": ("vaccinationer", "vaccinations"),
    "Procedure": ("behandlinger og operationer", "treatments and operations"),
    "Encounter": ("kontakter og indlæggelser", "contacts and admissions"),
    "DiagnosticReport": ("undersøgelsessvar", "diagnostic reports"),
    "DocumentReference": ("dokumenter", "documents"),
    "CarePlan": ("behandlingsplaner", "care plans"),
    "Appointment": ("aftaler", "appointments"),
    "Consent": ("samtykker og spærringer", "consents and blocks"),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Somebody whom an authorization can be about: `Patient/<id>`, and what the user knows him by."""

    reference: str
    shown: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is put to the user."""

    app: str
    scopes: Scopes
    purpose: Purpose
    handle: str
    token: str
    redirect_uri: str
    choices: Sequence[Choice] = field(default_factory=tuple)
    finds: bool = False
    """Whether the user looks a patient up."""
    found_nobody: bool = False


def language_of(wanted: str, accepted: str) -> str:
    """Return `da` or `en`: what the app asks for (`ui_locales`), else what the browser prefers, else Danish."""
    for part in [*wanted.split(), *accepted.split(",")]:
        name = part.strip().partition(";")[0].partition("-")[0].lower()
        if name in LANGUAGES:
            return name
    return "da"


def question(asked: Question, language: str) -> HTMLResponse:
    """Return the page that asks."""
    words = _WORDS[language]
    items = "".join(f"<li>{html.escape(line)}</li>" for line in _lines(asked.scopes, language))
    parts = [
        f"<h1>{words['title']}</h1><p><strong>{html.escape(asked.app)}</strong> {words['asks']}</p>",
        f"<p>{words['may']}</p><ul>{items}</ul>",
        '<form method="post" action="/oauth/authorize/decide" autocomplete="off">',
        f'<input type="hidden" name="request" value="{html.escape(asked.handle)}">',
        f'<input type="hidden" name="csrf" value="{html.escape(asked.token)}">',
        _people(asked, words),
    ]
    if asked.purpose is Purpose.VAERDISPRING:
        parts.append(f'<label>{words["reason"]}<textarea name="reason" maxlength="400" rows="3"></textarea></label>')
    parts += [
        f'<button name="decision" value="yes">{words["yes"]}</button>',
        f'<button name="decision" value="no">{words["no"]}</button></form>',
    ]
    return _page(words["title"], "".join(parts), language, 200, asked.redirect_uri)


def refusal(text: str, language: str, status: int = 400) -> HTMLResponse:
    """Return the page for what no app can be told about."""
    words = _WORDS[language]
    told = words["over"]
    return _page(
        words["wrong"],
        f"<h1>{words['wrong']}</h1><p>{html.escape(text or told)}</p><p>{words['back']}</p>",
        language,
        status,
    )


def _people(asked: Question, words: dict[str, str]) -> str:
    if asked.finds:
        nobody = f"<p>{words['nobody']}</p>" if asked.found_nobody else ""
        looked = (
            f'<label>{words["find"]}<input type="text" name="find" maxlength="64"></label>'
            f'<button name="decision" value="find">{words["search"]}</button>{nobody}'
        )
    else:
        looked = ""
    if not asked.choices and not looked:
        return ""
    radios = "".join(
        f'<label><input type="radio" name="patient" value="{html.escape(one.reference)}"{" checked" if not number else ""}>'
        f" {html.escape(one.shown) or words['self']}</label>"
        for number, one in enumerate(asked.choices)
    )
    return f"<fieldset><legend>{words['about']}</legend>{looked}{radios}</fieldset>"


def _lines(scopes: Scopes, language: str) -> list[str]:
    words, found = _WORDS[language], []
    for letters, verb in (("rs", words["r"]), ("cud", words["w"])):
        kinds = [_kind(grant, language) for grant in scopes.grants if set(grant.letters) & set(letters)]
        if kinds:
            found.append(f"{verb}: {', '.join(dict.fromkeys(kinds))}")
    if "openid" in scopes.others:
        found.append(words["who"])
    if "offline_access" in scopes.others:
        found.append(words["offline"])
    return found


def _kind(grant: Grant, language: str) -> str:
    if grant.type == "*":
        name = _WORDS[language]["all"]
    else:
        named = _TYPES.get(grant.type)
        name = named[LANGUAGES.index(language)] if named else grant.type
    values = [value.rpartition("|")[2] for _, value in grant.constraint]
    return f"{name} ({', '.join(values)})" if values else name


def _page(title: str, body: str, language: str, status: int, redirect_uri: str = "") -> HTMLResponse:
    at = urlsplit(redirect_uri)
    onward = f"{at.scheme}://{at.netloc}" if at.scheme in {"http", "https"} else f"{at.scheme}:" if at.scheme else ""
    page = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>"
    )
    policy = (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self' {onward}".rstrip()
        + "; frame-ancestors 'none'; base-uri 'none'"
    )
    headers = {
        "content-security-policy": policy,
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",  # with no-referrer a browser would not say the form's Origin
        "cache-control": "no-store",
    }
    return HTMLResponse(page, status, headers)
