"""The simulated county and its releases."""
