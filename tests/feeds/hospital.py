"""What the hospital tests share: a feed, a context, a translation of bytes, messages of the corpus."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

from adapters.hospital_hl7v2 import translate as adapter
from gateway.fhir.ids import Ids
from gateway.model import Feed, Lane, RawMessage, Trace, Translation
from gateway.terminology import tables
from gateway.terminology.context import Context
from gateway.translate import feeds
from tests.corpus import corpus_folder

ROOT = Path(__file__).resolve().parents[2]
TABLES = tables.load(ROOT / "mappings")
RECEIVED = dt.datetime(2026, 11, 22, 9, 0, tzinfo=dt.UTC)
SECRET = b"sixteen bytes at least, for tests"


def context(**settings: object) -> Context:
    feed = Feed(name="test", format="hospital_hl7v2", **{"accept_test_messages": True, **settings})  # type: ignore[arg-type]
    return Context(feed, Ids(SECRET), TABLES)


CONTEXT = context()
FOLDER = ROOT / "adapters" / "hospital_hl7v2"
SAMPLES = FOLDER / "samples"
DANISH = Context(
    feeds.parse((FOLDER / "feed.toml").read_text("utf-8"), where="feed.toml", production=True), Ids(SECRET), TABLES
)
"""The feed that comes with the gateway."""


def translate(body: bytes, within: Context = CONTEXT, trace: Trace | None = None) -> Translation:
    raw = RawMessage("test", "receipt-1", body, "application/hl7-v2", Lane("lane"), RECEIVED)
    return adapter.translate(raw, within, trace)


def corpus(name: str) -> Path:
    return corpus_folder(name)


def with_patient_number(body: bytes) -> bytes:
    """Give a patient without any number one, so that the rest of the message can be compared: we refuse nobody's data."""
    found = re.search(rb"(?:^|[\r\n])PID\|([^|\r\n]*)(?:\|([^|\r\n]*))?(?:\|([^|\r\n]*))?(?:\|([^|\r\n]*))?", body)
    if found is None:
        return body
    number, bare = found.group(3) or b"", b"^~& "
    if number.strip(bare) and number.split(b"^")[0].strip():
        return body
    others = b"|".join(
        [found.group(1) or b"", found.group(2) or b"", b"X-1^^^TEST^MR" + (b"~" + number if number else b"")]
    )
    end = found.end(3) if found.group(3) is not None else found.end(2) if found.group(2) is not None else found.end(1)
    return body[: found.start(1)] + others + body[end:]


def utc(text: str) -> str:
    """Return a FHIR dateTime or instant in UTC to the millisecond, '' for any other text."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text):
        return ""
    text = re.sub(r"\.(\d{1,6})\d*", lambda m: "." + m.group(1).ljust(6, "0"), text)
    moment = dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    return moment.isoformat(timespec="milliseconds")
