"""Laws of the ER7 reader."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.formats import er7, er7_text
from gateway.model import RejectionCode

HEAD = b"MSH|^~\\&|LAB|OUH|SUNDBRO|RSD|20261122100000||ORU^R01^ORU_R01|0001 |P|2.5.1||||||"


def message(*segments: bytes, head: bytes = HEAD, charset: str = "utf-8") -> er7.Message:
    return er7.parse(b"\r".join([head, *segments]) + b"\r", charset)


SYNTAX = er7.syntax_of("|", "^~\\&", "utf-8")


@given(st.text())
def test_escaping_then_unescaping_gives_the_text_back(text: str) -> None:
    plain = text.replace("\r", "")
    escaped = er7_text.escape(plain, SYNTAX)
    assert not set("|^~&\r\n") & set(escaped)
    assert er7_text.unescape(escaped, SYNTAX) == plain


@given(st.text(alphabet="ab|^~&\\FSTREX0D\n", max_size=40))
def test_escapes_are_resolved_once(text: str) -> None:
    once = er7_text.escape(text, SYNTAX)
    assert er7_text.unescape(er7_text.escape(once, SYNTAX), SYNTAX) == once


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(body: bytes) -> None:
    for candidate in (body, HEAD + b"\r" + body, b"MSH" + body):
        with contextlib.suppress(er7.Unreadable):
            er7.peek(candidate)
        with contextlib.suppress(er7.Unreadable):
            for piece in er7.split_batch(candidate):
                for segment in er7.parse(piece, "latin-1"):
                    for number in range(len(segment.fields)):
                        [part.part(2).at(1) for part in segment.repetitions(number)]


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n"]), min_size=4, max_size=4))
def test_segment_ends_may_be_cr_lf_or_both(ends: list[bytes]) -> None:
    lines = [HEAD, b"PID|1||1", b"OBR|1", b"OBX|1|ST|a"]
    read = er7.parse(b"".join(line + end for line, end in zip(lines, ends, strict=True)), "utf-8")
    assert read.names == ["MSH", "PID", "OBR", "OBX"]


def test_a_bare_line_feed_in_text_is_not_a_segment_end() -> None:
    read = message(b"OBX|1|TX|a||first line\nsecond line|||", b"OBX|2|ST|b||x")
    assert read.segments("OBX")[0].text(5) == "first line\nsecond line"
    assert len(read.segments("OBX")) == 2


def test_msh_numbering_starts_with_the_separator_itself() -> None:
    msh = message().segment("MSH")
    assert (msh.raw(1), msh.raw(2), msh.raw(3), msh.raw(10)) == ("|", "^~\\&", "LAB", "0001 ")


def test_absent_null_and_value_are_three_states() -> None:
    pid = message(b'PID|1||""||x').segment("PID")
    assert [(pid.has(n), pid.is_null(n)) for n in (2, 3, 5, 99)] == [
        (False, False),
        (False, True),
        (True, False),
        (False, False),
    ]
    assert pid.at(3) == ""
    assert pid.repetitions(99) == []


def test_empty_repetitions_keep_their_places() -> None:
    pid = message(b"PID|||||||||||||~40302010").segment("PID")
    assert [part.at(1) for part in pid.repetitions(13)] == ["", "40302010"]


def test_odd_separators_are_taken_from_the_message() -> None:
    read = er7.parse(b"MSH#*+!%#LAB#x#\rPID#1##1*2%3+4#a!F!b!S!c\r", "utf-8")
    pid = read.segment("PID")
    assert pid.field(3).at(1) == "1"
    assert pid.field(3).part(2).at(2) == "3"
    assert pid.repetitions(3)[1].at(1) == "4"
    assert pid.text(4) == "a#b*c"


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("8859/1", "latin-1"),
        ("UNICODE UTF-8", "utf-8"),
        ("utf8", "utf-8"),
        ("", "utf-8"),
        ("", "latin-1"),
        ("8859/15", "iso8859_15"),
        ("XX~8859/1", "latin-1"),
    ],
)
def test_danish_letters_survive_every_stated_character_set(charset: str, codec: str) -> None:
    head = HEAD + charset.encode()
    body = head + b"\rPID|||||" + "Åse Sørensen Ærø".encode(codec) + b"\r"
    assert er7.parse(body, codec).segment("PID").text(5) == "Åse Sørensen Ærø"


def test_a_byte_order_mark_is_not_text() -> None:
    body = b"\xef\xbb\xbf" + HEAD + "\rPID|||||Ærø\r".encode()
    assert er7.parse(body, "latin-1").segment("PID").text(5) == "Ærø"
    assert er7.peek(body).control_id == b"0001 "


def test_bytes_that_do_not_fit_the_stated_set_are_read_with_a_notice() -> None:
    read = er7.parse(HEAD + b"UNICODE UTF-8\rPID|||||S\xf8ren\r", "utf-8")
    assert read.segment("PID").text(5) == "Søren"
    assert [notice.code for notice in read.notices] == ["charset-fallback"]


def test_utf_16_is_refused_because_mllp_cannot_carry_it() -> None:
    with pytest.raises(er7.Unreadable) as refused:
        er7.parse(HEAD + b"UNICODE UTF-16\r", "utf-8")
    assert refused.value.code is RejectionCode.CHARSET


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("a\\.br\\b", "a\nb"),
        ("a\\X0D0A\\b", "a\nb"),
        ("\\XC3B8\\", "ø"),
        ("\\H\\bold\\N\\", "bold"),
        ("C:\\temp\\file", "C:\\temp\\file"),
        ("\\E\\F\\E\\", "\\F\\"),
        ("\\Zlocal\\ \\C2842\\", "\\Zlocal\\ \\C2842\\"),
        ("\\.sp2\\x\\.sk3\\y", "\n\nx   y"),
        ("{\\rtf1\\b Svar}", "{\\rtf1\\b Svar}"),
    ],
)
def test_escape_sequences_of_the_standard(sent: str, read: str) -> None:
    assert er7_text.unescape(sent, SYNTAX) == read


def test_a_batch_is_cut_into_its_messages_with_their_bytes_unchanged() -> None:
    one, two = HEAD + b"\rPID|1\r", HEAD + b"\rPID|2\r\n"
    batch = b"FHS|^~\\&|A\rBHS|^~\\&|A|B|C|D|20260101||||B-11\r" + one + two + b"BTS|2\rFTS|1\r"
    assert er7.split_batch(batch) == [one, two]
    assert er7.split_batch(one) == [one]
    head = er7.peek_batch(batch)
    assert head is not None
    assert (head.control_id, head.sending_application) == (b"B-11", b"A")


def test_bytes_without_msh_are_refused() -> None:
    with pytest.raises(er7.Unreadable):
        er7.split_batch(b'{"resourceType": "Bundle"}')


def test_a_doubled_escape_character_in_msh_2_is_read_as_one() -> None:
    assert er7.syntax_of("|", "^~\\\\&", "utf-8").subcomponent == "&"


def test_msh_2_missing_is_refused_where_it_is_missing() -> None:
    with pytest.raises(er7.Unreadable) as refused:
        er7.parse(b"MSH||LAB|OUH\rPID|1\r", "utf-8")
    assert refused.value.at == "MSH-2"
