"""Units of measure by UCUM: exact, canonical, and which amounts compare."""

import csv
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.search import amounts, units
from gateway.search.query import Measure, Prefix

CODES = [
    "mg", "g", "kg", "ug", "mmol/L", "umol/l", "mol/m3", "mm[Hg]", "kPa", "Pa", "cm[H2O]", "[degF]", "Cel", "K", "/min", "Hz", "{beats}/min", "min", "h", "wk",
    "a", "mo", "%", "mmol/mol", "1", "10*9/L", "10*3/uL", "/uL", "[IU]/L", "[iU]/mL", "U/L", "kat/L", "[in_i]", "cm", "[lb_av]", "kg/m2", "mL/min/{1.73_m2}",
    "L/(min.m2)", "[pH]", "dB", "eq/L", "deg", "rad", "cal/mL", "J/m3", "m/s", "[kn_i]", "ug/dL", "ng/mL", "mg/g", "[arb'U]/mL",
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "code", "to", "expected"),
    [
        ("5.4", "mg", "g", "0.0054"), ("98.6", "[degF]", "Cel", "37"), ("37", "Cel", "[degF]", "98.6"), ("37", "Cel", "K", "310.15"),
        ("120", "mm[Hg]", "kPa", "15.99864"), ("7", "d", "wk", "1"), ("48", "mmol/mol", "%", "4.8"), ("5", "10*9/L", "/uL", "5000"),
        ("1", "[in_i]", "cm", "2.54"), ("1", "[lb_av]", "g", "453.59237"), ("60", "/min", "Hz", "1"), ("1", "mo", "d", "30.4375"), ("1", "a", "d", "365.25"),
        ("5", "[IU]/mL", "k[IU]/L", "5"), ("1", "U", "nkat", None), ("60", "U", "ukat", "1"), ("1", "kcal", "J", "4184"), ("5", "mmol/L", "mol/m3", "5"),
        ("1", "mg/dL", "mmol/L", None), ("1", "[pH]", "mol/L", None), ("1", "[IU]", "[arb'U]", None), ("1", "g/dL", "g%", "1"), ("1", "By", "bit", "8"),
        ("1", "10*-3", "[ppth]", "1"), ("180", "deg", "rad", "3.14159265358979323846264338327950288419716939937510582097494"), ("2", "/[HPF]", "1", "2"),
        ("1", "{cells}/uL", "/uL", "1"), ("1", "mmHg", "mm[Hg]", None), ("100", "1/m", "[diop]", "100"), ("1", "L/min.m2", "m4/s", None), ("1", "[foz_us]", "mL", "29.5735295625"),
    ],
)  # fmt: skip
def test_conversions(value, code, to, expected):
    found = units.convert(Decimal(value), code, to)
    if expected is None and code == "U":
        assert found is not None
        assert abs(found - Decimal("16.6666666666666667")) < Decimal("1e-15")
    else:
        assert found == (None if expected is None else Decimal(expected))


def test_canonical_is_in_base_units():
    assert units.canonical(Decimal("5.40"), units.UCUM, "mg") == (Decimal("0.0054"), "g")
    assert units.canonical(Decimal(1), units.UCUM, "N") == (Decimal(1000), "g.m.s-2")
    assert units.canonical(Decimal(1), units.UCUM, "{score}") == (Decimal(1), "1")
    assert units.canonical(Decimal(1), "http://snomed.info/sct", "mg") is None


@pytest.mark.parametrize(
    "code",
    ["", " ", "mmHg", "mg ", "mg/", "/", "m//s", "(m", "m)", "()", "{", "}", "m{", "mcg", "x", "kmin", "kd", "Cel/h", "m.Cel", "/Cel", "Cel2", "m99", "m" * 101, "0", "0.5", "5m",
     "m-", "m^2", "[", "[x", "[]", "²", "µg", "(" * 50 + "m" + ")" * 50, "m40.m40", "10*99", "m2-", "k", "\0"],
)  # fmt: skip
def test_what_is_not_ucum_is_none(code):
    assert units.parse(code) is None
    assert units.convert(Decimal(1), code, "m") is None
    assert units.dimension(code) is None


def test_every_unit_of_the_table_is_well_defined_once():
    with units._FILE.open(encoding="utf-8") as lines:
        symbols = [row["symbol"] for row in csv.DictReader(line for line in lines if not line.startswith("#"))]
    assert len(symbols) == len(set(symbols))
    for symbol in symbols:
        assert units.parse(symbol) is not None, symbol
    prefixed = [
        prefix + symbol for prefix in units._PREFIXES for symbol in symbols if units._table()[symbol]["metric"] == "yes"
    ]
    assert not [code for code in prefixed if units.parse(code) is None]


@given(st.text(max_size=12) | st.text(alphabet="mgLskK10*./()[]{}-+%aHu'2", max_size=14))
def test_any_text_is_a_unit_or_none(code):
    unit = units.parse(code)
    assert unit is None or unit.factor > 0


DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9)


@given(DECIMALS, st.sampled_from(CODES), st.sampled_from(CODES))
def test_there_and_back_is_where_one_was(value, code, to):
    there = units.convert(value, code, to)
    assume(there is not None)
    back = units.convert(there, to, code)
    assert abs(back - value) <= Decimal("1e-40") * max(1, abs(value))
    assert units.dimension(code) == units.dimension(to)


@given(DECIMALS, DECIMALS, st.sampled_from(CODES), st.sampled_from(CODES))
def test_order_is_kept(one, two, code, to):
    assume(units.dimension(code) == units.dimension(to))
    assert (units.convert(one, code, to) < units.convert(two, code, to)) is (one < two)


@given(DECIMALS, st.sampled_from(CODES), st.sampled_from(CODES))
def test_canonical_forms_agree_across_units_of_a_dimension(value, code, to):
    there = units.convert(value, code, to)
    assume(there is not None)
    one, other = units.canonical(value, units.UCUM, code), units.canonical(there, units.UCUM, to)
    assert one[1] == other[1]
    assert abs(one[0] - other[0]) <= Decimal("1e-40") * max(1, abs(one[0]))


def asked(text, system=None, code=""):
    from dataclasses import replace

    return replace(amounts.amount(text, "x"), system=system, code=code)


def test_which_measures_an_amount_asks_for():
    measure = Measure("x", Decimal("0.0054"), Decimal("0.0054"), units.UCUM, "g", "gram")
    assert amounts.answers(asked("5.4", units.UCUM, "mg"), measure)
    assert amounts.answers(asked("0.0054"), measure)
    assert amounts.answers(asked("0.0054", "", "gram"), measure)
    assert amounts.answers(asked("0.0054", "", "g"), measure)
    assert not amounts.answers(asked("5.5", units.UCUM, "mg"), measure)
    assert not amounts.answers(asked("5.4", units.UCUM, "mL"), measure)
    assert not amounts.answers(asked("0.0054", "http://other", "g"), measure)
    assert not amounts.answers(asked("0.0054", "", "mg"), measure)


@pytest.mark.parametrize(
    ("prefix", "low", "high", "expected"),
    [
        (Prefix.EQ, 5, 5, True), (Prefix.EQ, "5.4", "5.4", True), (Prefix.EQ, "5.5", "5.5", False), (Prefix.EQ, "4.5", "4.5", True), (Prefix.EQ, None, 5, False),
        (Prefix.NE, 5, 5, False), (Prefix.NE, 6, 6, True), (Prefix.GT, 5, 5, False), (Prefix.GT, "5.1", "5.1", True), (Prefix.GT, 3, None, True),
        (Prefix.LT, 5, 5, False), (Prefix.LT, None, 9, True), (Prefix.LT, 4, 9, True), (Prefix.GE, 5, 5, True), (Prefix.GE, "4.9", "4.9", False),
        (Prefix.LE, 5, 5, True), (Prefix.LE, "5.1", "5.1", False), (Prefix.SA, 6, 7, True), (Prefix.SA, 4, 7, False), (Prefix.SA, None, 7, False),
        (Prefix.EB, 3, 4, True), (Prefix.EB, 3, 6, False), (Prefix.EB, 3, None, False), (Prefix.AP, "5.5", "5.5", True), (Prefix.AP, "5.6", "5.6", False),
        (Prefix.AP, None, 4, False), (Prefix.AP, None, 5, True),
    ],
)  # fmt: skip
def test_prefixes_of_amounts(prefix, low, high, expected):
    ends = [None if end is None else Decimal(end) for end in (low, high)]
    assert amounts.compare(amounts.amount(f"{prefix}5", "x"), *ends) is expected


@given(
    st.text(max_size=20)
    | st.from_regex(r"(eq|ap|ge)?[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
)
def test_any_text_is_an_amount_or_refused(text):
    from gateway.errors import Incorrect

    try:
        amount = amounts.amount(text, "x")
    except Incorrect:
        return
    assert amount.low <= amount.value <= amount.high
