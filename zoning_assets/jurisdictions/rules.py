"""The rules for values in a jurisdiction file.

A rule has two methods. `read` validates a TOML value and returns it in the type of the model, or raises ValueError with
the reason. `schema` returns the same rule as JSON Schema.
"""

import difflib
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from zoning_assets.schedules import time_windows


class Rule(Protocol):
    """The rule for the value of a key."""

    def read(self, value: Any) -> Any:
        """Return the value in the type of the model.

        Raises:
            ValueError: the value is invalid; the message is the reason.
        """

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON Schema."""


@dataclass(frozen=True)
class TextRule:
    """Text that is not empty. `check` raises ValueError if the text is invalid."""

    check: Callable[[str], object] = str

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError("must be text that is not empty")
        self.check(value)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"\S"}


@dataclass(frozen=True)
class TextListRule:
    """A list of non-empty texts."""

    def read(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
            raise ValueError("must be a list of texts that are not empty")
        return tuple(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": TextRule().schema()}


@dataclass(frozen=True)
class ChoiceRule:
    """One of these texts."""

    choices: Sequence[str]

    def read(self, value: Any) -> str:
        if value not in self.choices:
            raise ValueError(f"{value!r} is not one of: {', '.join(self.choices)}{nearest(value, self.choices)}")
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.choices)}


@dataclass(frozen=True)
class IntegerRule:
    """A whole number within limits."""

    least: int
    most: int
    also: str = ""  # what else is valid, for the message

    def read(self, value: Any) -> int:
        if type(value) is not int or not self.least <= value <= self.most:
            raise ValueError(f"must be {self.also}a whole number from {self.least} to {self.most}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class NumberRule:
    """A number within limits. `words`: the message if it is invalid."""

    least: float
    most: float
    words: str
    above: bool = False  # the lower limit itself is invalid

    def read(self, value: Any) -> float:
        number = type(value) in (int, float) and self.least <= value <= self.most and value < math.inf
        if not number or (self.above and value == self.least):
            raise ValueError(self.words)
        return float(value)

    def schema(self) -> dict[str, Any]:
        most = {} if self.most == math.inf else {"maximum": self.most}
        return {"type": "number", "exclusiveMinimum" if self.above else "minimum": self.least, **most}


@dataclass(frozen=True)
class ResolutionRule:
    """An H3 resolution, or "auto" (None)."""

    number: IntegerRule = IntegerRule(0, 10, also='"auto" or ')

    def read(self, value: Any) -> int | None:
        return None if value == "auto" else self.number.read(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": ["auto"]}, self.number.schema()]}


@dataclass(frozen=True)
class BoundsRule:
    """A bounding box: west, south, east, north in degrees, EPSG:4326."""

    def read(self, value: Any) -> tuple[float, ...]:
        numbers = isinstance(value, list) and len(value) == 4 and all(type(each) in (int, float) for each in value)
        if not numbers or not (-180 <= value[0] < value[2] <= 180 and -90 <= value[1] < value[3] <= 90):
            raise ValueError("must be [west, south, east, north] in degrees, west below east, south below north")
        return tuple(map(float, value))

    def schema(self) -> dict[str, Any]:
        number = {"type": "number", "minimum": -180, "maximum": 180}
        return {"type": "array", "items": number, "minItems": 4, "maxItems": 4}


@dataclass(frozen=True)
class TimeWindowsRule:
    """A list of weekly time windows; see time_windows.py."""

    def read(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValueError('must be a list of texts like "Sun 02:00-06:00 America/New_York"')  # noqa: TRY004
        for window in value:
            time_windows.parse(window if isinstance(window, str) else repr(window))
        return tuple(value)

    def schema(self) -> dict[str, Any]:
        return TextListRule().schema()


@dataclass(frozen=True)
class TableRule:
    """A table. Its keys have rules of their own."""

    not_empty: bool = False

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or (self.not_empty and not value):
            raise ValueError(f"must be a table{' that is not empty' if self.not_empty else ''}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "object", **({"minProperties": 1} if self.not_empty else {})}


def nearest(given: object, choices: Collection[str]) -> str:
    """Return a hint at the choice that was probably meant; empty if no choice is similar."""
    near = difflib.get_close_matches(str(given), choices, 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
