"""Windows of sensor channels (accelerometer, gyroscope ...): moments, a short spectrum and correlations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice, pairwise
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from sordine.data.reading.columns import is_list
from sordine.data.table_io import named_columns
from sordine.errors import SordineError, nearest
from sordine.features.base import Blocks, TableExtractor, TableMap
from sordine.features.logmel import pooling

MOMENTS = ("mean", "log_std", "skew", "log_kurtosis", "min", "max", "median", "log_iqr", "log_rms", "log_change")
SHAPE = ("crossings", "lag1", "entropy", "frequency", "peak")
FLOOR = 1e-4  # of the logarithms, in the channel's own unit: keeps a dead channel from being an outlier
SHORTEST = 8


@dataclass(frozen=True)
class Windows(TableExtractor):
    """(C + M) x (15 + bands) + (C + M) (C + M - 1) / 2 numbers for C channels and M magnitudes.

    MotionSense (6 channels, 2 magnitudes, 16 bands) gives 8 x 31 + 28 = 276. Channels are list columns of one length.
    Three channels named P_x, P_y, P_z (any case) also give their magnitude |P|. A channel gives 10 moments,
    mean-crossing rate, lag-1 correlation, spectral entropy, dominant frequency (cycles per sample, 0 to 0.5) and its
    share of the power, and log power in `bands` bands that widen with frequency. The correlations of all pairs follow.

    Parameters
    ----------
    bands
        Of the spectrum, 1 to 512.
    magnitudes
        Whether to add them.
    """

    bands: Annotated[int, Field(ge=1, le=512)] = 16
    magnitudes: bool = True

    version: ClassVar[int] = 1

    def fit_table(self, blocks: Blocks, features: tuple[str, ...], where: str) -> TableMap:
        """Return the map of one table; its first record sets the length of a window."""
        first = next(iter(islice(blocks(), 1)))
        channels = _channels(first.schema, features, where)
        lengths = [_length(first.column(name)) for name in channels]
        for name, length in zip(channels, lengths, strict=True):
            if length != lengths[0]:
                raise SordineError(
                    f"{where}: channels {channels[0]!r} and {name!r} have {lengths[0]} and {length} samples; "
                    "choose channels of one length with --features"
                )
        if lengths[0] < SHORTEST:
            raise SordineError(f"{where}: a window has {lengths[0]} samples; at least {SHORTEST} are needed")
        triples = _triples(channels) if self.magnitudes else {}
        signals = (*channels, *(f"|{prefix}|" for prefix in triples))
        what = (*MOMENTS, *SHAPE, *(f"band{b:02d}" for b in range(self.bands)))
        names = [f"{signal}.{name}" for signal in signals for name in what]
        names += [f"{a}~{b}" for a, b in combinations(signals, 2)]

        def encode(block: pa.RecordBatch, row: int) -> np.ndarray:
            x = np.stack([_values(block.column(name), lengths[0], name, row, where) for name in channels], axis=1)
            bundles = [np.sqrt(np.square(x[:, t]).sum(axis=1, keepdims=True)) for t in triples.values()]
            return self.measure(np.concatenate([x, *bundles], axis=1))

        details = {"channels": list(channels), "samples": lengths[0], "magnitudes": list(triples)}
        return TableMap(tuple(names), encode, consumed=channels, details=details)

    def measure(self, x: np.ndarray) -> np.ndarray:
        """Return (n, width) float32 for windows (n, signals, samples), record by record."""
        centred = x - x.mean(axis=2, keepdims=True)
        per_signal = np.concatenate([_moments(x, centred), _shape_and_spectrum(centred, self.bands)], axis=2)
        a, b = np.triu_indices(x.shape[1], 1)
        # A constant sensor has only rounding noise: its correlation then tends to 0.
        norm = np.sqrt(np.square(centred).sum(axis=2)) + FLOOR * np.sqrt(x.shape[2])
        unit = centred / norm[:, :, None]
        pairs = np.einsum("npt,npt->np", unit[:, a], unit[:, b])
        return np.concatenate([per_signal.reshape(len(x), -1), pairs], axis=1).astype(np.float32)


def _moments(x: np.ndarray, centred: np.ndarray) -> np.ndarray:
    """Return MOMENTS of (n, signals, samples): (n, signals, 10).

    Spreads are logarithms, and min, max and skew go through asinh, as their heavy tails would dominate a linear model.
    """
    std = centred.std(axis=2)
    unit = centred / (std + FLOOR)[:, :, None]
    low, median, high = np.quantile(x, (0.25, 0.5, 0.75), axis=2)
    return np.stack(
        [
            x.mean(axis=2),
            np.log(std + FLOOR),
            np.arcsinh((unit**3).mean(axis=2)),
            np.log1p((unit**4).mean(axis=2)),
            np.arcsinh(x.min(axis=2)),
            np.arcsinh(x.max(axis=2)),
            median,
            np.log(high - low + FLOOR),
            np.log(np.sqrt(np.square(x).mean(axis=2)) + FLOOR),
            np.log(np.abs(np.diff(x, axis=2)).mean(axis=2) + FLOOR),
        ],
        axis=2,
    )


def _shape_and_spectrum(centred: np.ndarray, bands: int) -> np.ndarray:
    """Return SHAPE and the log band powers of centred windows (n, signals, samples): (n, signals, 5 + bands)."""
    samples = centred.shape[2]
    crossings = (np.diff(np.signbit(centred), axis=2) != 0).mean(axis=2)
    energy = np.square(centred).sum(axis=2) + FLOOR**2 * samples
    lag1 = (centred[:, :, 1:] * centred[:, :, :-1]).sum(axis=2) / energy
    power = np.square(np.abs(np.fft.rfft(centred * np.hanning(samples))))[:, :, 1:] / samples
    share = (power + FLOOR**2) / (power + FLOOR**2).sum(axis=2, keepdims=True)
    entropy = -(share * np.log(share)).sum(axis=2) / np.log(share.shape[2])
    peak = share.argmax(axis=2)
    frequency = (peak + 1) / samples
    level = np.log(power @ _band_weights(power.shape[2], bands).T + FLOOR**2)
    shape = np.stack([crossings, lag1, entropy, frequency, share.max(axis=2)], axis=2)
    return np.concatenate([shape, level], axis=2)


@lru_cache(maxsize=8)
def _band_weights(bins: int, bands: int) -> np.ndarray:
    """Return weights (bands, bins) of mean power in bands that widen with frequency: movement has low frequencies."""
    fine = 64
    borders = np.round(np.linspace(0, 1, bands + 1) ** 1.5 * bins * fine).astype(int)
    # Each band is at least one bin wide, so that the lowest bands of a short window are its lowest bins.
    spread = pooling(bins, bins * fine)
    rows = []
    for low, high in pairwise(borders):
        middle = min(max((low + high) // 2, fine // 2), bins * fine - fine // 2)
        half = max((high - low) // 2, fine // 2)
        rows.append(spread[max(0, middle - half) : middle + half].mean(axis=0))
    return np.stack(rows)


def _channels(schema: pa.Schema, features: tuple[str, ...], where: str) -> tuple[str, ...]:
    lists = tuple(field.name for field in schema if is_list(field.type))
    features = named_columns(features, lists)
    for name in features:
        if name not in schema.names:
            raise SordineError(f"{where}: unknown column {name!r}; {nearest(name, lists or schema.names)}")
        if name not in lists:
            raise SordineError(f"{where}: column {name!r} is {schema.field(name).type}, not a list of numbers")
        if features.count(name) > 1:
            raise SordineError(f"{where}: channel {name!r} is repeated; name it once")
    if not lists:
        raise SordineError(f"{where}: there is no list column; for plain columns, use the extractor columns")
    return features or lists


def _length(column: pa.Array) -> int:
    value = column[0].as_py()
    return 0 if value is None else len(value)


def _triples(channels: Sequence[str]) -> dict[str, list[int]]:
    """Return prefix to positions of its three axes, for channels named prefix_x, prefix_y, prefix_z."""
    found: dict[str, dict[str, int]] = {}
    for at, name in enumerate(channels):
        if match := re.fullmatch(r"(.*?)[_.\- ]?([xyzXYZ])", name):
            found.setdefault(match[1] or "xyz", {})[match[2].lower()] = at
    return {prefix: [axes[a] for a in "xyz"] for prefix, axes in found.items() if len(axes) == 3}


def _values(column: pa.Array, length: int, name: str, row: int, where: str) -> np.ndarray:
    """Return a list column of a block as (n, length) float64; refuse missing, shorter, longer or infinite windows."""
    sizes = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    odd = np.flatnonzero(sizes != length)
    if len(odd):
        size = "nothing" if sizes[odd[0]] < 0 else f"{sizes[odd[0]]} samples"
        raise SordineError(f"{where}: row {row + odd[0]}: channel {name!r} has {size}, but row 0 has {length} samples")
    x = column.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(column), length)
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise SordineError(f"{where}: row {row + bad[0]}: channel {name!r} contains NaN, infinity or an empty value")
    return x
