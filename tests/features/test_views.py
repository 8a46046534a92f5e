from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from sordine.data.media.cache import Decoded
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.features.augmentation import operations as augment
from sordine.features.augmentation.views import GENTLE, PAIRS, PUBLISHED, RawViews, ViewOptions, two_views
from sordine.models.contrastive import AgnosticOptions, train_agnostic
from sordine.models.training import Batch
from sordine.run import Run

NOTHING = ViewOptions(flip=0, jitter=0, grey=0, instant=1, crop=0, mask=0)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 6, *, frames: int | None = None) -> Tensor:
    shape = (n, 3, 12, 16) if frames is None else (n, frames, 3, 12, 16)
    return torch.rand(shape, generator=random())


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))


# ------------------------------------------------------------------------------------------- pictures


def test_flip_mirrors_the_named_records_only() -> None:
    x = pictures(2)
    flipped = augment.flip(x, torch.tensor([True, False]))
    assert torch.equal(flipped[0, :, :, 0], x[0, :, :, -1])
    assert torch.equal(flipped[1], x[1])


def test_a_crop_of_everything_changes_nothing_and_a_quarter_is_that_quarter() -> None:
    x = pictures(2)
    whole = torch.tensor([[0.0, 0, 1, 1]] * 2)
    assert torch.allclose(augment.resized_crop(x, whole), x, atol=1e-5)
    flat = torch.zeros(1, 1, 8, 8)
    flat[..., :4, 4:] = 1
    corner = augment.resized_crop(flat, torch.tensor([[0.5, 0.0, 0.5, 0.5]]))
    assert torch.equal(corner[..., 1:-1, 1:-1], torch.ones(1, 1, 6, 6))
    assert corner[..., -1, :].max() < 0.8  # the border is mixed with what lies below


def test_colours_are_changed_as_pillow_does() -> None:
    x = (pictures() * 255).to(torch.uint8)
    factors = torch.tensor([0.0, 0.4, 0.9, 1.0, 1.3, 2.0])
    for mine, theirs in (
        (augment.brightness, ImageEnhance.Brightness),
        (augment.contrast, ImageEnhance.Contrast),
        (augment.saturation, ImageEnhance.Color),
    ):
        for picture, made, factor in zip(x, 255 * mine(x / 255, factors), factors.tolist(), strict=True):
            expected = theirs(Image.fromarray(picture.movedim(0, -1).numpy())).enhance(factor)
            assert np.abs(made.movedim(0, -1).numpy() - np.asarray(expected, np.float32)).max() <= 2, (mine, factor)


def test_hue_is_turned_as_colorsys_does() -> None:
    x = pictures()
    x[0] = x[0, :1]  # a grey picture has no hue to turn
    turns = torch.tensor([0.3, -0.5, -0.2, 0.0, 0.1, 0.5])
    for picture, made, turn in zip(x, augment.hue(x, turns), turns.tolist(), strict=True):
        for colour, changed in zip(picture.flatten(1).T.tolist(), made.flatten(1).T.tolist(), strict=True):
            h, s, v = colorsys.rgb_to_hsv(*colour)
            assert changed == pytest.approx(colorsys.hsv_to_rgb((h + turn) % 1, s, v), abs=1e-5)


def test_a_hue_turned_by_a_third_moves_the_channels() -> None:
    x = pictures()
    assert torch.allclose(augment.hue(x, torch.full((6,), 1 / 3)), x.roll(1, dims=1), atol=1e-5)
    grey = torch.rand(2, 1, 4, 4)
    assert augment.hue(grey, torch.tensor([0.1, 0.2])) is grey


def test_grey_is_the_luma_in_every_channel() -> None:
    x = pictures(2)
    made = augment.grey(x, torch.tensor([True, False]))
    luma = 0.299 * x[0, 0] + 0.587 * x[0, 1] + 0.114 * x[0, 2]
    assert torch.allclose(made[0], luma.expand(3, -1, -1), atol=1e-6)
    assert torch.equal(made[1], x[1])


def test_a_blurred_point_is_a_gaussian_and_no_light_is_lost() -> None:
    x = torch.zeros(2, 1, 15, 15)
    x[..., 7, 7] = 1
    made = augment.gaussian_blur(x, torch.tensor([0.0, 1.5]))
    assert torch.allclose(made[0], x[0], atol=1e-6)
    assert made[1].sum() == pytest.approx(1, abs=1e-5)
    assert float(made[1, 0, 7, 9] / made[1, 0, 7, 7]) == pytest.approx(np.exp(-0.5 * (2 / 1.5) ** 2), abs=1e-4)
    assert torch.allclose(made[1, 0], made[1, 0].T, atol=1e-6)


def test_erasing_sets_the_box_to_the_mean() -> None:
    x = pictures(1)
    made = augment.erase(x, torch.tensor([[0.25, 0.0, 0.5, 0.5]]))
    changed = (made != x).any(1)[0]
    assert changed[:6, 4:12].all()
    assert changed.sum() == 6 * 8
    assert torch.allclose(made[0, :, 0, 4], x.mean())


def test_light_from_the_right_is_brighter_there() -> None:
    x = torch.full((2, 3, 5, 5), 0.2)
    made = augment.shade(x, torch.tensor([[0.5, 0.0], [0.0, 0.0]]))
    assert torch.allclose(made[1], x[1])
    assert torch.allclose(made[0, 0, 0], 0.2 * torch.exp(0.5 * torch.linspace(-1, 1, 5)))


# ------------------------------------------------------------------------------------------- sound and clips


def test_cutting_deletes_the_piece_and_joins_the_rest() -> None:
    x = torch.tensor([[1.0, 2, 3, 4, 5, 0], [1, 2, 3, 4, 5, 6]])
    made, left = augment.cut(x, torch.tensor([5, 6]), torch.tensor([1, 4]), torch.tensor([2, 2]))
    assert made.tolist() == [[1, 4, 5, 0, 0, 0], [1, 2, 3, 4, 0, 0]]
    assert left.tolist() == [3, 4]


def test_silence_keeps_time_and_a_piece_keeps_only_itself() -> None:
    x = torch.tensor([[1.0, 2, 3, 4, 5]])
    assert augment.silence(x, torch.tensor([1]), torch.tensor([3])).tolist() == [[1, 0, 0, 0, 5]]
    assert augment.piece(x, torch.tensor([2]), torch.tensor([2])).tolist() == [[3, 4, 0, 0, 0]]


def test_what_is_played_faster_is_shorter_and_higher() -> None:
    x = torch.arange(6.0).repeat(2, 1)
    played, left = augment.speed(x, torch.tensor([6, 6]), torch.tensor([2.0, 0.5]))
    assert played.tolist() == [[0, 2, 4, 0, 0, 0], [0, 0.5, 1, 1.5, 2, 2.5]]  # what there is no room for is cut off
    assert left.tolist() == [3, 6]
    padded, left = augment.speed(x, torch.tensor([3, 1]), torch.tensor([1.5, 4.0]))
    assert padded.tolist() == [[0, 1.5, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]
    assert left.tolist() == [2, 1]
    tone = torch.sin(torch.arange(4000) * 0.2)[None]
    faster, left = augment.speed(tone, torch.tensor([4000]), torch.tensor([1.25]))
    assert torch.fft.rfft(faster[0, : int(left)]).abs().argmax() == torch.fft.rfft(tone[0]).abs().argmax()
    assert int(left) == 3200  # as many waves in less time


def test_gain_and_noise_are_in_decibels() -> None:
    x = torch.ones(1, 50_000)
    assert augment.gain(x, torch.tensor([20.0]))[0, 0] == pytest.approx(10)
    noisy = augment.add_noise(x, torch.tensor([40_000]), torch.randn(1, 50_000, generator=random()), 20.0)
    assert float((noisy - x)[0, :40_000].std()) == pytest.approx(0.1 * (5 / 4) ** 0.5, rel=0.02)
    assert torch.equal(noisy[0, 40_000:], x[0, 40_000:])


def test_frames_from_an_instant_repeat_the_last_one() -> None:
    x = torch.arange(5.0).reshape(1, 5, 1, 1, 1).expand(2, 5, 1, 1, 1)
    made, left = augment.frames_from(x, torch.tensor([5, 4]), torch.tensor([1, 3]), torch.tensor([2, 2]))
    assert made[:, :, 0, 0, 0].tolist() == [[1, 2, 2, 2, 2], [3, 3, 3, 3, 3]]
    assert left.tolist() == [2, 1]


# ------------------------------------------------------------------------------------------- two views


def test_the_published_sound_has_one_view_cut_and_one_silenced() -> None:
    x = torch.ones(40, 1000)
    lengths = torch.full((40,), 1000)
    lengths[20:] = 500
    x[20:, 500:] = 0
    one, left, other, kept = two_views("audio", x, lengths, random())
    assert torch.equal(left, lengths - (0.4 * lengths).long())  # 40 % of what is real is gone
    assert torch.equal(one.sum(1).long(), left)
    assert torch.equal(kept, lengths)
    assert torch.equal(other.sum(1).long(), lengths // 2)
    starts = (other == 0).float().argmax(1)
    assert len(starts[:20].unique()) > 10  # drawn record by record


def test_the_published_pictures_are_flipped_jittered_and_grey_at_the_papers_shares() -> None:
    one = torch.rand(1, 3, 8, 8, generator=random())
    x = one.expand(2000, 3, 8, 8)
    view, _, other, _ = two_views("image", x, torch.ones(2000, dtype=torch.long), random(1))
    grey = (view[:, 0] == view[:, 1]).all(2).all(1) & (view[:, 1] == view[:, 2]).all(2).all(1)
    assert float(grey.float().mean()) == pytest.approx(0.2, abs=0.03)
    same = torch.isclose(view, x, atol=1e-6).flatten(1).all(1)
    mirrored = torch.isclose(view, x.flip(-1), atol=1e-6).flatten(1).all(1)
    assert float((same | mirrored).float().mean()) == pytest.approx(0.2 * 0.8, abs=0.03)  # neither jittered nor grey
    assert float(same.float().mean()) == pytest.approx(0.1 * 0.8, abs=0.03)
    assert not torch.equal(view, other)


def test_a_clips_frames_are_changed_alike() -> None:
    frame = torch.rand(4, 1, 3, 8, 8, generator=random())
    x = frame.expand(4, 6, 3, 8, 8)
    for options in (PUBLISHED["video"], GENTLE["video"], ViewOptions(scale=(0.5, 1), blur=1)):
        for view in two_views("video", x, torch.full((4,), 6), random(), options)[::2]:
            assert torch.allclose(view, view[:, :1].expand_as(view), atol=1e-6)


def test_a_clips_views_are_two_instants() -> None:
    x = torch.arange(8.0).div(8).reshape(1, 8, 1, 1, 1).expand(50, 8, 3, 4, 4)
    options = ViewOptions(flip=0, jitter=0, grey=0, instant=0.5)
    one, lengths, other, _ = two_views("video", x, torch.full((50,), 8), random(), options)
    assert (lengths == 4).all()
    assert (one[:, 3, 0, 0, 0] - one[:, 0, 0, 0, 0] == 3 / 8).all()
    assert (one[:, 0] != other[:, 0]).flatten(1).any(1).float().mean() > 0.5
    assert {0, 4} <= set((one[:, 0, 0, 0, 0] * 8).long().tolist())  # the first instant and the last are drawn


def test_bytes_stay_bytes_and_nothing_drawn_changes_nothing() -> None:
    x = (pictures(3) * 255).to(torch.uint8)
    one, lengths, other, _ = two_views("image", x, torch.ones(3, dtype=torch.long), random(), NOTHING)
    assert torch.equal(one, x)
    assert torch.equal(other, x)
    assert lengths.tolist() == [1, 1, 1]
    for options in (PUBLISHED["image"], GENTLE["image"]):
        assert two_views("image", x, lengths, random(), options)[0].dtype == torch.uint8
    grey = x[:, :1]
    assert two_views("image", grey, lengths, random(), GENTLE["image"])[0].shape == grey.shape


def test_views_depend_on_the_generator_alone() -> None:
    x, lengths = pictures(), torch.ones(6, dtype=torch.long)
    again = [two_views("image", x, lengths, random(seed), GENTLE["image"])[0] for seed in (3, 3, 4)]
    assert torch.equal(again[0], again[1])
    assert not torch.equal(again[0], again[2])


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("flip", 1.5, "flip=1.5"),
        ("scale", (0.9, 0.5), r"scale=\(0.9, 0.5\)"),
        ("crop", 1.0, "crop=1"),
        ("speed", (2.0, 1.0), r"speed=\(2.0, 1.0\)"),
        ("speed", (0.0, 1.0), r"speed=\(0.0, 1.0\)"),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: object, says: str) -> None:
    with pytest.raises(SordineError, match=says):
        ViewOptions(**{option: value})  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------- as vectors


class Averages:
    """Stands for an extractor: the mean of each channel as a unit vector. It counts the records."""

    width = 3

    def __init__(self) -> None:
        self.records = 0

    def __call__(self, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        self.records += len(x)
        v = x.reshape(len(x), 3, -1).mean(2).astype(np.float32) + 1
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    def weights(self) -> dict[str, Tensor]:
        return {}


def folder(n: int = 30) -> Decoded:
    x = np.random.default_rng(0).integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)
    return Decoded(x, np.ones(n, np.int64), np.arange(n), (), "image")


def batch(*rows: int) -> Batch:
    return Batch(torch.zeros(len(rows), 3), {}, torch.tensor(rows))


def test_fresh_views_are_new_in_every_call_and_are_those_of_the_named_records() -> None:
    have, encode = folder(), Averages()
    rows = np.arange(29, -1, -1)
    views = RawViews(have, encode, rows, count=0)
    one, other = views(batch(0, 5), random())
    assert one.shape == other.shape == (2, 3)
    x = torch.from_numpy(have.x[rows[[0, 5]]])
    expected = two_views("image", x, torch.ones(2, dtype=torch.long), random())
    assert np.array_equal(one.numpy(), encode(expected[0].numpy(), expected[1].numpy()))
    again, _ = views(batch(0, 5), random(1))
    assert not torch.equal(one, again)


def test_kept_views_are_made_once_and_picked_from() -> None:
    have, encode = folder(), Averages()
    steps: list[tuple[str, int, int]] = []
    views = RawViews(have, encode, options=GENTLE["image"], run=Run(progress=lambda *step: steps.append(step)))
    assert views.count == PAIRS
    assert steps[-1] == ("raw views", 30, 30)
    made = encode.records
    assert made >= 2 * PAIRS * 30
    seen = {tuple(views(batch(7), random(seed))[0][0].tolist()) for seed in range(40)}
    assert len(seen) == PAIRS
    assert encode.records == made
    assert views.stored is not None
    assert seen == {tuple(v) for v in views.stored[7, :, 0].tolist()}
    again = RawViews(have, encode, options=GENTLE["image"])
    assert encode.records < made + 30  # found in the cache: only the fingerprint was looked at
    assert np.array_equal(again.stored, views.stored)


def test_a_fingerprint_tells_folders_options_and_extractors_apart() -> None:
    class Other(Averages):
        def __call__(self, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
            return super().__call__(255 - x, lengths)

    have = folder()
    changed = Decoded(255 - have.x, have.lengths, have.rows, (), "image")
    made = [
        RawViews(have, Averages(), count=0),
        RawViews(changed, Averages(), count=0),
        RawViews(have, Other(), count=0),
        RawViews(have, Averages(), count=1),
        RawViews(have, Averages(), count=0, options=GENTLE["image"]),
        RawViews(have, Averages(), np.arange(20), count=0),
    ]
    assert len({v.fingerprint for v in made}) == len(made)
    assert RawViews(have, Averages(), count=0).fingerprint == made[0].fingerprint
    with pytest.raises(SordineError, match="count=-1"):
        RawViews(have, Averages(), count=-1)


@pytest.mark.parametrize("count", [0, 2])
def test_the_agnostic_model_learns_on_raw_views(count: int) -> None:
    have, encode = folder(64), Averages()
    table = Table.of(encode(have.x, have.lengths), {})
    said: list[str] = []
    model = train_agnostic(
        table, AgnosticOptions(epochs=2), views=RawViews(have, encode, count=count), run=Run(log=said.append)
    )
    assert "NT-Xent" in said[0]
    assert torch.isfinite(model(torch.from_numpy(table.x))).all()
