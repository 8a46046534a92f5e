"""docs/results/unknown-task.md and named-task.md: the standard audit of every method, with and without a named task."""
