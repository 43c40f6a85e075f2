"""Which tests a worker of pytest-xdist runs together.

Marks of `xdist_group` do nothing: pytest-xdist 3.8 writes the group into a private attribute that pytest 9.2 does not
read.
"""

from xdist.scheduler import LoadScopeScheduling

#: Modules whose tests share something costly: one worker runs all tests of such a module, before it runs single ones.
TOGETHER = frozenset(
    f"tests/{name}.py"
    for name in (
        "cli/test_seen",
        "cli/test_unchanged_county",
        "local_postgres/test_provider",
        "local_postgres/test_logins",
        "ordinances/test_ordinance_extract",
        "simulation/test_county",
        "simulation/test_town",
        "storage/postgis/test_plans",
        "integration/test_chaos",
        "defs/test_dagster",
        "pipeline/test_change_detection",
        "integration/test_kill",
        "integration/test_real_data",
        "operations/test_remove_jurisdiction",
        "operations/test_history_rollback",
        "pipeline/test_release_gate",
        "pipeline/test_unchanged_check",
        "operations/test_integrity_check",
    )
)


class ByModule(LoadScopeScheduling):
    """Modules of TOGETHER whole, other tests one by one, each to the worker that has nothing to do."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if module in TOGETHER else nodeid
