"""Pretrained networks: find their weights on this machine, load them key by key, and run them in blocks of one size.

Nothing is downloaded. Where weights are missing, the error names them and where to get them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from sordine.errors import SordineError
from sordine.models.losses import unit
from sordine.models.networks.inception_resnet import InceptionResnet

FACENET_URL = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt"
FACENET_MIDDLE, FACENET_SPREAD = 127.5, 128.0  # pixels enter as (v - middle) / spread


def weights_file(what: str, given: Path | None, url: str, note: str = "") -> Path:
    """Return the file of weights: the one that was given, else one with the URL's name in torch's cache.

    Parameters
    ----------
    what
        Start of error messages.
    given
        The file that the user named, if any.
    url
        Where the weights are published.
    note
        What else identifies the file, for the error message.

    Raises
    ------
    SordineError
        Where there is no such file.
    """
    if given is not None:
        if not given.is_file():
            raise SordineError(f"{what}: weights {given} {'is not a file' if given.exists() else 'does not exist'}")
        return given
    name = url.rpartition("/")[2]
    # facenet-pytorch stores its files next to torch's cache of the hub, all others in it.
    hub = Path(torch.hub.get_dir())
    places = [hub / "checkpoints" / name, hub.parent / "checkpoints" / name]
    for place in places:
        if place.is_file():
            return place
    raise SordineError(
        f"{what}: its weights are not on this machine; download {url}{note}, then give weights=FILE or move the file "
        f"to {places[0]}"
    )


def hub_folder(what: str, given: Path | None, model: str) -> Path:
    """Return the folder of a checkpoint of the Hugging Face hub: the one that was given, else the newest in the cache.

    Raises
    ------
    SordineError
        Where there is none.
    """
    if given is not None:
        if not given.is_dir():
            raise SordineError(f"{what}: weights {given} {'is not a folder' if given.exists() else 'does not exist'}")
        return given
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, "config.json", cache_dir=constants.HF_HUB_CACHE)
    except HFValidationError:
        raise SordineError(
            f"{what}: model {model!r} is not the name of a checkpoint; give OWNER/NAME, or weights=FOLDER"
        ) from None
    if isinstance(found, str):
        return Path(found).parent
    raise SordineError(
        f"{what}: {model} is not in the hub's cache; run `hf download {model}`, or download the files of "
        f"https://huggingface.co/{model} and give weights=FOLDER"
    )


def read_state(path: Path) -> dict[str, Tensor]:
    """Return a state dict from a .safetensors file, or from torch's format without executing code in it.

    Raises
    ------
    SordineError
        Where the file is damaged, contains anything but named tensors, or a weight is NaN or infinite.
    """
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise any exception
        raise SordineError(
            f"{path} is not a file of weights, or is damaged ({type(error).__name__}); download it again"
        ) from None
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise SordineError(f"{path} is not a state dict: it must contain named tensors and nothing else")
    odd = next((k for k, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all()), None)
    if odd is not None:
        raise SordineError(f"{path}: weights {odd!r} contain NaN or infinity")
    return dict(state)


def load(net: nn.Module, state: Mapping[str, Tensor], where: str | Path, unused: tuple[str, ...] = ()) -> None:
    """Put weights into a network, which may be on the device "meta", and freeze it.

    Parameters
    ----------
    net
        The network.
    state
        Weights of any precision. The batch counters of normalisations may be missing: they change nothing.
    where
        Start of error messages.
    unused
        Beginnings of keys that are left out.

    Raises
    ------
    SordineError
        Where a key is missing, has another shape, or is unknown to the network.
    """
    given = {key: value for key, value in state.items() if not key.startswith(unused)}
    wanted = net.state_dict()
    for key, value in wanted.items():
        if key not in given and key.endswith("num_batches_tracked"):
            given[key] = torch.zeros((), dtype=torch.int64)
        if key not in given:
            raise SordineError(f"{where} has no weights {key!r}: the file belongs to another network")
        if given[key].shape != value.shape:
            raise SordineError(
                f"{where}: weights {key!r} have shape {tuple(given[key].shape)}; the network needs {tuple(value.shape)}"
            )
    for key in given:
        if key not in wanted:
            raise SordineError(f"{where} contains weights {key!r}, which this network does not have")
    net.load_state_dict({k: given[k].to(v.dtype) for k, v in wanted.items()}, assign=True)
    net.requires_grad_(False).eval()


def facenet(weights: Path | None) -> InceptionResnet:
    """Return FaceNet with weights from a file, by default the published ones in torch's cache.

    Raises
    ------
    SordineError
        Where the weights are missing or belong to another network; the message names where to get them.
    """
    path = weights_file("facenet", weights, FACENET_URL)
    with torch.device("meta"):
        net = InceptionResnet()
    load(net, read_state(path), path, unused=("logits.",))
    return net


def exact() -> AbstractContextManager[None]:
    """Make convolutions on a GPU exact and repeatable; by default they round to 10 bits of mantissa."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


class Frozen:
    """A fixed network as an `Encode` of `sordine.features.base`.

    Blocks always have `batch` records, the last one padded with zeros: the last digits of a result depend on the size
    of a block, but not on the place in it.

    Parameters
    ----------
    net
        A block as decoded and (b,) real samples or frames, on the device, to (b, width).
    width
        Numbers of a vector.
    batch
        Records of a block.
    device
        Where the network is.
    """

    def __init__(self, net: Callable[[Tensor, Tensor], Tensor], width: int, batch: int, device: str = "cpu") -> None:
        self.net, self.width, self.batch, self.device = net, width, batch, device
        self.shape, self.dtype = (width,), np.dtype(np.float32)
        self.details: dict[str, Any] = {}

    def __call__(self, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return (b, width) float32 of norm 1 (0 where the network gives 0) for (b, *shape) and (b,)."""
        vectors = np.empty((len(x), self.width), np.float32)
        for start in range(0, len(x), self.batch):
            rows = slice(start, min(start + self.batch, len(x)))
            block = self._padded(x[rows]), self._padded(np.asarray(lengths[rows], np.int64))
            with torch.inference_mode(), exact():
                v = unit(self.net(*block))
            vectors[rows] = v[: rows.stop - start].cpu().numpy()
        return vectors

    def _padded(self, part: np.ndarray) -> Tensor:
        whole = np.zeros((self.batch, *part.shape[1:]), part.dtype)
        whole[: len(part)] = part
        return torch.from_numpy(whole).to(self.device)

    def weights(self) -> dict[str, Tensor]:
        """Return nothing: the network was trained before."""
        return {}
