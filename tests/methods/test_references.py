"""Every loss and every published method names its source in a regular form, from which a catalogue can be generated."""

from __future__ import annotations

import importlib
import inspect

import pytest

from sordine.methods import references as module
from sordine.methods.references import PAPERS, Reference, references
from sordine.methods.registry import METHODS

OWN = ("nothing",)  # of no paper


def losses() -> list[tuple[str, object]]:
    """All public functions of the modules of losses."""
    found = []
    for name in ("mass", "substitution", "masking", "inversion", "replacement"):
        losses = importlib.import_module(f"sordine.methods.{name}.losses")
        found += [
            (f"{name}.{label}", value)
            for label, value in inspect.getmembers(losses, inspect.isfunction)
            if value.__module__ == losses.__name__ and not label.startswith("_")
        ]
    return found


def assert_known(found: list[Reference]) -> None:
    """Each paper is in the list, and the list gives the year that the entry gives."""
    assert [(e.paper, e.year) for e in found if str(e.year) not in PAPERS[e.paper]] == []


@pytest.mark.parametrize(("name", "function"), losses())
def test_a_loss_names_its_paper_and_its_place_there(name: str, function: object) -> None:
    found = references(function)  # type: ignore[arg-type]
    assert found
    assert_known(found)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in OWN])
def test_a_method_names_its_papers(name: str) -> None:
    found = references(METHODS[name])
    assert found
    assert_known(found)


def test_the_form_of_an_entry() -> None:
    def documented() -> None:
        """Return a loss.

        References
        ----------
        - MaSS (2022), eq. 4
        - Masking (2021), sec. II.B: the second
          of two lines.
        """

    first, second = references(documented)
    assert first == ("MaSS", 2022, "eq. 4", "")
    assert second == ("Masking", 2021, "sec. II.B", "the second of two lines.")
    assert references(losses) == []

    def wrong() -> None:
        """Return a loss.

        References
        ----------
        - MaSS, equation four
        """

    with pytest.raises(ValueError, match="equation four' is not of the form"):
        module.references(wrong)
