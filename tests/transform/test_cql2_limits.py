"""Every text that may be parsed is parsed in a short time; what nests too deeply is refused, wherever it is hidden."""

import subprocess
import sys

import pytest

from zoning_assets.transform.cql2_limits import is_too_deep

_PARSES = """
import sys
from zoning_assets.api.cql2_filter import parsed
try:
    parsed(sys.argv[1], {"a", "b"})
except Exception as error:
    print(error.detail)
"""


@pytest.mark.parametrize(
    "text",
    [
        "(" * 30 + "a=1",
        "a=" + "(" * 30 + "1" + "]" * 30,
        "((a+1)*(" * 10 + "a=1",
        '"\'" = ' + "(" * 40 + "1 AND b = '",
        "a = 'x'' AND " + "(" * 40 + "a = 1",
        'a = "' + "(" * 40,
        "(a=1) AND " * 10 + "(" * 12 + "a=",
        ")" * 20 + "(" * 30,
        # nothing is hidden, and the text is as long as the API allows
        "(" * 8 + " AND ".join(["a=1"] * 440),
    ],
)
def test_a_filter_that_is_not_valid_is_refused_in_a_short_time(text: str) -> None:
    """In a process of its own: without the limits it does not end, and a thread cannot be ended."""
    command = [sys.executable, "-c", _PARSES, text]
    found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert "filter" in found.stdout


@pytest.mark.parametrize(
    "text",
    [
        "(((((((a = 1 AND b = 2) AND a = 3) AND b = 4) AND a = 5) AND b = 6) AND a = 7) AND b = 8)",
        "a = '((((((((((((' AND b IN ('it''s ((((((((((', 'x')",
        '"a" = 1 OR "b" = \'"((((((((((((\'',
        "(S_INTERSECTS(geom, GEOMETRYCOLLECTION(MULTIPOLYGON(((0 0, 1 0, 1 1, 0 0))))))",
    ],
)
def test_usual_filters_are_allowed(text: str) -> None:
    assert not is_too_deep(text)
