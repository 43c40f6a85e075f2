"""The registry of feed types: modules that are imported by name keep the protocol."""

import inspect

import pytest

from zoning_assets.sources import FEED_TYPES, FeedTypeModule, feed_type


@pytest.mark.parametrize("name", FEED_TYPES)
@pytest.mark.parametrize("function", ["open_source", "probe"])
def test_a_feed_type_is_a_module_with_two_functions(name: str, function: str) -> None:
    """Each takes what the protocol says; mypy does not see modules that are imported by name."""
    found, wanted = getattr(feed_type(name), function), getattr(FeedTypeModule, function)
    assert inspect.iscoroutinefunction(found)
    _, *expected = inspect.signature(wanted).parameters
    assert list(inspect.signature(found).parameters) == expected
