"""The simulated portal."""
