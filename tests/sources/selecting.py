"""For tests of `where`: a portal that evaluates the clauses that it is sent, around one that knows none."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from aiohttp import web
from lxml import etree

from zoning_assets.simulation.portal.where_clause import Values, WhereError, rows_where

#: The values of a row by column.
Columns = Callable[[Any], dict[str, Any]]


class Selecting:
    """Answers of `fake` about the rows that meet the clause of a request.

    Attributes:
        fake: has its rows in the attribute `rows` names.
        columns: the values of one of these rows.
        parameters: the names of the parameters that may hold a clause.
        refusal: the answer to a clause that cannot be read.
        clauses: what was sent; None: a request without a clause.
    """

    def __init__(self, fake: Any, rows: str, columns: Columns, refusal: Callable[[str], web.Response]) -> None:
        self.fake, self.rows, self.columns, self.refusal = fake, rows, columns, refusal
        self.parameters = ("$where", "filter", "cql_filter", "where")
        self.clauses: list[str | None] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        sent = dict(request.query)
        clause = next((sent[name] for name in self.parameters if name in sent), None)
        self.clauses.append(clause)
        every = getattr(self.fake, self.rows)
        try:
            setattr(self.fake, self.rows, every if clause is None else self._selected(clause, every))
        except WhereError as error:
            return self.refusal(str(error))
        try:
            if request.path.endswith("/records"):  # of Opendatasoft
                return web.json_response({"total_count": len(getattr(self.fake, self.rows)), "results": []})
            return await self.fake(request)
        finally:
            setattr(self.fake, self.rows, every)

    def _selected(self, clause: str, every: Sequence[Any]) -> list[Any]:
        text = _sql(etree.fromstring(clause)[0]) if clause.startswith("<") else clause
        table = [self.columns(row) for row in every]

        def column(name: str) -> Values | None:
            if name not in table[0]:
                return None
            return Values(np.array([row[name] for row in table]), np.ones(len(table), dtype=bool))

        mask = rows_where(text, len(every), column)
        return [row for row, chosen in zip(every, mask, strict=True) if chosen]


def _sql(condition: Any) -> str:
    """The clause of a filter in XML with And, Not and comparisons of a column with a number."""
    name, parts = etree.QName(condition).localname, list(condition)
    if name == "And":
        return " AND ".join(f"({_sql(part)})" for part in parts)
    if name == "Not":
        return f"NOT ({_sql(parts[0])})"
    mark = {"PropertyIsLessThan": "<", "PropertyIsEqualTo": "="}[name]
    return f"{parts[0].text} {mark} {parts[1].text}"
