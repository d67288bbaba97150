"""The one door for JSON: exact both ways, strict, and never an exception without a name."""

from __future__ import annotations

import contextlib
import decimal
import json as standard
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Incorrect
from gateway.formats import json

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
DECIMALS = st.builds(
    lambda sign, digits, exponent: Decimal((sign, tuple(digits), exponent)),
    st.integers(0, 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=20).filter(lambda digits: len(digits) == 1 or digits[0] != 0),
    st.integers(-220, -1) | st.integers(1, 220),
)


def trees(leaves):
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=25,
    )


PLAIN = st.none() | st.booleans() | st.integers(-(10**50) + 1, 10**50 - 1) | NAMES


def same(left, right):
    """Equal in type, order and digits, not only in value (Decimal("1.2") == Decimal("1.20"))."""
    return repr(left) == repr(right)


@given(trees(PLAIN | DECIMALS))
def test_what_was_written_reads_back_the_same_to_the_last_digit(value):
    assert same(json.loads(json.dumps(value)), value)


@given(trees(PLAIN), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_spacing_and_escapes_do_not_change_what_is_read(value, indent, ascii_only):
    text = standard.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert same(json.loads(text), value)


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_input_is_read_or_refused_by_name(data):
    with contextlib.suppress(Incorrect):
        json.loads(data)


@given(st.text(st.sampled_from('{}[]",:\\u0129dD8ceE.+- ntf"'), max_size=80))
def test_json_like_input_reads_as_the_standard_library_reads_it_or_is_refused(text):
    try:
        read = json.loads(text)
    except Incorrect:
        return
    assert read == standard.loads(text, parse_float=Decimal)


@pytest.mark.parametrize(
    "number",
    ["1.20", "0.0000001", "-0.0", "1E+2", "100.00", "0", "-0.50", "120", "12345678901234567890.123", "1.00E-245"],
)
def test_a_number_keeps_its_text(number):
    assert json.dumps(json.loads(number)) == number.encode()


@pytest.mark.parametrize(("text", "value"), [("1e2", Decimal("1E+2")), ("1.5e-3", Decimal("0.0015")), ("7", 7)])
def test_a_fraction_or_an_exponent_makes_a_decimal(text, value):
    assert same(json.loads(text), value)


@pytest.mark.parametrize(
    ("text", "what", "at"),
    [
        ('{"a":1,"a":1}', "occurs twice", "a"),
        ('{"entry":[{"id":"x"},{"resource":{"id":"1","status":"a","id":"2"}}]}', "occurs twice", "entry[1].resource.id"),
        ('{"2512489996":{"x":1,"x":2}}', "occurs twice", "?.x"),
        ('{"a": NaN}', "NaN", "a"),
        ("[1, -Infinity]", "NaN", "[1]"),
        ('{"value": {"value": %s}}' % ("1" * 51), "50 digits", "value.value"),
        ('{"value": 0.%s}' % ("1" * 50), "50 digits", "value"),
        ('{"value": 1e400}', "other readers", "value"),
        ('{"value": 1e-400}', "other readers", "value"),
        ('{"value": 1e%s}' % ("9" * 30), "other readers", "value"),
        ('{"value": 1e%s}' % ("9" * 5000), "other readers", "value"),
        ('{"value": %s}' % ("9" * 5000), "50 digits", "value"),
        ('{"a":["x","\\ud800"]}', "lone surrogate", "a[1]"),
        ('{"a":"\\udc00\\ud800"}', "lone surrogate", "a"),
        ('{"b":{"\\ud800":1}}', "lone surrogate", "b.?"),
        ("[" * 65 + "]" * 65, "deeper than 64", "[0]" * 64),
        ('{"a":' * 65 + "1" + "}" * 65, "deeper than 64", ".".join("a" * 64)),
        ("[" * 100_000, "deeper than 64", "[0]" * 64),
        ('{"a"', "not JSON", "line 1 column 5"),
        ("", "not JSON", "line 1 column 1"),
        ('{"a":1}x', "extra data", "line 1 column 8"),
        ('"a\nb"', "control character", "line 1 column 3"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_and_where(text, what, at):
    with pytest.raises(Incorrect) as refusal:
        json.loads(text)
    assert what in refusal.value.text
    assert refusal.value.at == at
    assert "2512489996" not in refusal.value.text


@pytest.mark.parametrize("data", [b'"\xff"', b'"\xed\xa0\x80"', '"\ud800"', '{"a": 1}'.encode("utf-16")])
def test_what_is_not_utf8_is_refused(data):
    with pytest.raises(Incorrect):
        json.loads(data)


def test_brackets_in_strings_are_not_depth():
    text = standard.dumps({"a": '[[{"' * 100, "b": ["]" * 50, '\\"[', "{"] * 30, "c": [[]]})
    assert json.loads(text, depth_max=2 + 1) == standard.loads(text)


def test_the_deepest_allowed_nesting_is_read():
    assert json.loads("[" * 64 + "]" * 64)
    with pytest.raises(Incorrect):
        json.loads("[" * 64 + "]" * 64, depth_max=63)


def test_a_surrogate_pair_and_an_escaped_backslash_are_characters():
    assert json.loads('["\\ud83d\\ude00", "\\\\ud800"]') == ["😀", "\\ud800"]


def test_a_byte_order_mark_is_passed_over():
    assert json.loads(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


def test_the_caller_s_decimal_context_does_not_change_a_number():
    with decimal.localcontext(decimal.Context(prec=3)):
        assert json.dumps(json.loads("1.23456")) == b"1.23456"


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), {1: 2}, "\ud800", object(), {"a": {1, 2}}])
def test_what_json_cannot_hold_is_not_written(value):
    with pytest.raises(TypeError):
        json.dumps({"a": value} if not isinstance(value, dict) else value)
