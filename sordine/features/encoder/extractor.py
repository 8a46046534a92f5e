"""A convolutional network that is trained on the folder itself, without labels unless some are named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from sordine.data.media.audio import Waves
from sordine.data.media.cache import Decoded, Decoder
from sordine.data.media.image import Pictures
from sordine.data.media.kinds import Kind, Media
from sordine.data.media.video import Clips
from sordine.data.table import Rows, Table, encode
from sordine.errors import SordineError, nearest
from sordine.features.augmentation.views import GENTLE, two_views
from sordine.features.base import Encode, NetworkExtractor, SourceKind
from sordine.features.encoder import networks as nets
from sordine.features.encoder.steady import changes_in, named, read, steady, written
from sordine.features.logmel import HOP_S, WINDOW_S, mel_filters
from sordine.features.pixels import learning, principal
from sordine.keys import numpy_rng
from sordine.models.checkpoints import checkpoint_file
from sordine.models.losses import masked_mean, simclr
from sordine.models.networks.mlp import mlp
from sordine.models.pretrained import Frozen, exact, load, read_state
from sordine.models.training import Draw, Move, Player, adamw, seeded, train
from sordine.run import Run

FEWEST = 16  # records of a fit
BANDS = 64
PROJECTION = (256, 128)
BATCH: dict[Kind, int] = {"image": 256, "audio": 128, "video": 64}
BLOCK: dict[Kind, int] = {"image": 256, "audio": 64, "video": 32}
WIDTH: dict[Kind, int] = {"image": 24, "audio": 16, "video": 12}  # channels of the first stage
EPOCHS: dict[Kind, int] = {"image": 30, "audio": 30, "video": 12}
ENOUGH, FEWEST_EPOCHS = 100_000, 5  # records times epochs after which fewer epochs do
LR, WEIGHT_DECAY, TAU = 2e-3, 1e-2, 0.2
AMONG = 512  # principal components from which steady axes are made, or `width` where that is more
WHITENING = 0.5  # 0 leaves the components' deviations as they are, 1 makes them equal
DEAD = 1e-4  # of the largest deviation in a block: a number that varies less is rounding

Net = nets.PictureNetwork | nets.SoundNetwork | nets.ClipNetwork


@dataclass(frozen=True)
class Encoder(NetworkExtractor):
    """`width` numbers of norm 1 for a picture, sound or video, by a network that SimCLR trains on the folder.

    Training brings two mild augmentations of a record together and apart from other records. The vector is not only the
    trained output, which lacks what the augmentations change, but contains the activations of all depths
    (`networks.blocks`). Each number is standardised and each block has the same weight. Principal components follow,
    with the square roots of their deviations, and a fixed random rotation, so that standardising the columns later does
    not enlarge the smallest components. Network and components are fitted on the records whose column `split` is
    "train", or on all. Labels are used only where they are named.

    Parameters
    ----------
    size
        Pixels a side of pictures and frames, 16 to 256.
    grey
        One channel instead of three.
    rate, seconds
        Of sound, which is cut or padded.
    frames, step
        Of a video: every `step`-th frame, up to so many.
    width
        Numbers of a vector, 2 to 4,096; a folder of n records spans at most n - 1 dimensions.
    epochs
        None takes 30 (12 for video), fewer for more than 100,000 records times epochs, at least 5; 0 does not train.
    labels
        Comma-separated columns that the network also predicts (cross-entropy on both views), for preserved attributes.
    steady
        Comma-separated changes that hardly alter the vector: `crop`, `light`, `mirror` of pictures and videos; `voice`,
        `piece`, `gain` of sound (`encoder.steady`). The largest 512 components, or `width` where that is more, are
        turned to axes on which records differ most compared with the changes; the first `width` are used.
    weights
        A file of an earlier fit to use instead, with the same `size`, `grey`, `rate`, `seconds`, `frames` and `step`.

    Raises
    ------
    SordineError
        Where `steady` names an unknown change.
    """

    size: Annotated[int, Field(ge=16, le=256)] = 48
    grey: bool = False
    rate: Annotated[int, Field(ge=2000, le=96000)] = 16000
    seconds: Annotated[float, Field(ge=0.1, le=60)] = 4.0
    frames: Annotated[int, Field(ge=2, le=128)] = 16
    step: Annotated[int, Field(ge=1, le=100)] = 2
    width: Annotated[int, Field(ge=2, le=4096)] = 512
    epochs: Annotated[int, Field(ge=0, le=10_000)] | None = None
    labels: str = ""
    steady: str = ""
    weights: Path | None = None

    accepts: ClassVar[tuple[SourceKind, ...]] = ("audio", "image", "video")
    version: ClassVar[int] = 1
    block: ClassVar[int] = 256
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        named(self.steady)

    def decoder(self, kind: Kind) -> Decoder:
        """Return a decoder to square pictures, clips of square frames, or waveforms of one length.

        Raises SordineError where `steady` names a change of another kind of media.
        """
        named(self.steady, kind)
        if kind == "image":
            return Pictures(self.size, self.size, self.grey)
        if kind == "video":
            return Clips(self.size, self.size, self.frames, self.step)
        return Waves(self.rate, round(self.rate * self.seconds))

    def hides_information(self) -> str:
        """Return the changes that the numbers hardly reflect (`steady`), of the options or of the weights."""
        return ", ".join(named(self.steady)) or ("" if self.weights is None else changes_in(self.weights))

    def net(self, kind: Kind) -> Net:
        """Return the untrained network for a kind of media."""
        if kind == "image":
            return nets.PictureNetwork(1 if self.grey else 3, WIDTH[kind])
        if kind == "video":
            return nets.ClipNetwork(3, WIDTH[kind])
        size = round(WINDOW_S * self.rate)
        length = 1 << (size - 1).bit_length()
        filters = torch.from_numpy(mel_filters(self.rate, length, BANDS)).float()
        window = torch.from_numpy(np.hanning(size)).float()
        return nets.SoundNetwork(filters, window, round(HOP_S * self.rate), WIDTH[kind])

    def open(self, kind: Kind, run: Run) -> Encode:
        """Load the file `weights`. Raises SordineError where none is given, or it was trained with other options."""
        if self.weights is None:
            raise SordineError("encoder is trained on the folder itself; to use an earlier training, give weights=FILE")
        if not self.weights.is_file():
            raise SordineError(f"encoder: weights {self.weights} does not exist")
        state = read_state(self.weights)
        missing = [name for name in ("mean", "projection") if name not in state]
        if missing:
            raise SordineError(
                f"{self.weights} does not hold weights of the extractor encoder: they lack {missing[0]!r}"
            )
        mean, projection = state.pop("mean").float(), state.pop("projection").float()
        changes = [name for name in read(state.pop("steady", None)).split(",") if name]
        if (wanted := named(self.steady, kind)) and sorted(wanted) != sorted(changes):
            how = f"with steady={','.join(changes)}" if changes else "without `steady`"
            raise SordineError(f"{self.weights} was trained {how}; remove the option `steady`, or train again")
        net = self.net(kind)
        load(net, state, self.weights)
        if projection.shape != (len(mean), self.width):
            raise SordineError(
                f"{self.weights} was trained with width={projection.shape[-1]}, not {self.width}; give the same options"
            )
        return TrainedEncoder(net, mean, projection, kind, run.device, changes)

    def fit(self, decoded: Decoded, media: Media, run: Run) -> Encode:
        """Train the network on the folder and compute the components of its activations, batch by batch.

        Memory does not grow with the folder (a few matrices of at most 3,400 x 3,400).

        Goes on from `run.folder` where an earlier call was cut off. Raises SordineError where there are fewer than 16
        records to learn from, they are all the same, or a column of `labels` is missing or has fewer than two classes.
        """
        if self.weights is not None:
            return self.open(decoded.kind, run)
        rows = learning(decoded, media)
        if len(rows) < FEWEST:
            raise SordineError(
                f"{media.root}: encoder needs at least {FEWEST} records in the fit; there are {len(rows)}"
            )
        table = self._table(decoded, media, rows)
        changes = named(self.steady, decoded.kind)
        with seeded(run.seed, "encoder"):
            net = self.net(decoded.kind)
            learner = Learner(net, [len(names) for names in table.classes.values()]).to(run.device)
            learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._train(learner, table, decoded, rows, run)
            if self.epochs == 0:
                _settle(net, decoded, rows, run.device)
        net.requires_grad_(False).eval()
        mean, projection = self._components(net, decoded, rows, changes, media, run)
        if changes:
            run.log(f"encoder: axes that are steady under {', '.join(changes)}")
        return TrainedEncoder(net, mean, projection, decoded.kind, run.device, changes)

    def _table(self, decoded: Decoded, media: Media, rows: np.ndarray) -> Table:
        """Return the records of the fit, still mapped, with the named labels."""
        y, classes = {}, {}
        columns = [c for c in media.records.column_names if c != "file_name"]
        for name in (n.strip() for n in self.labels.split(",") if n.strip()):
            if name not in columns:
                raise SordineError(
                    f"{media.root}: encoder: unknown column {name!r} in `labels`; {nearest(name, columns)}"
                )
            labels = np.array(media.records[name].to_pylist(), dtype=object)[decoded.rows[rows]]
            y[name], classes[name] = encode(labels)
            if len(classes[name]) < 2:
                raise SordineError(
                    f"{media.root}: encoder: column {name!r} in `labels` has fewer than two classes; remove it"
                )
        ids = np.array(media.ids, dtype=object)[decoded.rows[rows]]
        return Table(x=Rows(decoded.x, rows), y=y, ids=ids, classes=classes, source=str(media.root))

    def _train(self, learner: Learner, table: Table, decoded: Decoded, rows: np.ndarray, run: Run) -> None:
        kind, n = decoded.kind, len(table)
        epochs = self.epochs
        if epochs is None:
            epochs = min(EPOCHS[kind], max(FEWEST_EPOCHS, ENOUGH // n))
        lengths = torch.from_numpy(decoded.lengths[rows])
        game = Contrast(learner, kind, lengths, epochs)
        random = int(numpy_rng(run.seed, "encoder draw").integers(2**31))
        draw = Draw(table, min(n, BATCH[kind]), tuple(table.y), seed=random, device=run.device)
        # `steady` is no part of the training: an interrupted one resumes with other axes too.
        fields = {k: v for k, v in asdict(self).items() if k not in ("weights", "steady")}
        fields |= {"epochs": epochs, "kind": kind, "seed": run.seed, "version": self.version}
        file = checkpoint_file(run.folder, "encoder", fields, table, tuple(table.y))
        history = train(game, draw, epochs, what="encoder", file=file, run=run)
        if history:
            terms = ", ".join(f"{term.rpartition('/')[2]} {value:.3f}" for term, value in history[-1].items())
            run.log(f"encoder: {epochs} epochs over {n} records: {terms}")

    def _components(
        self, net: Net, decoded: Decoded, rows: np.ndarray, changes: list[str], media: Media, run: Run
    ) -> tuple[Tensor, Tensor]:
        """Return the mean (d,) of the blocks' numbers, and the map (d, width) to the vector, both float32."""
        origin, total, square, sizes = np.zeros(0), np.zeros(0), np.zeros((0, 0)), [0]
        for blocks in _activations(net, decoded, rows, run.device):
            values = np.concatenate(blocks, axis=1, dtype=np.float64)
            if not len(origin):
                # Near the mean: no cancellation.
                origin, sizes = values.mean(axis=0), [b.shape[1] for b in blocks]
                total, square = np.zeros_like(origin), np.zeros((len(origin), len(origin)))
            values -= origin
            total += values.sum(axis=0)
            square += values.T @ values
        mean = total / len(rows)
        covariance = square / len(rows) - np.outer(mean, mean)
        deviation = np.sqrt(np.diag(covariance).clip(0))
        scale = np.zeros_like(mean)
        for start, size in zip(np.cumsum([0, *sizes]), sizes, strict=False):
            own = deviation[start : start + size]
            live = own > DEAD * max(own.max(), DEAD)
            scale[start : start + size][live] = 1 / (own[live] * np.sqrt(size))
        if not scale.any():
            raise SordineError(f"{media.root}: encoder cannot be trained, as all records look the same")
        among = max(self.width, AMONG) if changes else self.width
        variance, directions = principal(scale[:, None] * covariance * scale, min(among, len(rows) - 1))
        square_matrix = numpy_rng(run.seed, "encoder rotation").normal(size=(self.width, self.width))
        mean = mean + origin
        whitened = directions / variance ** (WHITENING / 2)
        if changes:
            there = scale[:, None] * whitened

            def numbers(x: Tensor, lengths: Tensor) -> np.ndarray:
                parts = _blocks(net, x, lengths, run.device)
                return (np.concatenate(parts, axis=1, dtype=np.float64) - mean) @ there

            random = int(numpy_rng(run.seed, "encoder steady").integers(2**31))
            left, size = variance ** (1 - WHITENING), BLOCK[decoded.kind]
            turn = steady(decoded, rows, changes, numbers, left, size, random, run)
            whitened = whitened @ turn[:, : self.width]
        rotation = np.linalg.qr(square_matrix)[0][: whitened.shape[1]]
        projection = scale[:, None] * (whitened @ rotation)
        return torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(projection.astype(np.float32))


class Learner(nn.Module):
    """The network in training, with SimCLR's projector and a linear head for each label."""

    def __init__(self, net: Net, classes: list[int]) -> None:
        super().__init__()
        self.net = net
        self.projector = mlp([net.width, *PROJECTION], batch_norm=True)
        self.heads = nn.ModuleList(nn.Linear(net.width, c) for c in classes)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return p of NT-Xent (b, 128), and logits (b, classes) of every head."""
        z = self.net(x, lengths)
        return self.projector(z), [head(z) for head in self.heads]


class Contrast:
    """SimCLR as a game of one player. lengths: (n,) real samples or frames of the records that are drawn."""

    moves = ("encoder",)

    def __init__(self, learner: Learner, kind: Kind, lengths: Tensor, epochs: int) -> None:
        def schedule(optimiser: torch.optim.Optimizer) -> CosineAnnealingLR:
            return CosineAnnealingLR(optimiser, max(1, epochs))

        self.kind, self.lengths, self.learner = kind, lengths, learner
        self.players = {"encoder": Player(learner, adamw(LR, WEIGHT_DECAY), schedule)}

    def round(self, draw: Draw) -> Iterator[Move]:
        """One batch: NT-Xent between two gentle views, and the cross-entropy of both views for every label."""
        records = draw()
        x = records.x if self.kind == "audio" else records.x.to(torch.uint8)
        lengths = self.lengths[records.rows].to(x.device)
        x1, lengths1, x2, lengths2 = two_views(self.kind, x, lengths, draw.generator, GENTLE[self.kind])
        # One pass for both views, so that batch normalisation gets them together.
        both, lengths = torch.cat([x1, x2]), torch.cat([lengths1, lengths2])
        if self.kind == "audio":
            # Padding that the whole batch shares is cut, to save time.
            both = both[:, : max(int(lengths.max()), self.shortest)]
        p, logits = self.learner(both, lengths)
        one, other = p.chunk(2)
        terms = {"nt_xent": simclr(one, other, TAU)}
        for output, (name, labels) in zip(logits, records.y.items(), strict=True):
            twice = labels.repeat(2)
            terms[name] = masked_mean(functional.cross_entropy(output, twice, ignore_index=-1, reduction="none"), twice)
        yield "encoder", terms

    @property
    def shortest(self) -> int:
        """Fewest samples of a batch of sound: those of a window."""
        return len(self.learner.net.window) if isinstance(self.learner.net, nets.SoundNetwork) else 0


class TrainedEncoder(Frozen):
    """An `Encode` of `Encoder`: the trained network with its components. changes: those of `steady`."""

    def __init__(
        self, net: Net, mean: Tensor, projection: Tensor, kind: Kind, device: str, changes: Sequence[str] = ()
    ) -> None:
        self.network, self.mean, self.projection = net.to(device), mean, projection
        self.steady = ",".join(changes)
        # Always the same order in memory: another can change the last digits of a convolution.
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        there = mean.to(device), projection.to(device)

        def embed(x: Tensor, lengths: Tensor) -> Tensor:
            return (torch.cat(net.blocks(x, lengths), 1) - there[0]) @ there[1]

        super().__init__(embed, projection.shape[1], BLOCK[kind], device)
        if self.steady:
            named = self.steady.replace(",", ", ")
            self.details = {
                "steady": self.steady,
                "say": [f"The numbers hardly reflect {named}, so the accuracy on originals is that of these numbers."],
            }

    def weights(self) -> dict[str, Tensor]:
        """Return the network's weights, `mean` and `projection`; and `steady`, where it was set."""
        changes = {"steady": written(self.steady.split(","))} if self.steady else {}
        return {**self.network.state_dict(), "mean": self.mean, "projection": self.projection, **changes}


def _activations(net: Net, decoded: Decoded, rows: np.ndarray, device: str) -> Iterator[list[np.ndarray]]:
    """Return the blocks of activations of some records, (b, d) each, a batch at a time."""
    size = BLOCK[decoded.kind]
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        x, lengths = (torch.from_numpy(np.array(v[part])) for v in (decoded.x, decoded.lengths))
        yield _blocks(net, x, lengths, device)


def _blocks(net: Net, x: Tensor, lengths: Tensor, device: str) -> list[np.ndarray]:
    """Return the blocks of activations of one batch, (b, d) each."""
    with torch.inference_mode(), exact():
        return [b.cpu().numpy() for b in net.blocks(x.to(device), lengths.to(device))]


@torch.no_grad()
def _settle(net: Net, decoded: Decoded, rows: np.ndarray, device: str) -> None:
    """Pass the records once through the batch normalisations of an untrained network, as training would."""
    net.train()
    for start in range(0, len(rows), BATCH[decoded.kind]):
        part = rows[start : start + BATCH[decoded.kind]]
        x, lengths = (torch.from_numpy(np.array(v[part])).to(device) for v in (decoded.x, decoded.lengths))
        net(x, lengths)
    net.eval()
