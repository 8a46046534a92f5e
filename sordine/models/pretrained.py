"""Pretrained networks: their weights found on this machine, loaded key by key, and run in blocks of one size.

Nothing is ever downloaded: what is missing is named, with where to get it.
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


def weights_file(what: str, given: Path | None, url: str, note: str = "") -> Path:
    """Where the weights of `what` are: the file that was given, else one of the URL's name in torch's cache.

    note: what else is known of the file, for the error message. Raises SordineError where there is none.
    """
    if given is not None:
        if not given.is_file():
            raise SordineError(f"{what}: weights {given} {'is no file' if given.exists() else 'does not exist'}")
        return given
    name = url.rpartition("/")[2]
    # facenet-pytorch keeps its files beside torch's own cache of the hub, all others in it.
    hub = Path(torch.hub.get_dir())
    places = [hub / "checkpoints" / name, hub.parent / "checkpoints" / name]
    for place in places:
        if place.is_file():
            return place
    raise SordineError(
        f"{what}: its weights are not here; download {url}{note}, then weights=FILE or put it at {places[0]}"
    )


def hub_folder(what: str, given: Path | None, model: str) -> Path:
    """Where a checkpoint of the Hugging Face hub is: the folder that was given, else the newest in the hub's cache.

    Raises SordineError where there is none.
    """
    if given is not None:
        if not given.is_dir():
            raise SordineError(f"{what}: weights {given} {'is no folder' if given.exists() else 'does not exist'}")
        return given
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, "config.json", cache_dir=constants.HF_HUB_CACHE)
    except HFValidationError:
        raise SordineError(
            f"{what}: model {model!r} is no name of a checkpoint; OWNER/NAME, or weights=FOLDER"
        ) from None
    if isinstance(found, str):
        return Path(found).parent
    raise SordineError(
        f"{what}: {model} is not in the hub's cache; run `hf download {model}`, or fetch the files of "
        f"https://huggingface.co/{model} and give weights=FOLDER"
    )


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict from a .safetensors file, or from torch's own format without running anything that it holds.

    Raises SordineError where the file is damaged, or is anything else than names with tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file from elsewhere can be wrong in any way, and each way has its own exception
        raise SordineError(
            f"{path} cannot be read as weights ({type(error).__name__}): damaged, or not a state dict"
        ) from None
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise SordineError(f"{path} is not a state dict: names with tensors, and nothing else")
    odd = next((k for k, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all()), None)
    if odd is not None:
        raise SordineError(f"{path}: weights {odd!r} hold numbers that are not finite")
    return dict(state)


def load(net: nn.Module, state: Mapping[str, Tensor], where: str | Path, unused: tuple[str, ...] = ()) -> None:
    """Put weights (of any precision) into a network, which may have been made on the device "meta"; freeze it.

    unused: beginnings of keys that are left out. How many batches a norm has seen is not asked for: it changes nothing.
    Raises SordineError naming the first key that is missing, of another shape, or unknown to the network.
    """
    given = {key: value for key, value in state.items() if not key.startswith(unused)}
    wanted = net.state_dict()
    for key, value in wanted.items():
        if key not in given and key.endswith("num_batches_tracked"):
            given[key] = torch.zeros((), dtype=torch.int64)
        if key not in given:
            raise SordineError(f"{where} has no weights {key!r}: it is not of this network")
        if given[key].shape != value.shape:
            shapes = f"{tuple(given[key].shape)}, and {tuple(value.shape)} is wanted"
            raise SordineError(f"{where}: weights {key!r} have shape {shapes}")
    for key in given:
        if key not in wanted:
            raise SordineError(f"{where} holds weights {key!r}, which this network does not have")
    net.load_state_dict({k: given[k].to(v.dtype) for k, v in wanted.items()}, assign=True)
    net.requires_grad_(False).eval()


def exact() -> AbstractContextManager[None]:
    """Exact and repeatable on a GPU too, where convolutions otherwise round to 10 bits of mantissa."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


class Frozen:
    """A fixed network as an `Encode`.

    net(x, lengths): a block as decoded, on the device -> (b, width). Blocks are always of `batch` records, the last one
    padded with zeros: kernels differ in the last digits between sizes of a block, but not between places in it.
    """

    def __init__(self, net: Callable[[Tensor, Tensor], Tensor], width: int, batch: int, device: str = "cpu") -> None:
        self.net, self.width, self.batch, self.device = net, width, batch, device
        self.shape, self.dtype = (width,), np.dtype(np.float32)
        self.details: dict[str, Any] = {}

    def __call__(self, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """(b, *shape), (b,) -> (b, width) float32 of norm 1 (0 where the network gives 0)."""
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
        """Nothing: the network was learnt elsewhere."""
        return {}


FACENET_URL = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt"
FACENET_MIDDLE, FACENET_SPREAD = 127.5, 128.0
