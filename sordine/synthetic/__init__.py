"""Data sets whose truth is known: what an attacker can read at best is written down, not measured."""
