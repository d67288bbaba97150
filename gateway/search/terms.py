"""One parameter with its modifier and values → one term. The values are `values`', chains and `_has` are `keys`'.

A union of parameters (`combo-code`) or an alias (`phonetic`) is asked for as the parameters it is stored as. Source:
R4 search, modifiers; a modifier that is not supported is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from gateway.errors import Incorrect
from gateway.search import amounts, parameters, values
from gateway.search.indexed import reference, token
from gateway.search.parameters import Kind, Parameter, Parameters
from gateway.search.query import (
    AllTerm,
    AnyTerm,
    CompositeTerm,
    DateTerm,
    How,
    IdTerm,
    MissingTerm,
    NotTerm,
    NumberTerm,
    QuantityTerm,
    ReferenceTerm,
    StringTerm,
    Term,
    TextTerm,
    TokenTerm,
)
from gateway.search.references import type_of
from gateway.search.values import Context

VALUES_MAX: Final = 100
"""How many values one parameter may join by commas."""
CODES_MAX: Final = 2000
"""How many codes a value set or hierarchy may have to be searched by."""
SPECIAL_VALUES: Final = "http://terminology.hl7.org/CodeSystem/special-values"
_TRUTH: Final = frozenset({"boolean", "Truth"})
_BARE: Final = frozenset({"code", *_TRUTH})
"""Data types of tokens that are stored without a system."""
_HOW: Final = {"": How.STARTS, "contains": How.CONTAINS, "exact": How.EXACT}
_ALWAYS: Final = frozenset({"_id", "_lastUpdated"})


def read(known: Parameters, parameter: Parameter, modifier: str, value: str, context: Context) -> Term:
    """Return the term that `parameter:modifier=value` is, `value` being one or more joined by commas.

    `_id` gives an IdTerm, `_lastUpdated` a DateTerm. Raises Incorrect.
    """
    name = parameter.name
    if modifier == "missing":
        return _missing(known, parameter, value)
    given = values.split(value, ",")
    if len(given) > VALUES_MAX:
        raise Incorrect(f"{name} has more than {VALUES_MAX} values", at=name)
    if "" in given:
        raise Incorrect(f"{name} has an empty value between commas", at=name)
    if name in parameters.TEXTS and not modifier:
        return TextTerm(name, tuple(values.text(name, one) for one in given))
    if modifier == "text" and parameter.kind in {Kind.TOKEN, Kind.REFERENCE, Kind.STRING} and name != "_id":
        return TextTerm(name, tuple(values.text(name, one) for one in given))
    match parameter.kind:
        case Kind.TOKEN if name == "_id" and not modifier:
            ids = [one for one in map(values.plain, given) if values.ID.fullmatch(one)]
            return IdTerm(tuple(dict.fromkeys(ids)) or (values.NO_ID,))
        case Kind.TOKEN if name != "_id":
            return _token(parameter, modifier, given, context)
        case Kind.REFERENCE:
            return _reference(parameter, modifier, given, context)
        case Kind.STRING if modifier in _HOW and name not in parameters.TEXTS:
            return string(parameter, given, _HOW[modifier])
        case Kind.URI:
            return _uri(parameter, modifier, given)
        case Kind.COMPOSITE if not modifier:
            return _composite(known, parameter, given, context)
        case _ if not modifier:
            return _ordered(parameter, given, context)
        case _:
            raise unsupported(name, modifier)


def unsupported(name: str, modifier: str) -> Incorrect:
    """Return the refusal of a modifier."""
    return Incorrect(f"the modifier {values.shown(':' + modifier)} of {name} is not supported", at=name)


def _missing(known: Parameters, parameter: Parameter, value: str) -> Term:
    name = parameter.name
    if value not in {"true", "false"}:
        raise Incorrect(f"{name}:missing is true or false", at=name)
    missing = value == "true"
    if name in _ALWAYS:
        return IdTerm((values.NO_ID,)) if missing else NotTerm(IdTerm((values.NO_ID,)))
    if name in parameters.TEXTS:
        raise unsupported(name, "missing")
    if parameter.kind is not Kind.COMPOSITE:
        return MissingTerm(name, missing)
    # R4 requires the first component wherever an element of a composite stands: all components there, the composite is
    there = AllTerm(
        tuple(MissingTerm(part.name, missing=False) for part in parameter.components if known.get(part.name))
    )
    return NotTerm(there) if missing else there


def _ordered(parameter: Parameter, given: list[str], context: Context) -> Term:
    name = parameter.name
    match parameter.kind:
        case Kind.DATE:
            return DateTerm(name, tuple(values.date(name, one, context) for one in given))
        case Kind.NUMBER:
            asked = tuple(amounts.amount(values.plain(one), name) for one in given)
            return _any(NumberTerm(stored, asked) for stored in parameter.stored_as)
        case Kind.QUANTITY:
            asked = tuple(values.quantity(name, one) for one in given)
            return _any(QuantityTerm(stored, asked) for stored in parameter.stored_as)
        case Kind.SPECIAL:
            return _any(values.near(name, one) for one in given)
        case _:
            raise Incorrect(f"{name} is not supported", at=name)


def string(parameter: Parameter, given: list[str], how: How) -> Term:
    """Return the term of texts compared in one way."""
    name = parameter.name
    if how is How.EXACT:
        texts = tuple(_storable(name, values.plain(one)) for one in given)
    else:
        texts = tuple(values.text(name, _storable(name, one)) for one in given)
    return _any(StringTerm(stored, texts, how) for stored in parameter.stored_as)


def _storable(name: str, text: str) -> str:
    """Refuse what no database text holds."""
    if "\0" in text:
        raise Incorrect(f"{name} has a character that no text has", at=name)
    return text


def _any(terms: Iterable[Term]) -> Term:
    found = tuple(terms)
    return found[0] if len(found) == 1 else AnyTerm(found)


def _uri(parameter: Parameter, modifier: str, given: list[str]) -> Term:
    addresses = [_storable(parameter.name, values.plain(one)) for one in given]
    match modifier:
        case "below":
            return _any(StringTerm(stored, tuple(addresses), How.BELOW) for stored in parameter.stored_as)
        case "above":
            addresses = [prefix for address in addresses for prefix in _above(address)]
        case "":
            pass
        case _:
            raise unsupported(parameter.name, modifier)
    hashes = [token(stored, None, address) for address in addresses for stored in parameter.stored_as]
    return TokenTerm(parameter.name, tuple(dict.fromkeys(hashes)))


def _above(address: str) -> list[str]:
    """Return an address and those that it stands below: cut at its slashes, with and without the last one."""
    found, start = [address], address.find("://") + 3 if "://" in address else 0
    cut = address.rfind("/", start)
    while cut > start and len(found) < VALUES_MAX:
        found += [address[: cut + 1], address[:cut]]
        cut = address.rfind("/", start, cut)
    return found


def _reference(parameter: Parameter, modifier: str, given: list[str], context: Context) -> Term:
    """Return the term; its parameter is `patient` when nothing but patients can answer it."""
    if modifier == "identifier":
        own = f"{parameter.name}:identifier"
        return TokenTerm(parameter.name, tuple(token(own, *values.coded(own, one)) for one in given))
    if modifier and modifier not in parameters.types():
        raise unsupported(parameter.name, modifier)
    hashes: dict[int, str] = {}
    for one in given:
        for target in values.targets(parameter, modifier, values.plain(one), context):
            stored = parameter.kept_as(type_of(target))
            hashes[reference(stored, target)] = stored
    return ReferenceTerm("patient" if {*hashes.values()} == {"patient"} else parameter.name, tuple(hashes))


def _token(parameter: Parameter, modifier: str, given: list[str], context: Context) -> Term:
    name = parameter.name
    match modifier:
        case "":
            return tokens(parameter, [values.coded(name, one) for one in given])
        case "not":
            return NotTerm(tokens(parameter, [values.coded(name, one) for one in given]))
        case "in" | "not-in" | "above" | "below":
            found = known_codes(parameter, modifier.removeprefix("not-"), given, context)
            return NotTerm(tokens(parameter, found)) if modifier == "not-in" else tokens(parameter, found)
        case "of-type" if "Identifier" in parameter.types:
            typed = [values.of_type(name, one) for one in given]
            hashes = [
                token(f"{stored}:of-type", f"{system}|{code}", value)
                for system, code, value in typed
                for stored in parameter.stored_as
            ]
            return TokenTerm(name, tuple(hashes))
        case _:
            raise unsupported(name, modifier)


def known_codes(parameter: Parameter, how: str, given: list[str], context: Context) -> list[tuple[str | None, str]]:
    """Return the codes in value sets (`in`), or above or below codes, as the caller's terminology knows them."""
    name, lent = parameter.name, context.codes
    if lent is None:
        raise unsupported(name, how)
    found: dict[tuple[str | None, str], None] = {}
    for one in given:
        if how == "in":
            codes = lent.expand(values.plain(one))
        else:
            system, code = values.coded(name, one)
            system = system or parameter.system
            if not system or not code:
                raise Incorrect(f"{name}:{how} takes system|code", at=name)
            ask: Callable[[str, str], Iterable[tuple[str, str]]] = lent.above if how == "above" else lent.below
            codes = tuple(ask(system, code))
        found |= dict.fromkeys(codes)
        if len(found) > CODES_MAX:
            raise Incorrect(f"{name}:{how} asks for more than {CODES_MAX} codes", at=name)
    return list(found)


def tokens(parameter: Parameter, asked: Iterable[tuple[str | None, str]]) -> Term:
    """Return the term of (system, code)s, in the forms of `values.coded`; of none of them a term that finds nothing."""
    name, kinds = parameter.name, parameter.types
    implied = parameter.system or (SPECIAL_VALUES if kinds <= _TRUTH else "")
    hashes: dict[int, int] = {}
    wide: dict[int, None] = {}
    anything = False
    for system, code in asked:
        if code and kinds <= _TRUTH and code not in {"true", "false"}:
            raise Incorrect(f"{name} is true or false", at=name)
        if not code:
            anything = anything or (system == implied and kinds <= _BARE)
            wide |= dict.fromkeys(token(stored, system, "") for stored in parameter.stored_as)
            continue
        of = None if system and system == implied else system
        for stored in parameter.stored_as:
            hashes[token(stored, of, code)] = token(stored, None, code)
    terms: list[Term] = []
    if hashes:
        codes = tuple(hashes.values()) if "code" in parameter.stored_as else ()
        terms.append(TokenTerm(name, tuple(hashes), codes))
    if anything:
        terms.append(MissingTerm(name, missing=False))
    elif wide or not hashes:
        terms.append(TokenTerm(name, tuple(wide) or (token(name, "", ""),)))
    return _any(terms)


def _composite(known: Parameters, parameter: Parameter, given: list[str], context: Context) -> Term:
    name, rows = parameter.name, []
    for one in given:
        parts = values.split(one, "$")
        if len(parts) != len(parameter.components) or "" in parts:
            raise Incorrect(f"{name} takes {len(parameter.components)} values joined by $", at=name)
        row = []
        for component, part in zip(parameter.components, parts, strict=True):
            inner = known.get(component.name)
            assert inner is not None, f"{name} has a component that {known.type} does not"
            row.append(read(known, inner, "", part, context))
        rows.append(tuple(row))
    return CompositeTerm(name, tuple(rows))
