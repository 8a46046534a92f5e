"""HuBERT: the beginning of a clip as 1,024 numbers of norm 1, by a transformer trained on speech without labels."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from sordine.data.media.audio import Waves
from sordine.data.media.cache import Decoder
from sordine.data.media.kinds import Kind
from sordine.errors import SordineError
from sordine.features.base import Encode, NetworkExtractor, SourceKind
from sordine.models.pretrained import Frozen, hub_folder, load, read_state
from sordine.models.torchvision_loader import installed, load_torchvision
from sordine.run import Run

RATE, SHORTEST, LONGEST_S, BATCH = 16000, 400, 60, 8
FILES = ("model.safetensors", "pytorch_model.bin")
CONFIG, SOUND = "config.json", "preprocessor_config.json"
FLOOR = 1e-7  # added to a clip's variance, as the checkpoint's own preprocessing does


@dataclass(frozen=True)
class Hubert(NetworkExtractor):
    """1,024 numbers a clip: the mean over time of the last hidden state.

    A clip is resampled to 16 kHz, and cut or padded with zeros at its end to `samples`, at `count_rate` samples a
    second. The 30,000 of MaSS's appendix A fit AudioMNIST's 48 kHz: 0.625 s, which are 10,000 samples for HuBERT and 31
    hidden states. As in the paper, the padding is part of the mean over time, and of the clip's mean and variance. The
    clip is normalised by these where the checkpoint's preprocessor_config.json asks for it, as that of the large
    models does.

    Parameters
    ----------
    model
        Name of a checkpoint on the Hugging Face hub, found in the hub's cache. Its width is that of the vectors.
    samples, count_rate
        Length of a clip: 0.025 to 60 seconds.
    weights
        A folder with the checkpoint's files, in place of the cache.

    Raises
    ------
    SordineError
        Where the length is out of range.
    """

    model: str = "facebook/hubert-large-ll60k"
    samples: int = 30000
    count_rate: Annotated[int, Field(ge=1000, le=192000)] = 48000
    weights: Path | None = None

    accepts: ClassVar[tuple[SourceKind, ...]] = ("audio",)
    version: ClassVar[int] = 1
    block: ClassVar[int] = 4 * BATCH

    def __post_init__(self) -> None:
        if not SHORTEST <= self.length <= LONGEST_S * RATE:
            seconds = f"between {SHORTEST / RATE} and {LONGEST_S} seconds"
            raise SordineError(f"hubert-large: samples={self.samples} at {self.count_rate} Hz is not {seconds}")

    @property
    def length(self) -> int:
        """Samples of a clip at the network's 16 kHz."""
        return round(self.samples * RATE / self.count_rate)

    def decoder(self, kind: Kind) -> Decoder:
        """Return a decoder to waves of 16 kHz and one length."""
        if kind != "audio":
            raise SordineError(f"hubert-large takes sound, not {kind}")
        return Waves(RATE, self.length)

    def open(self, kind: Kind, run: Run) -> Encode:
        """Load the network. Raises SordineError where something is missing; the message explains how to get it."""
        if find_spec("transformers") is None:
            raise SordineError("transformers is not installed: pip install 'sordine[speech]'")
        folder = hub_folder("hubert-large", self.weights, self.model)
        config, sound = _json(folder / CONFIG), _json(folder / SOUND)
        if config.get("model_type") != "hubert":
            raise SordineError(f"{folder / CONFIG} describes a {config.get('model_type')!r} model, not HuBERT")
        if sound.get("sampling_rate") != RATE:
            raise SordineError(f"{folder / SOUND}: sampling_rate is {sound.get('sampling_rate')}, not {RATE}")
        path = next((folder / name for name in FILES if (folder / name).is_file()), None)
        if path is None:
            raise SordineError(f"{folder} contains neither {FILES[0]} nor {FILES[1]}")
        net = empty_hubert(config)
        load(net, plain_names(read_state(path)), path)
        net.to(run.device)
        normal = bool(sound.get("do_normalize"))

        def embed(x: Tensor, lengths: Tensor) -> Tensor:
            if normal:
                variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
                x = (x - mean) / (variance + FLOOR).sqrt()
            return net(x).last_hidden_state.mean(dim=1)

        return Frozen(embed, int(config["hidden_size"]), BATCH, run.device)


def empty_hubert(config: dict[str, Any]) -> nn.Module:
    """Return HubertModel of a checkpoint's configuration, on the device "meta": shapes without numbers."""
    if installed():
        load_torchvision()  # transformers imports it too, and could fail at it
    transformers = importlib.import_module("transformers")
    # Masks of time and features are for training; without them the network has no weights for masked parts.
    plain = {**config, "apply_spec_augment": False, "mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    with torch.device("meta"):
        return transformers.HubertModel(transformers.HubertConfig.from_dict(plain))


def plain_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint's weights with HubertModel's keys: without a head, and of the older weight norm too."""
    inner = {k.removeprefix("hubert."): v for k, v in state.items() if k.startswith("hubert.")} or state
    old = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    named = {}
    for key, value in inner.items():
        stem, dot, last = key.rpartition(".")
        named[f"{stem}{dot}{old.get(last, last)}"] = value
    named.pop("masked_spec_embed", None)
    return named


def _json(path: Path) -> dict[str, Any]:
    """Return one of the checkpoint's JSON files. Raises SordineError where it is missing or not a JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SordineError(f"hubert-large: {path} does not exist; the checkpoint is not complete") from None
    except (OSError, ValueError) as error:
        raise SordineError(f"{path} is not JSON: {(str(error).splitlines() or [''])[0]}") from None
    if not isinstance(found, dict):
        raise SordineError(f"{path} is not a JSON object")
    return found
