"""Which books lead to the end of one, and how far each counts."""

from __future__ import annotations

import pytest

from gateway.store.order import Opening
from gateway.translate.repeat import Chapter, chapters


def test_a_book_comes_after_all_that_it_went_on_from_each_as_far_as_it_was_repeated():
    openings = {
        one.book: one
        for one in (Opening("a"), Opening("b", ("a", 7)), Opening("thrown-away", ("a", 9)), Opening("c", ("b", 3)))
    }
    assert chapters(openings, "c") == [Chapter("a", 7), Chapter("b", 3), Chapter("c")]
    assert chapters(openings, "a") == [Chapter("a")]
    assert chapters({}, "of a topic that was deleted") == [Chapter("of a topic that was deleted")]


def test_a_circle_of_books_is_a_bug_and_no_endless_loop():
    with pytest.raises(RuntimeError, match="after itself"):
        chapters({"a": Opening("a", ("b", 1)), "b": Opening("b", ("a", 1))}, "a")


@pytest.mark.parametrize("opening", [Opening("a"), Opening("b", ("a", 512))])
def test_an_opening_is_read_as_it_was_written(opening):
    assert Opening.unpacked(opening.packed()) == opening
