"""The part of SQL that where clauses use. It is parsed by hand; nothing is evaluated as code.

    condition  :=  and ("OR" and)*                  and  :=  not ("AND" not)*
    not        :=  "NOT"* (comparison | "(" condition ")")
    comparison :=  operand (= | <> | != | < | <= | > | >=) operand | operand ["NOT"] "BETWEEN" literal "AND" literal
                 | operand ["NOT"] "IN" "(" literal ("," literal)* ")" | operand "IS" ["NOT"] "NULL"
    operand    :=  column | literal                 literal  :=  number | 'text' | ("DATE" | "TIMESTAMP") 'text'

Null is neither true nor false, as in SQL. Text comparison is case-sensitive; column names are not.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Literal = int | float | str

MOST_TEXT, MOST_DEPTH = 200_000, 40
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)|(?P<text>'(?:[^']|'')*')"""
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_.]*|"[^"]+")|(?P<mark><>|!=|<=|>=|[=<>(),]))""",
    re.ASCII,
)
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WORDS = frozenset({"AND", "OR", "NOT", "IN", "IS", "NULL", "BETWEEN", "DATE", "TIMESTAMP"})


class WhereError(ValueError):
    """The text is not a valid condition, or names an unknown column."""


@dataclass(frozen=True)
class Values:
    """A column or a literal: text or numbers, and where they are not null.

    Attributes:
        values: (rows,); () for a literal.
        known: where they are not null.
    """

    values: npt.NDArray[Any]
    known: Mask

    @property
    def is_text(self) -> bool:
        """Whether it is compared as text."""
        return self.values.dtype.kind == "U"

    @cached_property
    def ordered(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """The index of the column: its distinct values, sorted, and the position of each row's value among them."""
        distinct, places = np.unique(self.values, return_inverse=True)
        return distinct, places.ravel()

    def among(self, wanted: npt.NDArray[Any]) -> Mask:
        """The rows whose value is one of these, found with the index."""
        distinct, places = self.ordered
        at = np.minimum(np.searchsorted(distinct, wanted), max(0, len(distinct) - 1))
        found = np.zeros(len(distinct), dtype=bool)
        if len(distinct):
            found[at[distinct[at] == wanted]] = True
        return found[places]


@dataclass(frozen=True)
class Truths:
    """Where a condition is true and where it is false; elsewhere it is null."""

    true: Mask
    false: Mask

    def __and__(self, other: "Truths") -> "Truths":
        return Truths(self.true & other.true, self.false | other.false)

    def __or__(self, other: "Truths") -> "Truths":
        return Truths(self.true | other.true, self.false & other.false)

    def __invert__(self) -> "Truths":
        return Truths(self.false, self.true)


def rows_where(text: str, rows: int, column: Callable[[str], Values | None]) -> Mask:
    """The rows for which the condition is true.

    Args:
        text: the condition.
        rows: the number of rows.
        column: the values of a column by its name, in upper or lower case; None: there is no such column.

    Raises:
        WhereError: the text is invalid.
    """
    return _Reader(text, rows, column).read()


class _Reader:
    def __init__(self, text: str, rows: int, column: Callable[[str], Values | None]) -> None:
        self.tokens, self.rows, self.column = _tokens(text), rows, column
        self.at, self.depth = 0, 0

    def read(self) -> Mask:
        truths = self._or()
        if self.at < len(self.tokens):
            _refuse(f"unexpected {self._peek()[1]!r} after the condition")
        return truths.true

    def _peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "the end")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self.at += 1
        return token

    def _accept(self, *words: str) -> bool:
        """Whether these words or marks are next; if so, consume them."""
        here = [text for _, text in self.tokens[self.at : self.at + len(words)]]
        self.at += len(words) if here == list(words) else 0
        return here == list(words)

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            _refuse(f"{word!r} is expected instead of {self._peek()[1]!r}")

    def _or(self) -> Truths:
        found = self._and()
        while self._accept("OR"):
            found |= self._and()
        return found

    def _and(self) -> Truths:
        found = self._not()
        while self._accept("AND"):
            found &= self._not()
        return found

    def _not(self) -> Truths:
        negated = False
        while self._accept("NOT"):
            negated = not negated
        found = self._nested() if self._accept("(") else self._comparison()
        return ~found if negated else found

    def _nested(self) -> Truths:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            _refuse("too many parentheses")
        found = self._or()
        self._expect(")")
        self.depth -= 1
        return found

    def _comparison(self) -> Truths:
        left = self._operand()
        if self._accept("IS"):
            negated = self._accept("NOT")
            self._expect("NULL")
            null = self._broadcast(~left.known)
            return Truths(~null, null) if negated else Truths(null, ~null)
        negated = self._accept("NOT")
        if self._accept("BETWEEN"):
            found = self._between(left)
        elif self._accept("IN"):
            found = self._in(left)
        elif negated:
            _refuse("IN or BETWEEN is expected after NOT")
        else:
            return self._compared(left)
        return ~found if negated else found

    def _compared(self, left: Values) -> Truths:
        kind, mark = self._next()
        if kind != "mark" or mark not in _COMPARE:
            _refuse(f"a comparison is expected instead of {mark!r}")
        return self._truths(_COMPARE[mark], left, self._operand())

    def _between(self, left: Values) -> Truths:
        low = self._literal()
        self._expect("AND")
        return self._truths(operator.ge, left, low) & self._truths(operator.le, left, self._literal())

    def _in(self, left: Values) -> Truths:
        self._expect("(")
        wanted = [self._literal()]
        while self._accept(","):
            wanted.append(self._literal())
        self._expect(")")
        if any(each.is_text != left.is_text for each in wanted):
            _refuse("text and numbers cannot be compared")
        among = left.among(np.array([each.values for each in wanted]).ravel())
        return Truths(self._broadcast(among & left.known), self._broadcast(~among & left.known))

    def _truths(self, compare: Callable[[Any, Any], Any], left: Values, right: Values) -> Truths:
        if left.is_text != right.is_text:
            _refuse("text and numbers cannot be compared")
        known = left.known & right.known
        true = np.asarray(compare(left.values, right.values), dtype=bool)
        return Truths(self._broadcast(true & known), self._broadcast(~true & known))

    def _broadcast(self, mask: Any) -> Mask:
        return np.broadcast_to(mask, (self.rows,))

    def _operand(self) -> Values:
        kind, text = self._peek()
        if kind != "name":
            return self._literal()
        self.at += 1
        found = self.column(text.strip('"'))
        if found is None:
            _refuse(f"no column {text!r}")
        return found

    def _literal(self) -> Values:
        dated = self._accept("DATE") or self._accept("TIMESTAMP")
        kind, text = self._next()
        if kind == "text":
            plain = text[1:-1].replace("''", "'")
            return _constant(_epoch_ms(plain) if dated else plain)
        if kind != "number" or dated:
            _refuse(f"a value is expected instead of {text!r}")
        return _constant(float(text))


def _tokens(text: str) -> list[tuple[str, str]]:
    if len(text) > MOST_TEXT:
        _refuse("the condition is too long")
    tokens, at, text = [], 0, text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            _refuse(f"invalid text at {text[at : at + 20]!r}")
        kind, word = found.lastgroup, found[found.lastgroup]
        if kind == "name" and word.upper() in _WORDS:
            kind, word = "word", word.upper()
        tokens.append((kind, word))
        at = found.end()
    return tokens


def _constant(value: Literal) -> Values:
    return Values(np.array(value), np.array(True))


def _epoch_ms(text: str) -> float:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000
    except ValueError:
        _refuse(f"{text!r} is no date")


def _refuse(why: str) -> NoReturn:
    raise WhereError(why)
