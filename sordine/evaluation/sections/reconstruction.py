"""Reconstruction: pictures rebuilt from released records, by new decoders and through the modifier's weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from sordine.attacks.reconstruction.decoder import STEPS, DecoderOptions, judge, rebuild, train_decoder
from sordine.attacks.reconstruction.feature_attack import train_feature_attack
from sordine.attacks.reconstruction.white_box import invert
from sordine.attacks.results import ReconstructionFinding
from sordine.data.matching import same_records
from sordine.data.splits import sample
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.release_checks import match
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import Section
from sordine.keys import Key
from sordine.metrics.pictures import cosine_similarity
from sordine.models.modifier import Modifier
from sordine.models.picture_classifier import picture_outputs, picture_shape
from sordine.models.training import seeded
from sordine.models.verification import LoadedVerification, Verification, load_verification, train_verification
from sordine.policy import Policy
from sordine.run import Run, accepts_run_keywords

PAIRS, TRIED, WHITE_BOX = 4000, 500, 64
FEWEST = 20  # pairs from which a decoder can learn
GAN = 0.01  # mu1, the weight of the GAN term: small, because its gradient does not shrink with the error
SEED = 0


class Reconstructions(Section):
    """Attacks on the records themselves. `reconstruct` makes them after the audit."""

    title = "Reconstruction of pictures"
    menu = "Reconstruction"
    key = "reconstruction"
    finding = tuple[ReconstructionFinding, ...]
    risk = "inference"
    attacker = "Original pictures beside the released ones; it wants to rebuild other pictures"
    how_to_test = "Needs pictures and `--reconstruct`."

    def applies(self, report: Report) -> bool:
        """Return whether the records are pictures."""
        return len(report.table.get("shape") or ()) == 3

    def sentences(self, found: tuple[ReconstructionFinding, ...]) -> list[str]:
        """Return one sentence for each attack."""
        return [above(f) for f in found]

    def view(self, found: tuple[ReconstructionFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return the findings."""
        return {"found": found} if found else None


@dataclass(frozen=True)
class Reconstruction:
    """Results of the attacks.

    Parameters
    ----------
    findings
        One for each attack.
    ids
        Ids (n,) of the attacked records.
    rebuilt
        Attack to pictures (n, c, h, w), 0 to 255, in the order of `ids`. Slow attacks rebuild the first
        `WHITE_BOX` only.
    """

    findings: tuple[ReconstructionFinding, ...]
    ids: np.ndarray
    rebuilt: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class ReconstructionOptions:
    """Options of `reconstruct`.

    Parameters
    ----------
    identity
        Attribute that names the person in a picture. A verification network learns it from originals of the fit; the
        report then has face and feature similarity.
    verification
        File with FaceNet's weights, for the same without an identity.
    steps
        Training steps of a decoder, at least 1.
    """

    identity: str | None = None
    verification: Path | None = None
    steps: int = STEPS

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SordineError(f"reconstruction: steps is {self.steps}; a decoder needs at least one step")


@dataclass(frozen=True)
class _Pictures:
    # Pairs to learn from (x, z), records to test on, and what all attacks share.
    x: np.ndarray
    z: np.ndarray
    x_tested: np.ndarray
    z_tested: np.ndarray
    network: Verification | LoadedVerification | None
    run: Run

    @property
    def mean(self) -> np.ndarray:
        return np.asarray(self.x.mean(0))

    def judge(self, attack: str, rebuilt: np.ndarray, **more: Any) -> ReconstructionFinding:
        tested = self.x_tested[: len(rebuilt)]
        return judge(attack, tested, rebuilt, self.mean, network=self.network, run=self.run, **more)


@accepts_run_keywords
def reconstruct(
    original: Table,
    released: Table,
    policy: Policy,
    *,
    modifier: Modifier | None = None,
    key: Key | None = None,
    options: ReconstructionOptions | None = None,
    run: Run | None = None,
) -> Reconstruction:
    """Rebuild pictures from released records, and compare them with the originals.

    Decoders learn from pairs of released and original records of the fit and are tested on the others. Released
    pictures are compared as they are, too. With a modifier there is also a white-box attack on few records, and a
    decoder that mirrors its encoder, if it has one. At most 4,000 pairs and 500 tested records. In the inversion paper
    the attacker learns from X2 alone; here it learns from all records of the fit.

    Parameters
    ----------
    original, released
        Tables of the same records; the originals are pictures.
    policy
        Roles of the attributes, for a split where there is none.
    modifier, key
        What made the release, where they are known. They say which records were fitted; else the tables' split does.
    options
        See `ReconstructionOptions`.
    run
        Its device, log and progress are used.

    Raises
    ------
    SordineError
        If originals are not pictures, a side has too few records, or the identity is unknown or has one class.
    """
    run, options = run or Run(), options or ReconstructionOptions()
    before, after, learned, tested = sides(original, released, policy, modifier=modifier, key=key)
    x, z = (np.asarray(t.take(learned).x, np.float32) for t in (before, after))
    x_tested, z_tested = (np.asarray(t.take(tested).x, np.float32) for t in (before, after))
    run.log(f"reconstruction: {len(learned):,} pairs to learn from, {len(tested):,} records to test on")
    network = _network(before.take(learned), options, run)
    pictures = _Pictures(x, z, x_tested, z_tested, network, run)
    rebuilt: dict[str, np.ndarray] = {}
    findings = []
    if after.shape == before.shape:
        note = "The released pictures themselves, without any reconstruction."
        findings.append(pictures.judge("as released", z_tested, note=note))
    findings += _decoders(pictures, modifier, options.steps, run, rebuilt)
    if modifier is not None and modifier.output_shape == after.shape:
        rebuilt["white-box"] = invert(modifier, z_tested[:WHITE_BOX], pictures.mean, run=run)
        note = f"Tested on {len(rebuilt['white-box'])} records, because this attack is slow."
        if modifier.noise:
            note += " It does not know the modifier's noise and uses its median."
        findings.append(pictures.judge("white-box", rebuilt["white-box"], note=note))
    return Reconstruction(tuple(findings), before.ids[tested], rebuilt)


def _network(table: Table, options: ReconstructionOptions, run: Run) -> Verification | LoadedVerification | None:
    if options.verification is not None:
        return load_verification(options.verification).to(run.device)
    if options.identity is not None:
        return train_verification(table, options.identity, run=replace(run, seed=SEED))
    return None


def _similarity(pictures: _Pictures) -> Any:
    """Cosine similarity of features that an attack infers from released records; None without a network."""
    if pictures.network is None:
        return None
    wanted, known = (
        picture_outputs(pictures.network, v, device=pictures.run.device) for v in (pictures.x_tested, pictures.x)
    )
    attack = train_feature_attack(pictures.z, known, run=replace(pictures.run, seed=SEED))
    return cosine_similarity(picture_outputs(attack, pictures.z_tested, device=pictures.run.device), wanted)


def _decoders(
    pictures: _Pictures, modifier: Modifier | None, steps: int, run: Run, rebuilt: dict[str, np.ndarray]
) -> list[ReconstructionFinding]:
    similar = _similarity(pictures)
    attacks: list[tuple[str, float, nn.Module | None]] = [("decoder", 0.0, None), ("decoder + GAN", GAN, None)]
    mirror: Callable[[], nn.Module] | None = getattr(modifier, "mirror", None)
    if modifier is not None and mirror is not None and modifier.output_shape == pictures.z.shape[1:]:
        with seeded(SEED, "mirrored decoder"):
            attacks.append(("mirrored decoder", 0.0, mirror()))
    findings = []
    for name, mu1, network in attacks:
        options = DecoderOptions(mu1=mu1, steps=steps)
        decoder = train_decoder(pictures.z, pictures.x, options, own=network, run=replace(run, seed=SEED))
        rebuilt[name] = rebuild(decoder, pictures.z_tested, run=run)
        findings.append(pictures.judge(name, rebuilt[name], feature_similarity=similar))
    return findings


def sides(
    original: Table, released: Table, policy: Policy, *, modifier: Modifier | None = None, key: Key | None = None
) -> tuple[Table, Table, np.ndarray, np.ndarray]:
    """Match the records of both tables, and split them.

    Returns
    -------
    tuple
        Both tables with matched rows, the rows from which decoders learn, and the rows on which they are tested.

    Raises
    ------
    SordineError
        If originals are not pictures, or a side has too few records.
    """
    picture_shape(original)
    released = same_records(original, released).released
    found = match(original, released)
    before, after = original.take(found.original), released.take(found.released)
    fitted = _fitted(before, after, policy, modifier, key)
    learned, tested = (
        sample(Key.of_seed(SEED), "reconstruct", before.ids, most, np.flatnonzero(side))
        for side, most in ((fitted, PAIRS), (~fitted, TRIED))
    )
    if len(learned) < FEWEST or not len(tested):
        raise SordineError(
            f"{released.source}: reconstruction needs at least {FEWEST} records of the fit and one other record; "
            f"there are {len(learned)} and {len(tested)}"
        )
    return before, after, learned, tested


def _fitted(before: Table, after: Table, policy: Policy, modifier: Modifier | None, key: Key | None) -> np.ndarray:
    """(n,) bool: the records that the modifier was fitted on."""
    if modifier is not None and key is not None and len(modifier.fitted) and key.fingerprint == modifier.card.key:
        return modifier.was_fitted_on(before.ids, key)
    for table in (after, before):
        if table.split is not None:
            return table.split
    decided = before.with_split(policy, key or Key.of_seed(0)).split
    assert decided is not None
    return decided


def above(found: ReconstructionFinding) -> str:
    """Return how far an attack's pictures are above the mean picture, in a sentence."""
    name = found.attacker
    if found.psnr is None:
        return f"{name}: the originals are rebuilt to the last bit."
    gain, structure = found.psnr - found.baseline_psnr, found.ssim - found.baseline_ssim
    figures = f"{found.psnr:.1f} dB; mean picture: {found.baseline_psnr:.1f} dB".replace("-", "−")
    likeness = f"{found.ssim:.2f}; mean picture: {found.baseline_ssim:.2f}".replace("-", "−")
    by = f"{abs(gain):.1f} dB {'above' if gain > 0 else 'below'}" if round(gain, 1) else "not above"
    words = f"{name}: the PSNR is {by} that of the mean picture ({figures})"
    return f"{words}. The SSIM is {'' if round(structure, 2) > 0 else 'not '}higher ({likeness})."
