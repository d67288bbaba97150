"""Files on the command line: the content type by ending, else by the first byte; lines of NDJSON one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app.files import content_type_of, messages
from gateway.app.translating import translate_files
from gateway.clock import SystemClock
from gateway.fhir.ids import Ids
from gateway.translate import feeds, registry

STATIONS = registry.stations(feeds.load(registry.ADAPTERS, None), Ids(b"sixteen bytes at least, for tests"))


@pytest.mark.parametrize(
    ("feed", "name", "body", "kind"),
    [
        ("hospital", "a.hl7", b"MSH|", "application/hl7-v2"),
        ("hospital", "a.txt", b"MSH|", "application/hl7-v2"),
        ("hospital", "a", b"\x0bMSH|", "application/hl7-v2"),
        ("home", "a.json", b"{", "application/json"),
        ("home", "a.txt", b"\xef\xbb\xbf [", "application/json"),
        ("home", "a.ndjson", b"{}", "application/x-ndjson"),
        ("municipal", "a.xml", b"<Bundle", "application/xml"),
        ("municipal", "a", b"<Bundle", "application/xml"),
        ("municipal", "a", b"{", "application/json"),
    ],
)
def test_the_content_type_of_a_file(feed: str, name: str, body: bytes, kind: str) -> None:
    assert content_type_of(Path(name), body, STATIONS[feed].feed) == kind


def test_every_line_of_ndjson_is_a_message_and_keeps_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"a":1}\n\n{"b":\n{"c":2}')
    found = list(messages(path, STATIONS["home"]))
    assert [one.line for one in found] == [1, 3, 4]
    assert {one.file for one in found} == {str(path)}


def test_a_file_that_is_not_there_and_one_that_is_not_the_format_are_answers(tmp_path: Path) -> None:
    (tmp_path / "b.hl7").write_bytes(b"hello")
    answers = list(translate_files([tmp_path / "none.hl7", tmp_path / "b.hl7"], STATIONS["hospital"], SystemClock()))
    assert [list(answer) for answer in answers] == [["file", "rejected"]] * 2
    assert all(reason["code"] == "malformed" for answer in answers for reason in answer["rejected"])
