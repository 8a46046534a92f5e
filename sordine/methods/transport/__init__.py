"""The method `transport`."""
