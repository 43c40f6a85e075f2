"""A task with its seconds. Worker processes import this; nothing else may come with it."""

from collections.abc import Callable
from typing import Any


def timed(clock: Callable[[], float], task: Callable[..., Any], *args: Any, **named: Any) -> tuple[Any, float]:
    """A task's result, and its seconds."""
    started = clock()
    return task(*args, **named), clock() - started
