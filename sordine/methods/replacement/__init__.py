"""The method `replacement`."""
