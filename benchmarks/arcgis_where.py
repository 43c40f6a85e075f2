"""The `where` parameter of the benchmark's ArcGIS server: comparisons of columns and literals, AND, OR and brackets."""

import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Mask = npt.NDArray[np.bool_]

_TOKEN = re.compile(r"\s*(<=|>=|<>|[()=<>,]|'(?:[^']|'')*'|[A-Za-z_]\w*|-?\d+(?:\.\d+)?)")
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip


def rows_where(text: str, rows: pd.DataFrame) -> Mask:
    """The rows that fulfil the condition.

    Raises:
        ValueError: the condition is invalid.
    """
    parser = _Parser(_tokens(text), rows)
    found = parser.disjunction()
    if parser.tokens:
        message = f"unexpected {parser.tokens[0]!r}"
        raise ValueError(message)
    return found


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            message = f"unexpected {text[at:][:20]!r}"
            raise ValueError(message)
        found.append(match[1])
        at = match.end()
    return found


class _Parser:
    """A recursive descent parser; each rule returns its mask."""

    def __init__(self, tokens: list[str], rows: pd.DataFrame) -> None:
        self.tokens, self.rows = tokens, rows
        self._columns = {str(name).upper(): str(name) for name in rows.columns}

    def disjunction(self) -> Mask:
        found = self._conjunction()
        while self._accept("OR"):
            found = found | self._conjunction()
        return found

    def _conjunction(self) -> Mask:
        found = self._condition()
        while self._accept("AND"):
            found = found & self._condition()
        return found

    def _condition(self) -> Mask:
        if self._accept("("):
            found = self.disjunction()
            self._expect(")")
            return found
        if not self.tokens or self.tokens[0].upper() not in self._columns:
            return self._of_literals()
        values = self.rows[self._columns[self._take().upper()]].to_numpy()
        return self._of_column(values)

    def _of_literals(self) -> Mask:
        left, compare, right = self._literal(), self._comparison(), self._literal()
        return np.full(len(self.rows), bool(compare(left, right)))

    def _of_column(self, values: npt.NDArray[Any]) -> Mask:
        if self._accept("BETWEEN"):
            low = self._literal()
            self._expect("AND")
            return np.asarray((values >= low) & (values <= self._literal()), dtype=bool)
        if self._accept("IN"):
            return np.isin(values, self._list())
        if self._accept("IS"):
            is_not = self._accept("NOT")
            self._expect("NULL")
            return np.full(len(values), is_not)  # no value is null
        compare = self._comparison()
        if self.tokens and self.tokens[0].upper() in self._columns:
            return np.asarray(compare(values, self.rows[self._columns[self._take().upper()]].to_numpy()), dtype=bool)
        return np.asarray(compare(values, self._literal()), dtype=bool)

    def _list(self) -> list[Any]:
        self._expect("(")
        found = [self._literal()]
        while self._accept(","):
            found.append(self._literal())
        self._expect(")")
        return found

    def _comparison(self) -> Callable[[Any, Any], Any]:
        token = self._take()
        if token not in _COMPARE:
            message = f"no comparison: {token!r}"
            raise ValueError(message)
        return _COMPARE[token]

    def _literal(self) -> Any:
        """A number, a text, or a timestamp in UTC as epoch milliseconds."""
        if self._accept("TIMESTAMP") or self._accept("DATE"):
            moment = datetime.fromisoformat(self._take().strip("'")).replace(tzinfo=UTC)
            return round(moment.timestamp() * 1000)
        token = self._take()
        return token[1:-1].replace("''", "'") if token.startswith("'") else float(token) if "." in token else int(token)

    def _take(self) -> str:
        if not self.tokens:
            message = "unexpected end"
            raise ValueError(message)
        return self.tokens.pop(0)

    def _accept(self, token: str) -> bool:
        if self.tokens and self.tokens[0].upper() == token:
            self.tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            message = f"{token} is missing"
            raise ValueError(message)
