"""Properties of the readers over files that Hypothesis draws. A longer run: `python -m tests.fixtures.table_files`."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("hypothesis")

from tests.fixtures.table_files import properties

EXAMPLES = int(os.environ.get("SORDINE_FUZZ_EXAMPLES", "100"))


@pytest.mark.parametrize("name", ["right", "damaged"])
def test_files_are_read_right_or_refused_in_one_line(name):
    properties(EXAMPLES)[name]()
