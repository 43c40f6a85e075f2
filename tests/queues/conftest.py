"""Each kind of queue, with a broker for the session."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.queues import brokers


@pytest.fixture(scope="session")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The brokers that were started so far, by kind."""
    with ExitStack() as stack:
        yield Started(tmp_path_factory, stack)


class Started(dict[str, str]):
    """Starts a broker when its URL is asked for first."""

    def __init__(self, folders: pytest.TempPathFactory, stack: ExitStack) -> None:
        self._folders, self._stack = folders, stack

    def __missing__(self, kind: str) -> str:
        broker = self._stack.enter_context(brokers.STARTS[kind](self._folders.mktemp(kind)))
        return self.setdefault(kind, broker.url)


#: A hundred megabytes to fetch, and many seconds to start: not every day.
HEAVY = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("rabbitmq", "sqs")]


@pytest.fixture(params=["postgresql", "redis", *HEAVY])
def url(request: pytest.FixtureRequest, urls: dict[str, str]) -> str:
    """ZONING_QUEUE_URL, of each kind in turn."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("database"))
    return urls[request.param]
