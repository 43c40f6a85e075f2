"""The profile of a release, what is measured of it, and the checks that it must pass."""
