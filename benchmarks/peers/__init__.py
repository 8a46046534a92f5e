"""Erasers from other papers, to compare with: written from the papers, used by benchmarks only, not in the package."""

from __future__ import annotations

from benchmarks.peers.gaussian_ot import GaussianOT
from benchmarks.peers.mmd_affine import MMDAffine
from benchmarks.peers.mute import Mute
from benchmarks.peers.obliviator import Obliviator
from benchmarks.peers.splince import Splince
from sordine.data.registry import Registry
from sordine.methods.base import Method
from sordine.methods.registry import METHODS

PEERS: Registry[Method] = Registry(
    "method", {cls.name: cls for cls in (Obliviator, GaussianOT, Mute, Splince, MMDAffine)}
)


def register() -> None:
    """Add the peers to the methods, so that they are made, saved and loaded by name.

    An import does not: the package's own tests compare its list of methods with what they know.
    """
    for name, cls in PEERS.items():
        METHODS.register(name, cls)


def unregister() -> None:
    """Remove the peers from the methods."""
    for name in PEERS:
        METHODS.unregister(name)
