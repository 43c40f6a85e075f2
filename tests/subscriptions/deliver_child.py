"""A deliverer as a process of its own, for tests that kill it."""

import asyncio
import sys
from pathlib import Path

from zoning_assets.settings import Settings
from zoning_assets.subscriptions import delivery
from zoning_assets.subscriptions.delivery import RetryPolicy


def main() -> None:
    url, folder = sys.argv[1:]
    policy = RetryPolicy(attempts=50, first_s=0.01, longest_s=0.2, timeout_s=1.0)
    work = delivery.deliver(url, Settings(Path(folder), "", Path(folder)), is_forced=True, seconds=600, policy=policy)
    results = asyncio.run(work)
    sys.exit(any(each.error or each.dead or each.skipped for each in results))


if __name__ == "__main__":
    main()
