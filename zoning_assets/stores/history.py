"""Reading the history. What a difference *means* (rezoned, split, renumbered, noise) is judged elsewhere, later."""

from dataclasses import dataclass

from zoning_assets.stores.database import connect
from zoning_assets.stores.queries import named


@dataclass(frozen=True)
class Difference:
    """How many rows differ in one way, and the ids of some."""

    kind: str
    rows: int
    examples: list[str]


def last_batch(url: str, jurisdiction: str) -> int:
    """The newest batch of a jurisdiction, 0 where there is none."""
    with connect(url) as connection:
        row = connection.execute(named("history")["last_batch"], {"jurisdiction": jurisdiction}).fetchone()
        return int(row[0]) if row else 0


def differences(url: str, jurisdiction: str, batch: int) -> list[Difference]:
    """What is different now from what it was after `batch`."""
    with connect(url) as connection:
        values = {"jurisdiction": jurisdiction, "batch": batch}
        return [Difference(*row) for row in connection.execute(named("history")["differences"], values)]
