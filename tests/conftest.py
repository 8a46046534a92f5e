"""What every test shares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import count

import pytest

from sordine.keys import Key


@pytest.fixture(autouse=True)
def fresh_keys_repeat(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that a command makes for itself are new within a test and the same at every run of it: a test that draws fails
    always or never."""
    numbers: Iterator[int] = count()

    def fresh(cls: type[Key]) -> Key:
        return cls(hashlib.sha256(f"{request.node.name} {next(numbers)}".encode()).digest())

    monkeypatch.setattr(Key, "fresh", classmethod(fresh))
