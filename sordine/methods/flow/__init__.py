"""The method `flow`."""
