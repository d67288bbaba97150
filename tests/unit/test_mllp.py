"""Laws of MLLP frames."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.formats import mllp

PAYLOADS = st.lists(
    st.binary(max_size=60).filter(
        lambda b: not any(b.find(bytes([0x1C, n])) >= 0 for n in (13, 10, 11)) and not b.endswith(b"\x1c")
    ),
    max_size=5,
)


def read(stream: bytes, cuts: list[int], bytes_max: int = 10_000) -> list[mllp.Frame | mllp.FrameError]:
    decoder = mllp.Decoder(bytes_max)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    found: list[mllp.Frame | mllp.FrameError] = []
    for start, end in itertools.pairwise(places):
        found += decoder.feed(stream[start:end])
    return found + decoder.idle()


@given(PAYLOADS, st.lists(st.integers(0, 10_000), max_size=12))
def test_what_is_framed_comes_out_however_it_is_cut(payloads: list[bytes], cuts: list[int]) -> None:
    found = read(b"".join(map(mllp.frame, payloads)), cuts)
    assert [f.payload for f in found if isinstance(f, mllp.Frame)] == payloads


@settings(max_examples=500)
@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=12), st.integers(1, 40))
def test_the_verdict_never_depends_on_the_cuts(stream: bytes, cuts: list[int], bytes_max: int) -> None:
    assert read(stream, cuts, bytes_max) == read(stream, [], bytes_max)


@given(
    st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\n", b"a", b"bb"]), max_size=30),
    st.lists(st.integers(0, 100), max_size=9),
)
def test_the_verdict_never_depends_on_the_cuts_near_the_marks(stream: list[bytes], cuts: list[int]) -> None:
    joined = b"".join(stream)
    assert read(joined, cuts, 5) == read(joined, [], 5)


def test_junk_before_the_start_byte_is_counted_and_line_ends_are_not() -> None:
    (found,) = read(b"xyz\r\n\x0bMSH\x1c\r", [])
    assert found == mllp.Frame(b"MSH", junk_bytes=3)


def test_lenient_ends_are_taken_and_told() -> None:
    assert read(b"\x0ba\x1c\n\x0bb\x1c\x0bc\x1c", []) == [
        mllp.Frame(b"a", lenient=True),
        mllp.Frame(b"b", lenient=True),
        mllp.Frame(b"c", lenient=True),
    ]


def test_marks_inside_text_do_not_end_a_block() -> None:
    assert read(b"\x0bone\x0b two\x1cthree\x1c\r", [4, 9]) == [mllp.Frame(b"one\x0b two\x1cthree")]


def test_an_fs_that_stands_last_waits_until_the_door_says_idle() -> None:
    decoder = mllp.Decoder(100)
    assert decoder.feed(b"\x0bMSH\x1c") == []
    assert decoder.awaiting_end
    assert decoder.idle() == [mllp.Frame(b"MSH", lenient=True)]
    assert not decoder.half


def test_a_block_over_the_cap_is_dropped_once_and_the_next_is_read() -> None:
    decoder = mllp.Decoder(10)
    found = decoder.feed(b"\x0b" + b"x" * 25)
    found += decoder.feed(b"y" * 1000)
    assert len(decoder._held) <= 1
    found += decoder.feed(b"\x1c\r" + mllp.frame(b"short"))
    assert [type(f).__name__ for f in found] == ["FrameError", "Frame"]
    assert found[1] == mllp.Frame(b"short")
