"""The attack on x itself: pictures rebuilt from what was released, by fresh decoders and through the modifier's weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from sordine.attacks.reconstruction.decoder import STEPS, judge, rebuild, train_decoder, train_feature_attack
from sordine.attacks.reconstruction.white_box import invert
from sordine.attacks.results import ReconstructionFinding
from sordine.data.matching import same_records
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.release_checks import match
from sordine.keys import Key
from sordine.metrics.pictures import cosine_similarity
from sordine.models.modifier import Modifier
from sordine.models.picture_classifier import picture_outputs, picture_shape
from sordine.models.training import seeded
from sordine.models.verification import LoadedVerification, Verification, load_verification, train_verification
from sordine.policy import Policy
from sordine.run import Run, silent

PAIRS, TRIED, WHITE_BOX = 4000, 500, 64
GAN = 0.01  # mu1: small beside the pixel term, as a GAN's gradient does not shrink with the error
SEED = 0


@dataclass(frozen=True)
class Reconstruction:
    """findings: one an attacker. ids: (n,) records that were tried. rebuilt: attacker -> (n, c, h, w) in 0 to 255 of `ids`,
    of the first `WHITE_BOX` where one tried no more."""

    findings: tuple[ReconstructionFinding, ...]
    ids: np.ndarray
    rebuilt: dict[str, np.ndarray] = field(default_factory=dict)


def reconstruct(
    original: Table,
    released: Table,
    policy: Policy,
    *,
    modifier: Modifier | None = None,
    key: Key | None = None,
    identity: str | None = None,
    verification: Path | None = None,
    steps: int = STEPS,
    device: str = "cpu",
    log: Callable[[str], None] = silent,
    progress: Callable[[str, int, int], None] | None = None,
) -> Reconstruction:
    """Decoders learnt on pairs of released and original records that were fitted on, tried on the others; and, where pictures are
    released as pictures, these themselves. The inversion paper's attacker learns on X2 alone; these
    learn on all that was fitted on: X1 and X2, or X1 alone where X2 was a pool.

    Which were fitted on is known from the modifier and its key, else from the tables' split, else decided as a fit would. With a
    modifier, the white-box attacker is tried too, on few records as it is slow, and, where the modifier has an encoder, a decoder
    that mirrors it. identity: an attribute that says whose face it is; a verification network learns it on the originals that were
    fitted on, for face similarity and, by the feature-level attack, feature similarity. verification: FaceNet's weights, a file,
    for the same without an identity. steps: of a decoder. At most 4,000 pairs and 500 records tried.

    Raises SordineError where the originals are no pictures, nothing is released of one side, or the identity is unknown or one only.
    """
    if steps < 1:
        raise SordineError(f"reconstruction: a decoder learns for at least one step, not {steps}")
    before, after, own, tried = sides(original, released, policy, modifier=modifier, key=key)
    x, z = (np.asarray(t.take(own).x, np.float32) for t in (before, after))
    x_tried, z_tried = (np.asarray(t.take(tried).x, np.float32) for t in (before, after))
    mean = x.mean(0)
    log(f"reconstruction: {len(own):,} pairs to learn from, {len(tried):,} records tried")
    network: Verification | LoadedVerification | None = None
    similar = None
    if verification is not None:
        network = load_verification(verification).to(device)
    elif identity is not None:
        network = train_verification(
            before.take(own), identity, run=Run(seed=SEED, device=device, log=log, progress=progress)
        )
    if network is not None:
        wanted, said = (picture_outputs(network, v, device=device) for v in (x_tried, x))
        attack = train_feature_attack(z, said, seed=SEED, device=device)
        similar = cosine_similarity(picture_outputs(attack, z_tried, device=device), wanted)
    rebuilt, findings = {}, []
    if after.shape == before.shape:
        note = "The released pictures themselves, with nothing rebuilt."
        findings.append(judge("as released", x_tried, z_tried, mean, network=network, device=device, note=note))
    attacks: list[tuple[str, float, nn.Module | None]] = [("decoder", 0.0, None), ("decoder + GAN", GAN, None)]
    mirror: Callable[[], nn.Module] | None = getattr(modifier, "mirror", None)
    if modifier is not None and mirror is not None and modifier.output_shape == after.shape:
        with seeded(SEED, "mirrored decoder"):
            attacks.append(("mirrored decoder", 0.0, mirror()))
    for name, mu1, net in attacks:
        decoder = train_decoder(z, x, seed=SEED, mu1=mu1, own=net, steps=steps, device=device, progress=progress)
        rebuilt[name] = rebuild(decoder, z_tried, device=device)
        findings.append(
            judge(name, x_tried, rebuilt[name], mean, network=network, feature_similarity=similar, device=device)
        )
    if modifier is not None and modifier.output_shape == after.shape:
        few = slice(0, WHITE_BOX)
        rebuilt["white-box"] = invert(modifier, z_tried[few], mean, device=device)
        note = f"Tried on {len(z_tried[few])} records: it is slow."
        if modifier.noise:
            note += " The modifier's noise, which it does not know, is taken at its median."
        findings.append(
            judge("white-box", x_tried[few], rebuilt["white-box"], mean, network=network, device=device, note=note)
        )
    return Reconstruction(tuple(findings), before.ids[tried], rebuilt)


def sides(
    original: Table, released: Table, policy: Policy, *, modifier: Modifier | None = None, key: Key | None = None
) -> tuple[Table, Table, np.ndarray, np.ndarray]:
    """The records of both tables, matched, and which of them decoders learn on and are tried on: two arrays of rows.

    Raises SordineError where the originals are no pictures, or too few records are on either side.
    """
    picture_shape(original)
    released = same_records(original, released).released
    found = match(original, released)
    before, after = original.take(found.original), released.take(found.released)
    fitted = _fitted(before, after, policy, modifier, key)
    order = np.argsort(Key.of_seed(SEED).order("reconstruct", before.ids))  # rank of each record, by id alone
    own, tried = (
        np.sort(rows[np.argsort(order[rows])[:most]])
        for rows, most in ((np.flatnonzero(fitted), PAIRS), (np.flatnonzero(~fitted), TRIED))
    )
    if len(own) < 20 or not len(tried):
        raise SordineError(
            f"{released.source}: {len(own)} fitted and {len(tried)} other records: too few to learn a decoder and to try it"
        )
    return before, after, own, tried


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
