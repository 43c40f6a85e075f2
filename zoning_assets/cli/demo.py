"""demo (being written)."""


def demo() -> None:
    """All set-up, then the main job on the simulated county, twice, with changes between."""
