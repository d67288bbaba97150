"""Laws of receipts."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.receive.receipts import LENGTH, Receipts

NOW = dt.datetime(2026, 10, 25, 0, 59, 59, 999999, tzinfo=dt.UTC)
RECEIPTS = Receipts(b"a secret for tests")


def test_a_receipt_is_known_to_its_feed_and_to_every_process_with_the_secret():
    receipt = RECEIPTS.new("home", NOW)
    assert Receipts(b"a secret for tests").ours("home", receipt)
    assert not RECEIPTS.ours("hospital", receipt)
    assert not Receipts(b"another secret 16").ours("home", receipt)


@given(st.lists(st.integers(-5000, 5000), max_size=40))
def test_receipts_of_a_process_sort_as_they_were_made_whatever_the_clock_does(milliseconds: list[int]):
    receipts = Receipts(b"a secret for tests")
    made = [receipts.new("home", NOW + dt.timedelta(milliseconds=step)) for step in milliseconds]
    assert made == sorted(set(made))
    assert all(len(receipt) == LENGTH and receipt.isalnum() for receipt in made)


def test_receipts_sort_by_time_across_processes():
    earlier = Receipts(b"a secret for tests").new("home", NOW)
    later = Receipts(b"a secret for tests").new("home", NOW + dt.timedelta(milliseconds=1))
    assert earlier < later


@given(st.integers(0, LENGTH - 1), st.sampled_from("0123456789abcdefABCDEF"))
def test_a_receipt_with_one_other_character_is_nobodys(place: int, character: str):
    receipt = RECEIPTS.new("home", NOW)
    changed = receipt[:place] + character + receipt[place + 1 :]
    assert RECEIPTS.ours("home", changed) == (changed == receipt)


@given(st.text(max_size=60) | st.text("0123456789abcdef ", min_size=LENGTH, max_size=LENGTH))
def test_any_text_may_be_asked_about(text: str):
    assert not RECEIPTS.ours("home", text)


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        Receipts(b"short")
