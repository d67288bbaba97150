"""A message of readings as a vendor posts it: one, a list, or a server's answer around a list; who comes with it.

Nothing here looks at what was measured: readings.py does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.home_readings import persons
from adapters.home_readings.refusals import ReadingRefusedError
from gateway.model import Feed, PersonKey, Reason, RejectionCode

LISTS = ("results", "measurements", "readings")


def unwrap(document: Any) -> tuple[str, list[Any], Mapping[str, Any]]:
    """Return the name of the list, the readings in it and what stands around them; a single reading has name ''.

    Raises ReadingRefusedError (structure, unsupported-type) for what holds no readings.
    """
    envelope: Mapping[str, Any] = {}
    if isinstance(document, list):
        name, found = "readings", document
    elif not isinstance(document, Mapping):
        raise ReadingRefusedError(RejectionCode.STRUCTURE, "", "neither an object nor a list")
    else:
        name = next((each for each in LISTS if isinstance(document.get(each), list)), "")
        found, envelope = (document[name], document) if name else ([document], {})
        if not name:
            _single(document)
    if not found:
        raise ReadingRefusedError(RejectionCode.STRUCTURE, name, "a list without readings")
    return name, found, envelope


def _single(document: Mapping[str, Any]) -> None:
    if isinstance(document.get("header"), Mapping) and "body" in document:
        raise ReadingRefusedError(
            RejectionCode.UNSUPPORTED_TYPE,
            "header",
            "an Open mHealth or IEEE 1752.1 data point; not taken by this feed",
        )
    if not {"type", "code", "measurement", "timestamp"} & set(document):
        if "uniqueId" in document:
            raise ReadingRefusedError(
                RejectionCode.UNSUPPORTED_TYPE,
                "",
                "a person without readings; send the person with them, as `patient` or in `patients`",
            )
        raise ReadingRefusedError(
            RejectionCode.STRUCTURE,
            "",
            "neither FHIR, nor a reading, nor a list of them (results, measurements, readings)",
        )


class Persons:
    """Who the readings of one message are about: by themselves, by their links, or by what stands around them."""

    def __init__(self, envelope: Mapping[str, Any], feed: Feed) -> None:
        self._feed = feed
        self._known: dict[str, PersonKey] = {}
        self._by_link: dict[str, PersonKey | None] = {}
        self._everyone: PersonKey | None = None
        self._link_of_everyone: str | None = None
        self.reasons: list[Reason] = []
        """What was wrong with the persons introduced; readings that need them are refused each on their own."""
        listed = envelope.get("patients")
        if isinstance(listed, list):
            for index, person in enumerate(listed):
                self._by_link[persons.own_link(person)] = self._introduced(person, f"patients[{index}]")
        person = envelope.get("patient")
        if person is not None:
            self._everyone = self._introduced(person, "patient")
            self._link_of_everyone = persons.own_link(person) or None
            if self._link_of_everyone:
                self._by_link[self._link_of_everyone] = self._everyone

    def _introduced(self, person: Any, at: str) -> PersonKey | None:
        try:
            return persons.person_of(person, at, self._feed)
        except ReadingRefusedError as refused:
            self.reasons.append(refused.reason(""))
            return None

    def of(self, reading: Mapping[str, Any]) -> PersonKey:
        """Return the person of a reading. Raises ReadingRefusedError (identity-missing, identity-invalid)."""
        named, at = reading.get("patient"), "patient"
        if named is None:
            links = reading.get("links")
            link = links.get("patient") if isinstance(links, Mapping) else None
            if reading.get("cpr") is not None:
                named, at = reading["cpr"], "cpr"
            elif link is not None:
                return self._linked(link)
            elif self._everyone is not None:
                return self._everyone
        if isinstance(named, str):
            person = self._known.get(named)
            if person is None:
                person = self._known[named] = persons.person_of(named, at, self._feed)
            return person
        return persons.person_of(named, at, self._feed)

    def _linked(self, link: Any) -> PersonKey:
        """Return the person behind `links.patient`: one introduced with the message, else whom the link names."""
        at = "links.patient"
        if not isinstance(link, str):
            raise ReadingRefusedError(RejectionCode.IDENTITY_INVALID, at, "a link is a text")
        person = self._known.get(link)
        if person is None:
            if link in self._by_link:
                person = self._by_link[link]
                if person is None:
                    raise ReadingRefusedError(
                        RejectionCode.IDENTITY_INVALID, at, "the person it points at cannot be used"
                    )
            elif self._everyone is not None:
                person = self._everyones(link)
            else:
                person = persons.link_key(link, at, self._feed)
            self._known[link] = person
        return person

    def _everyones(self, link: str) -> PersonKey:
        """Return the message's one person when all links are the same: two would be two persons under one number."""
        if self._everyone is None or self._link_of_everyone not in {None, link}:
            raise ReadingRefusedError(
                RejectionCode.IDENTITY_INVALID,
                "links.patient",
                "the message names one person, and this reading points at another",
            )
        self._link_of_everyone = link
        return self._everyone


def first_person(reading: Any, envelope: Mapping[str, Any], feed: Feed) -> PersonKey | None:
    """Return the person of a message's first reading, as translation will find them; None when it will not."""
    try:
        return Persons(envelope, feed).of(reading) if isinstance(reading, Mapping) else None
    except ReadingRefusedError:
        return None
