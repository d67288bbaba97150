"""The one XML parser: what it refuses, and that no refusal repeats what it read."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Incorrect
from gateway.formats import xml

SECRET = "2512489996"
LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "lol"><!ENTITY y "&x;&x;&x;&x;">]><a>&y;</a>"""


@pytest.mark.parametrize(
    "body",
    [
        LAUGHS,
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<?xml version="1.0"?>\n<!-- first --><!DOCTYPE a><a/>',
        b"<a><!DOCTYPE b></a>",
        LAUGHS.decode().encode("utf-16"),
        LAUGHS.decode().encode("utf-32"),
        b'<?xml version="1.0" encoding="UTF-7"?><a/>',
        b'<?xml version="1.0" encoding="utf-16le"?><a/>',
        "<a/>".encode("utf-16-le"),
        b"<a>&undeclared;</a>",
        b"<a><b></a>",
        b"<a/><b/>",
        b"",
        b"   ",
        b"{}",
        b"\x00",
    ],
)
def test_what_could_be_turned_against_the_reader_or_is_not_xml_is_refused(body):
    with pytest.raises(Incorrect):
        xml.parse(body)


def test_an_entity_in_one_byte_encodings_is_refused_as_well():
    body = '<?xml version="1.0" encoding="iso-8859-1"?><!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'.encode("latin-1")
    with pytest.raises(Incorrect, match="DOCTYPE"):
        xml.parse(body)


def test_nesting_over_the_limit_is_refused_and_at_the_limit_is_not():
    assert xml.parse(b"<a>" * xml.DEPTH_MAX + b"</a>" * xml.DEPTH_MAX).tag == "a"
    for depth in (xml.DEPTH_MAX + 1, 200, 5000):
        with pytest.raises(Incorrect):
            xml.parse(b"<a>" * depth + b"</a>" * depth)


def test_a_refusal_says_where_and_never_what():
    with pytest.raises(Incorrect) as refused:
        xml.parse(f"<a>\n<b x='{SECRET}'></{SECRET}></a>".encode())
    assert refused.value.at == "line 2 column 18" or refused.value.at.startswith("line 2")
    assert SECRET not in refused.value.text + refused.value.at


def test_comments_and_processing_instructions_are_passed_over():
    root = xml.parse(b"<a><!-- one --><?php two ?><b/></a>")
    assert [child.tag for child in root] == ["b"]


def test_danish_letters_survive_in_the_encodings_that_are_read():
    for encoding in ("utf-8", "iso-8859-1", "windows-1252"):
        body = f'<?xml version="1.0" encoding="{encoding}"?><a b="æøå"/>'.encode(encoding)
        assert xml.parse(body).get("b") == "æøå"
    assert xml.parse(b"\xef\xbb\xbf<a/>").tag == "a"


def test_two_megabytes_are_read_in_the_time_of_their_size():
    body = b"<a>" + b"<b c='d'/>" * 200_000 + b"</a>"
    started = time.process_time()
    xml.parse(body)
    assert time.process_time() - started < 5


@given(st.binary(max_size=200))
def test_any_bytes_are_either_read_or_refused(body):
    with contextlib.suppress(Incorrect):
        xml.parse(body)
