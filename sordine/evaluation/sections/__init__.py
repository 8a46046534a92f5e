"""Sections of the report. One file a section."""
