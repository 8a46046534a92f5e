"""The contract of a method: its options, what others must know of it, and a fit that returns a modifier.

A method is a dataclass that inherits `Method`. Its fields are its options, its class attributes say what the rest of
the package must know (nothing elsewhere names a method), and `fit` learns a `Modifier` from training records. Register
it with ``METHODS.register("name", TheClass)``.

References in docstrings
------------------------
The docstring of a method and of each loss names its source in a numpydoc section `References`. Each entry is one line
of the form ``- PAPER (YEAR), PLACE`` or ``- PAPER (YEAR), PLACE: remark``, for example ``- MaSS (2022), eq. 4``.
PAPER is a name in `sordine.methods.references.PAPERS`; PLACE is ``eq. N``, ``eqs. N and M``, ``sec. N``, ``alg. N``,
``thm. N``, ``app. N``, ``table N``, ``objective`` or ``method``; a continuation line is indented.
`sordine.methods.references.references` parses the section, so that a catalogue equation -> paper -> function can be
generated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor

from sordine.data.table import Table
from sordine.methods.options import check_options
from sordine.models.modifier import Card, Modifier
from sordine.policy import Policy
from sordine.run import Run

Output = Literal["vectors", "pictures", "copies"]
NO_GUARANTEE = (
    "Nothing is proved of this release: the figures are what these attackers inferred, and another may infer more."
)


class Strength(NamedTuple):
    """How the strength of a method is tuned: an option, and its values from the most private to the most useful."""

    option: str
    values: tuple[Any, ...]


class Method:
    """Base class of all methods: a frozen dataclass whose fields are its options.

    Class Attributes
    ----------------
    name
        Name in the registry, in a modifier's card and on the command line. Part of the modifier's file format.
    suppresses, preserves
        Whether the method needs at least one suppressed attribute, and at least one preserved attribute (its task).
    stochastic
        Whether releases under two keys differ. An instance may set its own value where an option decides.
    needs_labels
        Whether `fit` learns from labels. Without labels such a method would release records unchanged, so that is
        refused.
    needs_pictures
        Whether the records must be pictures.
    discrete
        Whether the output of the modifier is discrete. The best possible attack on it is then computed, which needs
        records with labels of all suppressed and preserved attributes, on both sides of the split.
    accepts_pool
        Whether `fit` takes `pool`, another table (released in place of the owner's records, or public pictures).
    accepts_views
        Whether `fit` takes `raw_views`, a function of a table that returns pairs of augmented views of its raw media.
    takes_continuous
        Whether `fit` uses the numbers of continuous attributes (`Table.targets`), or no labels at all. Other methods
        use their quantile classes, and the card notes that.
    releases
        What a release can be: `vectors` (of records that are vectors), `pictures` (of records that are pictures),
        `copies` (every released record is a record of some table, so that the media files of these can be released).
    strength
        The option that sets how much is hidden, with its values; None where there is no such option. The leakage limit
        and the sweep vary it.
    default_for
        The kind of release for which the method is the default: `records` or `copies`; empty for no kind.
    guarantee
        What is proved of a release, for the report, in sentences. Names in braces are figures of the card's `fit`.
    """

    name: ClassVar[str]
    suppresses: ClassVar[bool] = True
    preserves: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = True
    needs_pictures: ClassVar[bool] = False
    discrete: ClassVar[bool] = False
    accepts_pool: ClassVar[bool] = False
    accepts_views: ClassVar[bool] = False
    takes_continuous: ClassVar[bool] = False
    releases: ClassVar[frozenset[Output]] = frozenset({"vectors", "pictures"})
    strength: ClassVar[Strength | None] = None
    default_for: ClassVar[Literal["", "records", "copies"]] = ""
    guarantee: ClassVar[str] = NO_GUARANTEE

    def __post_init__(self) -> None:
        """Check every option against its type and range, also where the class is called directly.

        Raises
        ------
        SordineError
            Where the value of an option does not fit; the message names the option.
        """
        check_options(self, self.name)

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Learn a modifier.

        Parameters
        ----------
        table
            The training records only.
        policy
            Attributes to suppress, preserve and watch; resolved, so that no attribute is left open.
        run
            Device, seed, key, folder for unfinished work, log and progress.

        Returns
        -------
        Modifier
            In evaluation mode, with its card.

        Notes
        -----
        A method with `accepts_pool` has a keyword `pool` (Table or None), one with `accepts_views` a keyword
        `raw_views`.
        """
        raise NotImplementedError

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """Return an empty modifier of the right sizes, ready for `load_state_dict(tensors)`."""
        raise NotImplementedError

    def card(
        self,
        policy: Policy,
        table: Table,
        *,
        fit: Mapping[str, Any] | None = None,
        notes: list[str] | None = None,
        output: Mapping[str, Any] | None = None,
    ) -> Card:
        """Return the card of a modifier that was fitted with these options.

        Parameters
        ----------
        policy, table
            What the modifier was fitted on.
        fit
            Figures that were measured during the fit.
        notes
            Sentences for the owner.
        output
            Shape and dtype of released records, where they are not those of the input.
        """
        return Card(
            method=self.name,
            fields=dataclasses.asdict(self),  # type: ignore[call-overload]
            policy={role: list(names) for role, names in policy.roles()},
            input=input_of(table),
            output=dict(output or {}),
            fit=dict(fit or {}),
            notes=list(notes or []),
        )

    @classmethod
    def guarantees(cls, figures: Mapping[str, Any]) -> str:
        """Return `guarantee` with the figures of a fit filled in; empty where a figure is missing."""
        try:
            return cls.guarantee.format_map(figures)
        except KeyError:
            return ""


def input_of(table: Table) -> dict[str, Any]:
    """Return the input schema of a card: shape, dtype and feature columns.

    The dtype of pictures is uint8, and x' of such an input is uint8 pictures too.
    """
    dtype = "uint8" if table.pictures else "float32"
    return {"shape": list(table.shape), "dtype": dtype, "features": list(table.features)}
