"""The method `mass`."""
