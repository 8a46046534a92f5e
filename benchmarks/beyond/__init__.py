"""docs/results/beyond.md: attackers that the audit does not include, and planted leaks."""
