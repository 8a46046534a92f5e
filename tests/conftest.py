"""What every test shares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import count

import pytest

from sordine.keys import Key


@pytest.fixture(autouse=True)
def fresh_keys_repeat(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make new keys that differ within a test and repeat between runs, so that a test always has one result."""
    numbers: Iterator[int] = count()

    def fresh(cls: type[Key]) -> Key:
        return cls(hashlib.sha256(f"{request.node.name} {next(numbers)}".encode()).digest())

    monkeypatch.setattr(Key, "fresh", classmethod(fresh))
