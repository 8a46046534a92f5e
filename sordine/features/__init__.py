"""Extractors: from a media folder or a raw table to a table of vectors or pictures. One file an extractor."""
