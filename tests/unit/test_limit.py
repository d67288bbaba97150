"""The rejection limit: full window only, what a feed does not take is left out, one window at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Feed, Reason, RejectionCode
from gateway.translate.limit import RejectionLimit

BAD = [Reason(RejectionCode.MALFORMED, "", "")]
FOREIGN = [Reason(RejectionCode.UNSUPPORTED_TYPE, "MSH-9", "")]


def limit(window: int = 20, share: float = 0.5) -> RejectionLimit:
    return RejectionLimit(Feed("f", "x", rejection_window=window, rejection_share_max=share))


def test_a_feed_is_not_stopped_before_its_window_is_full() -> None:
    watched = limit()
    for _ in range(19):
        watched.note(BAD, rejected=True)
    assert not watched.reached()
    watched.note(BAD, rejected=True)
    assert watched.reached()


def test_message_types_that_a_feed_does_not_take_never_stop_it() -> None:
    watched = limit()
    for _ in range(1000):
        watched.note(FOREIGN, rejected=True)
    assert not watched.reached()
    assert watched.rejected == 0


@given(st.lists(st.booleans(), max_size=120))
def test_it_counts_exactly_the_last_window(outcomes: list[bool]) -> None:
    watched = limit()
    for rejected in outcomes:
        watched.note(BAD if rejected else [], rejected=rejected)
    last = outcomes[-20:]
    assert watched.rejected == sum(last)
    assert watched.reached() == (len(last) == 20 and sum(last) > 10)
