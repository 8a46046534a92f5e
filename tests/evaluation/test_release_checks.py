"""Flaws: every kind of damaged or telling release is named, and a sound one is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sordine.attacks.budget import Budget
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.release_checks import Match, column_leakage, columns, contents, match, names_and_order
from sordine.policy import Policy

POLICY = Policy(("speaker",), ("word",))
NAMES = np.array(["anna", "ben", "carl", "dora"])


def pair(n: int = 400, seed: int = 0) -> tuple[Table, Table]:
    """A table, and a sound release of it: other numbers, only the preserved column kept."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 5)).astype(np.float32)
    ids = [f"{rng.integers(1 << 60):015x}" for _ in range(n)]
    labels = {"speaker": NAMES[rng.integers(0, 4, n)], "word": rng.integers(0, 3, n)}
    original = Table.of(x, labels, ids=ids)
    return original, replace(original, x=rng.standard_normal((n, 5)).astype(np.float32), y={"word": original.y["word"]})


def codes(original: Table, released: Table, final: bool = True) -> dict[str, str]:
    rows = match(original, released)
    found = [
        *rows.flaws,
        *contents(original, released, rows).flaws,
        *columns(original, released, rows, POLICY),
        *names_and_order(original, released, rows, POLICY, final=final),
    ]
    return {f.code: f.severity for f in found}


def test_a_sound_release_has_no_flaw() -> None:
    for seed in range(5):
        assert codes(*pair(seed=seed)) == {}


def test_missing_extra_duplicate_and_turned_records() -> None:
    original, released = pair()
    fewer = released.take(np.arange(3, 400))
    assert codes(original, fewer) == {"missing": "broken"}
    assert codes(original.take(np.arange(3, 400)), released) == {"extra": "broken"}
    ids = released.ids.copy()
    ids[7] = ids[3]
    assert codes(original, replace(released, ids=ids)) == {"missing": "broken", "duplicate": "broken"}
    turn = np.random.default_rng(0).permutation(400)
    turned = released.take(turn)
    assert codes(original, turned) == {"order": "note"}
    rows = match(original, turned)
    assert np.array_equal(turned.ids[rows.released], original.ids[rows.original])


def test_many_classes_give_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    original, released = pair()
    many = np.array([f"c{i * 2 // 3}" for i in range(400)])
    original = Table.of(original.x, {"sex": many, "word": many}, ids=original.ids)
    names_and_order(original, released, match(original, released), Policy(("sex",)), final=True)
    assert not [str(w.message) for w in recwarn if issubclass(w.category, UserWarning)]


def test_one_record_is_singular() -> None:
    original, released = pair()
    x = released.x.copy()
    x[5, 2] = np.nan
    (missing,) = match(original, released.take(np.arange(1, 400))).flaws
    (several,) = match(original, released.take(np.arange(2, 400))).flaws
    (finite,) = contents(original, replace(released, x=x), match(original, released)).flaws
    assert missing.message.startswith("1 original record is missing ")
    assert several.message.startswith("2 original records are missing ")
    assert finite.message.startswith("1 released record contains ")


def test_nothing_matches() -> None:
    original, released = pair()
    other = replace(released, ids=np.array([f"other{i}" for i in range(400)], dtype=object))
    assert {"missing", "extra"} <= set(codes(original, other))


def test_broken_features() -> None:
    original, released = pair()
    x = released.x.copy()
    x[5, 2] = np.nan
    x[9, 0] = np.inf
    assert codes(original, replace(released, x=x)) == {"finite": "broken"}
    rows = match(original, released)
    assert (~contents(original, replace(released, x=x), rows).finite).sum() == 2
    assert codes(original, replace(released, x=np.ones_like(x))) == {"constant": "broken"}
    still = released.x.copy()
    still[:, 1] = 3
    assert codes(original, replace(released, x=still)) == {"constant-column": "note"}
    assert codes(replace(original, x=still), replace(released, x=still)) == {"untouched": "note"}
    same = released.x.copy()
    same[:10] = original.x[:10]
    assert codes(original, replace(released, x=same)) == {"untouched": "note"}
    assert codes(original, replace(released, x=released.x[:, :3])) == {"width": "note"}
    assert codes(original, replace(released, x=np.full_like(x, np.nan))) == {"finite": "broken"}


def test_columns_that_tell() -> None:
    original, released = pair()
    speaker = original.y["speaker"]
    assert codes(original, replace(released, y={**released.y, "speaker": speaker})) == {"suppressed-column": "leak"}
    assert codes(original, replace(released, y={**released.y, "voice": 3 - speaker})) == {"telling-column": "leak"}
    rng = np.random.default_rng(0)
    half = np.where(rng.random(400) < 0.5, speaker, rng.integers(0, 4, 400))
    assert codes(original, replace(released, y={**released.y, "voice": half})) == {"telling-column": "leak"}
    little = np.where(rng.random(400) < 0.15, speaker, rng.integers(0, 4, 400))
    assert codes(original, replace(released, y={"voice": little})) == {"telling-column": "note"}
    assert codes(original, replace(released, group=speaker)) == {"telling-column": "leak"}


def test_a_column_of_chance_does_not_tell() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 300)
    found = [column_leakage(truth, rng.integers(0, 60, 300)) for _ in range(20)]
    assert all(t is None for t in found)
    assert column_leakage(truth, truth) == pytest.approx(1)
    assert column_leakage(np.full(300, -1), truth) is None


@pytest.mark.parametrize(
    "name",
    [
        lambda i, s: f"data/{i % 7}_{NAMES[s]}_{i}.flac",
        lambda i, s: f"clip-{'kqzw'[s]}{i:05d}",
        lambda i, s: f"{s * 1000 + i}",
    ],
)
def test_ids_that_tell(name) -> None:  # type: ignore[no-untyped-def]
    original, released = pair()
    ids = np.array([name(i, s) for i, s in enumerate(original.y["speaker"])], dtype=object)
    original, released = replace(original, ids=ids), replace(released, ids=ids)
    assert codes(original, released) == {"telling-id": "leak"}
    assert codes(original, released, final=False) == {"telling-id": "note"}


def test_an_order_that_tells() -> None:
    original, released = pair()
    turned = released.take(np.argsort(original.y["speaker"], kind="stable"))
    assert codes(original, turned)["telling-order"] == "leak"


def test_an_order_in_which_classes_take_turns() -> None:
    original, released = pair()
    speaker = original.y["speaker"]
    turn = np.empty(len(speaker), np.int64)
    for c in np.unique(speaker):  # the first of each class, then the second of each, and so on
        turn[speaker == c] = np.arange((speaker == c).sum())
    dealt = released.take(np.lexsort((speaker, turn)))
    assert codes(original, dealt)["telling-order"] == "leak"


def test_digits_in_ids_do_not_spell_classes_by_chance() -> None:
    original, released = pair()
    ids = np.array([f"row-{i}-{i % 4}" for i in range(400)], dtype=object)
    numbered = replace(original, ids=ids, classes={**original.classes, "speaker": ("0", "1", "2", "3")})
    assert codes(numbered, replace(released, ids=ids)) == {}


def test_tiny_tables() -> None:
    original, released = pair(3)
    assert isinstance(match(original, released), Match)
    assert "constant" not in codes(original, released)


def test_columns_that_are_no_labels_tell_too(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    s = rng.integers(0, 3, 400)
    x = rng.normal(size=(400, 4)).astype(np.float32)
    original = Table.of(x, {"spk": [f"s{c}" for c in s]}, ids=[f"r{i}" for i in range(400)])
    pq.write_table(
        pa.table(
            {
                "id": original.ids.tolist(),
                "pitch": s * 10.0 + rng.normal(size=400),
                "code": [f"s{c}_{i}" for i, c in enumerate(s)],
                "noise": rng.normal(size=400),
                "gaps": [None if c == 1 else float(n) for c, n in zip(s, rng.normal(size=400), strict=True)],
                "empty": [None if c == 1 else "full" for c in s],
                "when": pa.array(s * 10**9 + rng.integers(0, 10**6, 400), pa.timestamp("s")),
                "raw": pa.array([bytes([c]) for c in s.tolist()], pa.binary()),
                "parts": pa.array([{"a": c} for c in s.tolist()]),
                "chance": pa.array(rng.integers(0, 10**9, 400), pa.timestamp("s")),
                "x": pa.array(list(rng.normal(size=(400, 4)).astype(np.float32))),
            }
        ),
        tmp_path / "r.parquet",
    )
    released = Table.read(tmp_path / "r.parquet", check=False)
    report = audit(
        original,
        released,
        Policy(("spk",)),
        budget=Budget.named("quick", families=("neighbours",), settings=("A",)),
        options=AuditOptions(pretrained=False),
    )
    telling = {f.column for f in report.flaws if f.code == "telling-column" and f.severity == "leak"}
    assert telling == {"pitch", "code", "gaps", "empty", "when", "raw", "parts.a"}
    assert report.verdict.level == "leaks"
