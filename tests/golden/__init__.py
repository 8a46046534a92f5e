"""Golden values: what every method releases, what an audit reports and what a key draws, recorded once.

`python -m tests.golden` compares; `python -m tests.golden --write` records the values anew.
"""
