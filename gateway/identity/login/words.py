"""What a person reads, in Danish and in English. Says what happened and what to do, and nothing of how it works inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from gateway.access import Assurance
from gateway.identity.login.faults import Fault

Language = Literal["da", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("da", "en")

FAULTS: Final[Mapping[Fault, Mapping[Language, tuple[str, str]]]] = {
    Fault.ABORTED: {
        "da": ("Du afbrød login", "Du er ikke logget ind, og ingen har fået adgang til dine oplysninger."),
        "en": ("You stopped the log-in", "You are not logged in, and nobody was given access to your data."),
    },
    Fault.ASSURANCE: {
        "da": (
            "Du skal logge ind på et højere sikringsniveau",
            ("Det, du vil se, kræver niveau »{needed}«. Du loggede ind på niveau »{given}«. Prøv igen med en stærkere "
            "udgave af dit login, for eksempel MitID app i stedet for kodeord."),
        ),
        "en": (
            "You must log in at a higher level of assurance",
            ("What you want to see asks for level “{needed}”. You logged in at level “{given}”. Try again with a "
            "stronger form of your log-in, for example the MitID app instead of a password."),
        ),
    },
    Fault.UNREACHABLE: {
        "da": ("Login virker ikke lige nu", "Tjenesten, som du logger ind hos, svarer ikke. Prøv igen om lidt."),
        "en": ("The log-in does not work at the moment", "The service you log in with does not answer. Try again in a while."),
    },
    Fault.GONE: {
        "da": (
            "Login er udløbet",
            "Der gik for lang tid, eller siden er åbnet to gange, eller din browser tillader ikke cookies her. Begynd forfra.",
        ),
        "en": (
            "The log-in has expired",
            "It took too long, or the page was opened twice, or your browser does not allow cookies here. Start again.",
        ),
    },
    Fault.CLOCK: {
        "da": (
            "Uret er galt hos os eller hos login-tjenesten",
            ("Vi kan ikke stole på tidspunktet for dit login. Fejlen er ikke hos dig. Prøv igen om lidt, og kontakt support, "
            "hvis det bliver ved."),
        ),
        "en": (
            "A clock is wrong, ours or that of the log-in service",
            ("We cannot trust the time of your log-in. The fault is not yours. Try again in a while, and tell support if it "
            "goes on."),
        ),
    },
    Fault.INVALID: {
        "da": (
            "Vi kunne ikke bekræfte dit login",
            "Svaret fra login-tjenesten holdt ikke til kontrollen, og derfor er du ikke logget ind. Begynd forfra.",
        ),
        "en": (
            "We could not confirm your log-in",
            "The log-in service's answer did not pass our checks, so you are not logged in. Start again.",
        ),
    },
    Fault.NO_CPR: {
        "da": (
            "Dit login har ikke noget CPR-nummer",
            "Vi finder dine sundhedsoplysninger ved hjælp af dit CPR-nummer. Uden det er der ikke noget, vi kan vise.",
        ),
        "en": (
            "Your log-in has no CPR number",
            "We find your health data by your CPR number. Without it there is nothing that we can show.",
        ),
    },
    Fault.UNKNOWN_EMPLOYEE: {
        "da": (
            "Din organisation eller din rolle er ikke kendt her",
            ("Du er logget ind, men din organisation har ikke meldt dig til denne tjeneste. Kontakt din lokale "
            "brugeradministrator."),
        ),
        "en": (
            "Your organisation or your role is not known here",
            ("Your log-in worked, but your organisation has not registered you with this service. Ask your local user "
            "administrator."),
        ),
    },
    Fault.NOT_THIS_WAY: {
        "da": ("Det er ikke her, du logger ind", "Borgere og medarbejdere logger ind hver for sig. Vælg det andet login."),
        "en": ("This is not where you log in", "Citizens and staff log in separately. Choose the other log-in."),
    },
    Fault.REFUSED: {
        "da": ("Login er sat forkert op", "Login-tjenesten afviste os. Fejlen er ikke hos dig. Kontakt support."),
        "en": ("The log-in is set up wrongly", "The log-in service refused us. The fault is not yours. Please tell support."),
    },
    Fault.ENDED: {
        "da": ("Du er allerede logget ud", "Dit login er afsluttet hos login-tjenesten. Log ind igen."),
        "en": ("You are logged out already", "Your log-in was ended at the log-in service. Log in again."),
    },
    Fault.LINK: {
        "da": ("Linket virker ikke længere", "Gå tilbage til den app, du kom fra, og begynd forfra."),
        "en": ("The link no longer works", "Go back to the app you came from and start again."),
    },
    Fault.WRONG: {
        "da": ("Adressen er ikke rigtig", "Gå tilbage til den app, du kom fra, og begynd forfra."),
        "en": ("The address is not right", "Go back to the app you came from and start again."),
    },
}  # fmt: skip

LEVELS: Final[Mapping[Assurance, Mapping[Language, str]]] = {
    Assurance.NONE: {"da": "ukendt", "en": "unknown"},
    Assurance.LOW: {"da": "lav", "en": "low"},
    Assurance.SUBSTANTIAL: {"da": "betydelig", "en": "substantial"},
    Assurance.HIGH: {"da": "høj", "en": "high"},
}
"""NSIS levels, as the Danish standard calls them."""

TEXTS: Final[Mapping[str, Mapping[Language, str]]] = {
    "choose": {"da": "Log ind", "en": "Log in"},
    "choose_text": {"da": "Vælg, hvordan du vil logge ind.", "en": "Choose how you want to log in."},
    "again": {"da": "Prøv igen", "en": "Try again"},
    "stronger": {"da": "Log ind på et højere niveau", "en": "Log in at a higher level"},
    "other": {"da": "Dansk", "en": "English"},
    "done": {"da": "Du er logget ind", "en": "You are logged in"},
    "done_text": {
        "da": "{name}Sikringsniveau: {level}. Du bliver logget ud senest kl. {until}.",
        "en": "{name}Level of assurance: {level}. You will be logged out at {until} at the latest.",
    },
    "logout": {"da": "Log ud", "en": "Log out"},
    "logout_text": {"da": "Vil du logge ud?", "en": "Do you want to log out?"},
    "left": {"da": "Du er logget ud", "en": "You are logged out"},
    "left_text": {
        "da": "Luk browseren, hvis du bruger en computer sammen med andre.",
        "en": "Close the browser if you share the computer with others.",
    },
    "home": {"da": "Sundhedsdata", "en": "Health data"},
}
