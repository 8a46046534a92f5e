"""Attacks that try to recover the original record."""
