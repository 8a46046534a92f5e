"""Attacks that try to infer an attribute from released records. One file an attack."""
