"""Every fault of the simulated portal with every strategy: harvest, then check the rows.

A cell is `exact` (the rows of the portal, all and once), `refused: MESSAGE` (no row changed, and why), or has a word in
capitals for an incorrect result: LOST, DOUBLED or CHANGED rows, an error that does not name the fault (UNNAMED),
CRASHED, or STUCK: the county cannot be harvested after an error.
"""

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from benchmarks.cells import EXACT, REFUSED, STRATEGIES, Cell, CellResult, Matrix
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.chaos import FAULTS, mixtures
from zoning_assets.storage.postgis import database as db

_SEED, _WIDTH = 2, 60


def measure(
    server: str, home: Path, say: Callable[[str], None], *, mixed: int = 0, strategies: Sequence[str] = STRATEGIES
) -> dict[str, Any]:
    """Harvest all cells of the matrix.

    Args:
        server: URL of a PostGIS whose user may create databases.
        home: a directory for temporary files.
        say: receives progress messages.
        mixed: the number of mixtures of faults, besides each fault alone.
        strategies: the strategies of the feed.
    """
    folder, started = home / "bench" / f"chaos-{os.getpid()}", time.monotonic()
    rows = [(name,) for name in FAULTS] + mixtures(_SEED, mixed)
    found: list[dict[str, Any]] = []
    try:
        with fresh_database(server) as empty, Pool() as pool, Matrix(empty, folder, pool) as matrix:
            for number, names in enumerate(rows):
                cells = [Cell(names, _SEED + number, each, published=number % 2 == 1) for each in strategies]
                verdicts = [matrix.verdict(cell) for cell in cells]
                found.append(_row(names, verdicts))
                say(f"{number + 1} of {len(rows)}: {found[-1]['faults']}: {' | '.join(v.word for v in verdicts)}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _document(found, time.monotonic() - started)


def _row(names: Sequence[str], verdicts: Sequence[CellResult]) -> dict[str, Any]:
    outcomes = {name: FAULTS[name].outcome for name in names}
    return {
        "faults": " + ".join(names),
        "outcomes": outcomes,
        "published_before": verdicts[0].cell.published,
        "seed": verdicts[0].cell.seed,
        "verdicts": {each.cell.strategy: each.what for each in verdicts},
        "applied": {each.cell.strategy: dict(each.applied) for each in verdicts},
        "requests": {each.cell.strategy: len(each.log) for each in verdicts},
    }


def _document(found: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    words = Counter(what.partition(":")[0] for row in found for what in row["verdicts"].values())
    bad = [
        f"{row['faults']}, {strategy}, seed {row['seed']}: {what}"
        for row in found
        for strategy, what in row["verdicts"].items()
        if not is_correct(what)
    ]
    return {
        "cells": sum(len(row["verdicts"]) for row in found),
        "exact": words[EXACT],
        "refused": words[REFUSED],
        "failed": bad,
        "seconds": round(seconds, 1),
        "matrix": found,
    }


def is_correct(what: str) -> bool:
    """Whether a result is one of the two correct ones, and the county is not stuck after it."""
    return what.startswith((EXACT, REFUSED)) and ", then " not in what


def table(found: dict[str, Any]) -> list[dict[str, str]]:
    """The matrix for people: a row for each fault, a column for each strategy."""
    return [
        {"fault": row["faults"], **{strategy: what[:_WIDTH] for strategy, what in row["verdicts"].items()}}
        for row in found["matrix"]
    ]


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """Create a database with the schema; yield its URL. It is dropped at the end."""
    name = f"bench_{os.getpid()}"
    url = urlsplit(server)._replace(path=f"/{name}").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        try:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            db.migrate(url)
            yield url
        finally:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
