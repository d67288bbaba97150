"""FHIR dates as intervals: precision, zones, daylight saving, and how two intervals compare."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.search import times
from gateway.search.query import Prefix

UTC = dt.UTC


def at(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026", at(2025, 12, 31, 23), at(2026, 12, 31, 23)),
        ("2026-07", at(2026, 6, 30, 22), at(2026, 7, 31, 22)),
        ("2026-12", at(2026, 11, 30, 23), at(2026, 12, 31, 23)),
        ("2026-11-22", at(2026, 11, 21, 23), at(2026, 11, 22, 23)),
        ("2026-03-29", at(2026, 3, 28, 23), at(2026, 3, 29, 22)),  # 23 hours: the clocks go forward
        ("2026-10-25", at(2026, 10, 24, 22), at(2026, 10, 25, 23)),  # 25 hours
        ("2026-11-22T09:00Z", at(2026, 11, 22, 9), at(2026, 11, 22, 9, 1)),
        ("2026-11-22T09:00:00Z", at(2026, 11, 22, 9), at(2026, 11, 22, 9, 0, 1)),
        ("2026-11-22T09:00:00+01:00", at(2026, 11, 22, 8), at(2026, 11, 22, 8, 0, 1)),
        ("2026-11-22T09:00:00", at(2026, 11, 22, 8), at(2026, 11, 22, 8, 0, 1)),  # no zone: Danish
        ("2026-11-22T09:00:00.5Z", at(2026, 11, 22, 9, 0, 0, 500000), at(2026, 11, 22, 9, 0, 0, 600000)),
        ("2026-11-22T09:00:00.123Z", at(2026, 11, 22, 9, 0, 0, 123000), at(2026, 11, 22, 9, 0, 0, 124000)),
        ("2026-11-22T09:00:00.123456789Z", at(2026, 11, 22, 9, 0, 0, 123456), at(2026, 11, 22, 9, 0, 0, 123457)),
        ("2016-12-31T23:59:60Z", at(2016, 12, 31, 23, 59, 59), at(2017, 1, 1)),
        ("9999", at(9998, 12, 31, 23), times.OPEN_HIGH),
        ("9999-12-31", at(9999, 12, 30, 23), times.OPEN_HIGH),
        ("0001", times.OPEN_LOW, at(1, 12, 31, 23, 9, 39)),
    ],
)
def test_a_date_covers_what_its_precision_says(text, low, high):
    found = times.interval(text)
    if text == "0001":  # local mean time before 1890; the exact second is not the point
        assert found[0] == low
        assert abs(found[1] - high) < dt.timedelta(hours=2)
    else:
        assert found == (low, high)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "26",
        "2026-13",
        "2026-00",
        "2026-02-30",
        "2026-11-22T",
        "2026-11-22T25:00:00Z",
        "2026-11-22T09",
        "2026-11-22 09:00:00Z",
        "2026-11-22T09:00:00+15:00",
        "2026-11-22T09:00:61Z",
        "20261122",
        "2026-W47-7",
        "2026-11-22T09:00:00,5Z",
        "٢٠٢٦",
        "2026-11-22T090000Z",
        "2026-11-22T09:00:00Z ",
        "2026-11-22T09:00:00+01",
        "2026-11-22T09:00:00+0100",
        "2026-11-22T09:00:00.Z",
        "2026-11-22T09:00:00-00:00:01",
        "x" * 500,
    ],
)
def test_what_is_no_fhir_date_is_refused(text):
    with pytest.raises(ValueError):
        times.interval(text)


@given(st.text(max_size=40))
def test_any_text_gives_an_interval_or_a_value_error(text):
    try:
        low, high = times.interval(text)
    except ValueError:
        return
    assert low <= high
    assert low.tzinfo is UTC


@given(
    st.integers(-2_000_000_000, 4_000_000_000).map(lambda seconds: dt.datetime.fromtimestamp(seconds, UTC)),
    st.sampled_from(["Z", "+01:00", "-05:30", "+14:00"]),
)
def test_a_time_lies_within_its_own_day_month_and_year_in_denmark(moment, zone):
    text = f"{moment:%Y-%m-%dT%H:%M:%S}{zone}"
    low, high = times.interval(text)
    assert high - low == dt.timedelta(seconds=1)
    day = low.astimezone(times.ZONE)
    for wider in (f"{day:%Y-%m-%d}", f"{day:%Y-%m}", f"{day:%Y}"):
        assert times.compare(Prefix.EQ, (low, high), times.interval(wider))


def test_periods_and_timings_have_outer_limits():
    assert times.period({"start": "2026-11-22T09:00:00Z"}) == (at(2026, 11, 22, 9), times.OPEN_HIGH)
    assert times.period({"end": "2026-11-22T09:00:00Z"}) == (times.OPEN_LOW, at(2026, 11, 22, 9, 0, 1))
    assert times.period({"id": "x"}) is None
    assert times.timing({"event": ["2026-11-22T09:00:00Z", "2026-11-20T09:00:00Z"]}) == (
        at(2026, 11, 20, 9),
        at(2026, 11, 22, 9, 0, 1),
    )
    assert times.timing({"code": {}}) is None
    assert times.timing({"repeat": {"boundsPeriod": {"start": "2026-11-22T09:00:00Z"}}}) == (
        at(2026, 11, 22, 9),
        times.OPEN_HIGH,
    )


day = times.interval("2026-11-22")
morning = times.interval("2026-11-22T09:00:00Z")
month = times.interval("2026-11")
later = times.interval("2026-11-25")


@pytest.mark.parametrize(
    ("prefix", "value", "asked", "expected"),
    [
        (Prefix.EQ, morning, day, True), (Prefix.EQ, day, morning, False), (Prefix.EQ, day, day, True),
        (Prefix.NE, morning, day, False), (Prefix.NE, day, morning, True),
        (Prefix.GT, later, day, True), (Prefix.GT, morning, day, False), (Prefix.GT, month, day, True),
        (Prefix.LT, day, later, True), (Prefix.LT, month, day, True), (Prefix.LT, morning, day, False),
        (Prefix.GE, morning, day, True), (Prefix.GE, day, later, False), (Prefix.GE, later, day, True),
        (Prefix.LE, morning, day, True), (Prefix.LE, later, day, False),
        (Prefix.SA, later, day, True), (Prefix.SA, month, day, False), (Prefix.SA, morning, day, False),
        (Prefix.EB, day, later, True), (Prefix.EB, month, later, False),
        (Prefix.AP, morning, day, True), (Prefix.AP, later, day, False),
    ],
)  # fmt: skip
def test_prefixes_compare_as_r4_says(prefix, value, asked, expected):
    assert times.compare(prefix, value, asked) is expected


def test_ap_reaches_a_tenth_of_the_way_to_now():
    low, high = at(2026, 1, 1), at(2026, 1, 2)
    assert times.approximately(low, high, at(2026, 1, 12)) == (at(2025, 12, 31), at(2026, 1, 3))
    assert times.approximately(low, high, at(2026, 1, 1, 12)) == (low, high)


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59.999-14:00", "0001-01-01T00:00:00.001+14:00", "9999-12-31T23:59-14:00"]
)
def test_a_moment_beyond_the_calendar_of_utc_is_its_end(text):
    low, high = times.interval(text)
    assert times.OPEN_LOW <= low <= high <= times.OPEN_HIGH


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+14:00", "9999-12-31"]
)
def test_an_interval_is_never_empty(text):
    low, high = times.interval(text)
    assert low < high
