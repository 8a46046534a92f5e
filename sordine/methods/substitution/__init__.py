"""The method `substitution`."""
