"""The method `inversion`."""
