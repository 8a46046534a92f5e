"""docs/results/unknown-task.md: suppression where the later task is not known, pooled over folds and keys."""
