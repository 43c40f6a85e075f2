"""The worker processes: their pool, what they work on, and their tasks."""
