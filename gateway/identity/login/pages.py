"""The pages of the log-in: plain HTML that a screen reader reads, no script, nothing fetched. Made of `words`, escaped here."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from http import HTTPStatus
from typing import Final

from starlette.responses import HTMLResponse

from gateway.identity.login.words import TEXTS, Language

STYLE: Final = (
    "body{font:1.125rem/1.5 system-ui,sans-serif;max-width:36rem;margin:0 auto;padding:1rem;color:#1a1a1a;background:#fff}"
    "header{display:flex;justify-content:space-between;border-bottom:1px solid #767676;padding-bottom:.5rem}"
    "h1{font-size:1.75rem;line-height:1.2}ul{list-style:none;padding:0}ul.dots{list-style:disc;padding-left:1.5rem}"
    "a{color:#0b4f87}a:focus,button:focus,input:focus{outline:3px solid #b35900;outline-offset:2px}"
    ".act,button{display:inline-block;font:inherit;background:#0b4f87;color:#fff;border:0;border-radius:.25rem;"
    "padding:.6rem 1.2rem;margin:.3rem 0;text-decoration:none;cursor:pointer}"
    "fieldset{border:1px solid #767676;border-radius:.25rem;margin:1rem 0}label{display:block;padding:.25rem 0}"
    "button[value=no],button[value=abort]{background:#fff;color:#0b4f87;box-shadow:inset 0 0 0 2px #0b4f87}"
    "textarea,input[type=text]{font:inherit;width:100%;box-sizing:border-box}"
    ".note{background:#fff4d6;border-left:.3rem solid #b35900;padding:.5rem 1rem}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def headers(forms: Iterable[str] | None = ()) -> dict[str, str]:
    """Return the headers of a page. `forms`: origins beside this one that a form may lead to; None for any."""
    policy = f"default-src 'none'; style-src 'sha256-{_HASH}'; "
    if forms is not None:
        policy += "form-action " + " ".join(["'self'", *forms]) + "; "
    policy += "base-uri 'none'; frame-ancestors 'none'"
    return {
        "content-security-policy": policy,
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }


def page(
    language: Language,
    title: str,
    body: Sequence[str],
    *,
    status: int = HTTPStatus.OK,
    other: str = "",
    forms: Iterable[str] | None = (),
) -> HTMLResponse:
    """Return a page. `body` is HTML, escaped by whoever made it; `other` is its address in the other language."""
    switch: Language = "en" if language == "da" else "da"
    link = (
        f'<a href="{escape(other)}" hreflang="{switch}" lang="{switch}">{TEXTS["other"][switch]}</a>' if other else ""
    )
    text = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)} – {TEXTS['home'][language]}</title><style>{STYLE}</style></head><body>"
        f"<header><span>{TEXTS['home'][language]}</span>{link}</header><main><h1>{escape(title)}</h1>{''.join(body)}</main>"
        "</body></html>"
    )
    return HTMLResponse(text, status, headers(forms) | {"content-language": language})


def paragraph(text: str) -> str:
    """Return a paragraph."""
    return f"<p>{escape(text)}</p>"


def action(address: str, text: str) -> str:
    """Return a link that looks like a button."""
    return f'<p><a class="act" href="{escape(address)}">{escape(text)}</a></p>'


def choices(links: Iterable[tuple[str, str]]) -> str:
    """Return links, (address, text) each, one under another."""
    return "<ul>" + "".join(f"<li>{action(*link)}</li>" for link in links) + "</ul>"


def button(address: str, text: str, hidden: dict[str, str]) -> str:
    """Return a form that is one button."""
    fields = "".join(f'<input type="hidden" name="{escape(n)}" value="{escape(v)}">' for n, v in hidden.items())
    return f'<form method="post" action="{escape(address)}">{fields}<button>{escape(text)}</button></form>'


def language_of(asked: str | None, accepted: str) -> Language:
    """Return the language asked for, else the first of ours that the browser accepts, else Danish."""
    for wanted in (asked or "", *(part.strip()[:2].lower() for part in accepted.split(","))):
        if wanted == "da":
            return "da"
        if wanted == "en":
            return "en"
    return "da"
