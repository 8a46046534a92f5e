"""A small table whose truth is known: Gaussian clusters, one axis group an attribute."""

from __future__ import annotations

import numpy as np

from sordine.table import Table


def clusters(
    n: int = 600, *, people: int = 4, words: int = 3, width: int = 12, gap: float = 4.0, seed: int = 0
) -> Table:
    """`person` (decides `sex`) moves the first axes, `word` the last; both are read almost perfectly from x."""
    rng = np.random.default_rng(seed)
    person, word = rng.integers(0, people, n), rng.integers(0, words, n)
    x = rng.normal(size=(n, width))
    x[np.arange(n), person] += gap
    x[np.arange(n), width - 1 - word] += gap
    names = [f"p{p}" for p in person]
    return Table.of(
        x * np.linspace(0.5, 3, width) + np.linspace(-5, 5, width),
        {"person": names, "sex": ["f" if p % 2 else "m" for p in person], "word": [f"w{w}" for w in word]},
        ids=[f"rec{i:05d}" for i in rng.permutation(n)],
        source="clusters",
    )
