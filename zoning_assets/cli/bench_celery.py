"""`zoning bench celery`: runs of many counties by several workers of one machine."""

from typing import Annotated

import typer

from zoning_assets.cli import benchmarks, bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import SettingInvalid

_MOST_WORKERS = 16


def celery(
    workers: Annotated[str, typer.Option(help="Numbers of workers to compare, separated by commas.")] = "1,2,4",
    counties: Annotated[int, typer.Option(min=1, max=200, help="Number of counties.")] = 16,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Time Celery workers with many counties of one portal that answers after 300 ms, and count its requests."""
    numbers = _numbers(workers)
    measurement = benchmarks.load("celery")
    home = bootstrap.settings().home
    found = measurement.measure(benchmarks.server(), home, output.line, workers=numbers, counties=counties)
    budget, errors = found["budget"], list[str]()
    if not json:
        output.table(f"{counties} counties, answers after 300 ms", measurement.table(found))
        output.table("The budget of the portal", [budget])
    if found["reached"] is False:
        errors.append("4 workers are less than 3 times as fast as 1; repeat it on an idle machine")
    if not budget["kept"]:
        errors.append("the workers sent more requests than the budget of the portal allows")
    output.finish(found if json else None, errors)


def _numbers(text: str) -> list[int]:
    numbers = [int(each) for each in text.split(",") if each.isascii() and each.isdigit() and len(each) < len("100")]
    if len(numbers) != text.count(",") + 1 or not all(1 <= each <= _MOST_WORKERS for each in numbers):
        do = f"give numbers from 1 to {_MOST_WORKERS}, such as 1,2,4"
        raise SettingInvalid(f"{text[:40]!r} is not a list of numbers", where="--workers", do=do)
    return numbers
