"""The method `masking`."""
