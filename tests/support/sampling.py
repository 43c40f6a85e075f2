"""How much an everyday run tries of what has many cases; `pytest --full` (as in `zoning test --all`) tries all of it.

A parametrized test with `@pytest.mark.sampled(n)` runs an n-th of its cases each day, another n-th the next day. In CI
it is always the same n-th, so that a change is judged by what was tried. Properties try a quarter of their examples.
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings

#: The number of the day. Workers of pytest-xdist get it from the process that starts them; set it to repeat a run.
_DAY = "TEST_DAY"
_PART = 4
_LEAST = 5
_EXAMPLES = 100


def configure(config: pytest.Config) -> None:
    """Load the profile of Hypothesis for this run, before a test module is imported.

    Properties are judged by their result, not by the load of the machine: pytest's timeout ends what hangs.
    In CI the examples are always the same, so that what lands is judged by what was tried; elsewhere they are new.
    """
    in_ci = bool(os.environ.get("CI"))
    os.environ.setdefault(_DAY, "0" if in_ci else str(datetime.now(UTC).toordinal()))
    full = config.getoption("full")
    settings.register_profile(
        "full" if full else "everyday",
        max_examples=_EXAMPLES if full else _EXAMPLES // _PART,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=in_ci,
        database=None if in_ci else settings.default.database,
    )
    settings.load_profile("full" if full else "everyday")


def examples(number: int) -> int:
    """How many of so many examples this run tries."""
    return max(_LEAST, number * settings.default.max_examples // _EXAMPLES)


def leave_for_other_days(items: Iterable[pytest.Item]) -> None:
    """Mark as slow the cases of sampled tests that are not of this day.

    `sampled(n)` counts the cases of a test in their order; `sampled(n, by="name")` counts the values of one parameter.
    At least one case of each test is of this day.
    """
    for cases in _cases_of_tests(items):
        for number, same in enumerate(cases):
            for item, every in same:
                if (number - int(os.environ[_DAY])) % min(every, len(cases)):
                    item.add_marker(pytest.mark.slow)


def _cases_of_tests(items: Iterable[pytest.Item]) -> list[list[list[tuple[pytest.Item, int]]]]:
    """By sampled test and case: its items, each with its n."""
    found: dict[str, dict[object, list[tuple[pytest.Item, int]]]] = {}
    for item in items:
        mark = item.get_closest_marker("sampled")
        if mark and isinstance(item, pytest.Function) and not item.get_closest_marker("slow"):
            case = item.callspec.params[mark.kwargs["by"]] if "by" in mark.kwargs else item.name
            cases = found.setdefault(item.nodeid.partition("[")[0], {})
            cases.setdefault(case, []).append((item, mark.args[0]))
    return [list(cases.values()) for cases in found.values()]
