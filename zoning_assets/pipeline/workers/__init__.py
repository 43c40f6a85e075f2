"""The worker processes: the pool, the work items and the tasks."""
