"""A convolutional network learnt from the folder itself, without labels unless some are named."""

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
from sordine.features.encoder.steady import named, read, steady, told, written
from sordine.features.logmel import HOP_S, WINDOW_S, mel_filters
from sordine.features.pixels import learning, principal
from sordine.keys import numpy_rng
from sordine.models.checkpoints import checkpoint_file
from sordine.models.losses import masked_mean, simclr
from sordine.models.networks.mlp import mlp
from sordine.models.pretrained import Frozen, exact, load, read_state
from sordine.models.training import Draw, Move, Player, adamw, seeded, train
from sordine.run import Run

FEWEST = 16  # records that anything can be learnt from
BANDS = 64
PROJECTION = (256, 128)
BATCH: dict[Kind, int] = {"image": 256, "audio": 128, "video": 64}
BLOCK: dict[Kind, int] = {"image": 256, "audio": 64, "video": 32}
WIDTH: dict[Kind, int] = {"image": 24, "audio": 16, "video": 12}  # channels of the first stage
EPOCHS: dict[Kind, int] = {"image": 30, "audio": 30, "video": 12}
SEEN, FEWEST_EPOCHS = 100_000, 5
LR, WEIGHT_DECAY, TAU = 2e-3, 1e-2, 0.2
AMONG = 512  # principal components that steady axes are looked for among, or `width` where that is more
WHITENING = 0.5  # 0 leaves the components' deviations as they are, 1 makes them equal
DEAD = 1e-4  # of the largest deviation in a block: a number that varies less is rounding

Net = nets.Pictures | nets.Sound | nets.Clips


@dataclass(frozen=True)
class Encoder(NetworkExtractor):
    """`width` numbers a record, of norm 1, from pictures, sound or video: by a network that SimCLR trains on the
    folder.

    Two gentle views of a record (`features.views.GENTLE`) are to be like each other and unlike those of others. What is
    kept is not the trained vector alone, which forgets what the views change, but the blocks of all depths
    (`nets.encoder`): each number standardised, each block given the same weight, the whole brought to its principal
    components, their deviations replaced by their square roots, and turned by a fixed random rotation, so that
    standardising the columns later does not blow up the smallest components. Network and components are learnt from the
    records whose column `split` is "train" where there is one, else from all; labels are used only where named.

    size: pixels a side, of pictures and frames. grey: one channel instead of three. rate, seconds: of sound, which is
    cut or filled up to that. frames, step: of a video, every `step`-th frame up to so many. width: records of a folder
    of n span n - 1 of its dimensions at most. epochs: by default 30 (12 for video), fewer where 100,000 records have
    been seen before, at least 5; 0 leaves the weights as drawn. labels: columns, with commas between, that the network
    also learns to tell (cross-entropy on both views): for attributes to be preserved. steady: changes, with commas
    between, that a record's numbers should hardly know of: of pictures and videos `crop`, `light`, `mirror`, of sound
    `voice`, `piece`, `gain` (`features.steady`). The 512 largest components, or `width` where that is more, are turned to
    axes on which records differ most for what the changes do; the first `width` are kept, weighted so that the changes,
    and a floor, make all of them vary alike. weights: a file of what was learnt before, used instead, with the same
    `size`, `grey`, `rate`, `seconds`, `frames` and `step`; it knows what it is steady under.
    Raises SordineError where an option is out of range.
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

    reads: ClassVar[tuple[SourceKind, ...]] = ("audio", "image", "video")
    version: ClassVar[int] = 1
    block: ClassVar[int] = 256
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        named(self.steady)

    def decoder(self, kind: Kind) -> Decoder:
        """Square pictures, clips of square frames, or waveforms of one length. Raises SordineError for a change in `steady`
        that this kind cannot be changed in."""
        named(self.steady, kind)
        if kind == "image":
            return Pictures(self.size, self.size, self.grey)
        if kind == "video":
            return Clips(self.size, self.size, self.frames, self.step)
        return Waves(self.rate, round(self.rate * self.seconds))

    def hides_information(self) -> str:
        """Return the changes that the numbers hardly reflect (`steady`), of the options or of the weights."""
        return ", ".join(named(self.steady)) or ("" if self.weights is None else told(self.weights))

    def net(self, kind: Kind) -> Net:
        """The network for a kind of media, its weights as they start."""
        if kind == "image":
            return nets.Pictures(1 if self.grey else 3, WIDTH[kind])
        if kind == "video":
            return nets.Clips(3, WIDTH[kind])
        size = round(WINDOW_S * self.rate)
        length = 1 << (size - 1).bit_length()
        filters = torch.from_numpy(mel_filters(self.rate, length, BANDS)).float()
        window = torch.from_numpy(np.hanning(size)).float()
        return nets.Sound(filters, window, round(HOP_S * self.rate), WIDTH[kind])

    def open(self, kind: Kind, run: Run) -> Encode:
        """The network of the file `weights`. Raises SordineError where none is named, or it is of other options."""
        if self.weights is None:
            raise SordineError("encoder learns from the folder itself; to use what it learnt before, give weights=FILE")
        if not self.weights.is_file():
            raise SordineError(f"encoder: weights {self.weights} does not exist")
        state = read_state(self.weights)
        missing = [name for name in ("mean", "projection") if name not in state]
        if missing:
            raise SordineError(f"{self.weights} is not what encoder learns: it has no {missing[0]!r}")
        mean, projection = state.pop("mean").float(), state.pop("projection").float()
        changes = [name for name in read(state.pop("steady", None)).split(",") if name]
        if (asked := named(self.steady, kind)) and sorted(asked) != sorted(changes):
            how = f"steady under {', '.join(changes)}" if changes else "without steady"
            raise SordineError(f"{self.weights} was learnt {how}, and steady is learnt: leave it out")
        net = self.net(kind)
        load(net, state, self.weights)
        if projection.shape != (len(mean), self.width):
            raise SordineError(
                f"{self.weights} was learnt with other options: it gives {projection.shape[-1]} numbers a record, "
                f"not {self.width}"
            )
        return Learnt(net, mean, projection, kind, run.device, changes)

    def fit(self, decoded: Decoded, media: Media, run: Run) -> Encode:
        """Train the network on the folder and find the components of what it says, batch by batch: memory does not grow
        with the folder (a few matrices of at most 3,400 x 3,400).

        Goes on from `run.folder` where an earlier call was cut off. Raises SordineError where there are fewer than 16
        records to learn from, they are all the same, or a column of `labels` is missing or has fewer than two classes.
        """
        if self.weights is not None:
            return self.open(decoded.kind, run)
        rows = learning(decoded, media)
        if len(rows) < FEWEST:
            raise SordineError(f"{media.root}: encoder learns from {FEWEST} records or more, and there are {len(rows)}")
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
        return Learnt(net, mean, projection, decoded.kind, run.device, changes)

    def _table(self, decoded: Decoded, media: Media, rows: np.ndarray) -> Table:
        """The learning records, still mapped, with the labels that were named."""
        y, classes = {}, {}
        columns = [c for c in media.records.column_names if c != "file_name"]
        for name in (n.strip() for n in self.labels.split(",") if n.strip()):
            if name not in columns:
                raise SordineError(f"{media.root}: encoder: no column {name!r} to learn; {nearest(name, columns)}")
            labels = np.array(media.records[name].to_pylist(), dtype=object)[decoded.rows[rows]]
            y[name], classes[name] = encode(labels)
            if len(classes[name]) < 2:
                raise SordineError(f"{media.root}: encoder: column {name!r} has fewer than two classes to learn")
        ids = np.array(media.ids, dtype=object)[decoded.rows[rows]]
        return Table(x=Rows(decoded.x, rows), y=y, ids=ids, classes=classes, source=str(media.root))

    def _train(self, learner: Learner, table: Table, decoded: Decoded, rows: np.ndarray, run: Run) -> None:
        kind, n = decoded.kind, len(table)
        epochs = self.epochs
        if epochs is None:
            epochs = min(EPOCHS[kind], max(FEWEST_EPOCHS, SEEN // n))
        lengths = torch.from_numpy(decoded.lengths[rows])
        game = Contrast(learner, kind, lengths, epochs)
        random = int(numpy_rng(run.seed, "encoder draw").integers(2**31))
        draw = Draw(table, min(n, BATCH[kind]), tuple(table.y), seed=random, device=run.device)
        # What is not of the training: one that was cut off goes on under other axes too.
        fields = {k: v for k, v in asdict(self).items() if k not in ("weights", "steady")}
        fields |= {"epochs": epochs, "kind": kind, "seed": run.seed, "version": self.version}
        file = checkpoint_file(run.folder, "encoder", fields, table, tuple(table.y))
        history = train(game, draw, epochs, what="encoder", file=file, run=run)
        if history:
            said = ", ".join(f"{term.rpartition('/')[2]} {value:.3f}" for term, value in history[-1].items())
            run.log(f"encoder: {epochs} epochs over {n} records: {said}")

    def _components(
        self, net: Net, decoded: Decoded, rows: np.ndarray, changes: list[str], media: Media, run: Run
    ) -> tuple[Tensor, Tensor]:
        """Mean (d,) of the blocks' numbers, and the map (d, width) of what is left to the vector, both float32."""
        origin, total, square, sizes = np.zeros(0), np.zeros(0), np.zeros((0, 0)), [0]
        for blocks in _said(net, decoded, rows, run.device):
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
            raise SordineError(f"{media.root}: encoder has nothing to learn, as all records look the same")
        among = max(self.width, AMONG) if changes else self.width
        variance, directions = principal(scale[:, None] * covariance * scale, min(among, len(rows) - 1))
        square_matrix = numpy_rng(run.seed, "encoder rotation").normal(size=(self.width, self.width))
        mean = mean + origin
        whitened = directions / variance ** (WHITENING / 2)
        if changes:
            there = scale[:, None] * whitened

            def numbers(x: Tensor, lengths: Tensor) -> np.ndarray:
                said = _blocks(net, x, lengths, run.device)
                return (np.concatenate(said, axis=1, dtype=np.float64) - mean) @ there

            random = int(numpy_rng(run.seed, "encoder steady").integers(2**31))
            left, size = variance ** (1 - WHITENING), BLOCK[decoded.kind]
            turn = steady(decoded, rows, changes, numbers, left, size, random, run)
            whitened = whitened @ turn[:, : self.width]
        rotation = np.linalg.qr(square_matrix)[0][: whitened.shape[1]]
        projection = scale[:, None] * (whitened @ rotation)
        return torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(projection.astype(np.float32))


class Learner(nn.Module):
    """What is trained around the network and not kept: SimCLR's projector, and a linear head for each label."""

    def __init__(self, net: Net, classes: list[int]) -> None:
        super().__init__()
        self.net = net
        self.projector = mlp([net.width, *PROJECTION], batch_norm=True)
        self.heads = nn.ModuleList(nn.Linear(net.width, c) for c in classes)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Records of a batch -> p of NT-Xent (b, 128), and logits (b, classes) of every head."""
        said = self.net(x, lengths)
        return self.projector(said), [head(said) for head in self.heads]


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
        # One pass for both views: batch norm then sees them together.
        both, lengths = torch.cat([x1, x2]), torch.cat([lengths1, lengths2])
        if self.kind == "audio":
            # No time goes into padding that the whole batch shares.
            both = both[:, : max(int(lengths.max()), self.shortest)]
        p, logits = self.learner(both, lengths)
        one, other = p.chunk(2)
        terms = {"nt_xent": simclr(one, other, TAU)}
        for said, (name, labels) in zip(logits, records.y.items(), strict=True):
            twice = labels.repeat(2)
            terms[name] = masked_mean(functional.cross_entropy(said, twice, ignore_index=-1, reduction="none"), twice)
        yield "encoder", terms

    @property
    def shortest(self) -> int:
        """Samples that a batch of sound has at least: a window's."""
        return len(self.learner.net.window) if isinstance(self.learner.net, nets.Sound) else 0


class Learnt(Frozen):
    """A trained network with its components: an `Encode` that has something to save. steady: what its numbers are steady under."""

    def __init__(
        self, net: Net, mean: Tensor, projection: Tensor, kind: Kind, device: str, changes: Sequence[str] = ()
    ) -> None:
        self.network, self.mean, self.projection = net.to(device), mean, projection
        self.steady = ",".join(changes)
        # One order in memory, however the weights came: another can change the last digits of a convolution.
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        there = mean.to(device), projection.to(device)

        def embed(x: Tensor, lengths: Tensor) -> Tensor:
            return (torch.cat(net.blocks(x, lengths), 1) - there[0]) @ there[1]

        super().__init__(embed, projection.shape[1], BLOCK[kind], device)
        if self.steady:
            named = self.steady.replace(",", ", ")
            self.details = {
                "steady": self.steady,
                "say": [
                    f"the numbers are steady under {named}: what is read of the originals is read of these numbers"
                ],
            }

    def weights(self) -> dict[str, Tensor]:
        """The network's weights, `mean` and `projection`; `steady`, where its numbers are."""
        told = {"steady": written(self.steady.split(","))} if self.steady else {}
        return {**self.network.state_dict(), "mean": self.mean, "projection": self.projection, **told}


def _said(net: Net, decoded: Decoded, rows: np.ndarray, device: str) -> Iterator[list[np.ndarray]]:
    """The blocks of numbers of some records, (b, d) each, a batch at a time."""
    size = BLOCK[decoded.kind]
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        x, lengths = (torch.from_numpy(np.array(v[part])) for v in (decoded.x, decoded.lengths))
        yield _blocks(net, x, lengths, device)


def _blocks(net: Net, x: Tensor, lengths: Tensor, device: str) -> list[np.ndarray]:
    """The blocks of numbers of one batch, (b, d) each."""
    with torch.inference_mode(), exact():
        return [b.cpu().numpy() for b in net.blocks(x.to(device), lengths.to(device))]


@torch.no_grad()
def _settle(net: Net, decoded: Decoded, rows: np.ndarray, device: str) -> None:
    """Let the batch norms of an untrained network see the records once, as they would have in training."""
    net.train()
    for start in range(0, len(rows), BATCH[decoded.kind]):
        part = rows[start : start + BATCH[decoded.kind]]
        x, lengths = (torch.from_numpy(np.array(v[part])).to(device) for v in (decoded.x, decoded.lengths))
        net(x, lengths)
    net.eval()
