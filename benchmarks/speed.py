"""Measure speed and memory, as ratios within one run: `make bench`, or `python -m benchmarks.speed`.

Arguments select parts: engine, attackers, leace, transform. Each figure compares Sordine with plain code for the same
work, in turn on the same machine, so that the ratio is valid where the machine is slow or shared.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sordine.data.table import Table
from sordine.models.training import Draw, play
from sordine.policy import Policy
from sordine.run import Run

ROWS, WIDTH = int(os.environ.get("SORDINE_BENCH_ROWS", 2_000_000)), 512


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(a: Callable[[], object], b: Callable[[], object], times: int) -> tuple[float, float, float]:
    """Return median seconds of a and of b, and the median of a/b over the pairs, after one warm-up of each."""
    a(), b()
    pairs = [(seconds(a), seconds(b)) for _ in range(times)]
    return (
        statistics.median(p[0] for p in pairs),
        statistics.median(p[1] for p in pairs),
        statistics.median(p[0] / p[1] for p in pairs),
    )


def show(what: str, figure: float, bound: str, detail: str) -> None:
    print(f"{what:<58} {figure:8.3f}   bound {bound:<8} {detail}", flush=True)


def table(n: int, width: int, attributes: dict[str, int], seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    labels = {name: rng.integers(0, classes, n) for name, classes in attributes.items()}
    x = rng.normal(size=(n, width)).astype(np.float32)
    for i, codes in enumerate(labels.values()):
        x += 0.5 * rng.normal(size=(codes.max() + 1, width)).astype(np.float32)[codes] * (1 + 0.1 * i)
    return Table.of(x, labels)


def engine() -> None:
    """Compare the engine with a hand-written loop of the same steps (MaSS, 560-d, batch 64)."""
    from sordine.methods.mass.method import Mass, MassModifier, Published, place
    from sordine.models.classifier import Classifier
    from sordine.models.contrastive import Agnostic

    records = table(2250, 560, {"speaker": 6, "digit": 10})
    policy, fields = Policy(("speaker",), ("digit",)), Mass(epochs=3).settled()

    def fresh() -> tuple[Published, Draw]:
        torch.manual_seed(0)
        modifier = MassModifier(records.width, fields.hidden)
        place(modifier, records, "cpu")
        judges = {a: Classifier(records.width, len(records.classes[a])).eval().requires_grad_(False) for a in records.y}
        common = Agnostic(records.width).eval().requires_grad_(False)
        return Published(fields, modifier, judges, common, policy, records), Draw(records, 64, tuple(records.y))

    def by_engine() -> None:
        game, draw = fresh()
        for _ in play(game, draw, 3):
            pass

    def by_hand() -> None:
        game, draw = fresh()
        player = game.players["modifier"]
        player.module.train()
        for _ in range(3):
            for _ in range(draw.rounds):
                for _, terms in game.round(draw):
                    loss = sum(terms.values())
                    player.optimiser.zero_grad(set_to_none=True)
                    loss.backward(inputs=player.weights)  # type: ignore[union-attr]
                    player.optimiser.step()
            if player.schedule is not None:
                player.schedule.step()

    a, b, ratio = in_turn(by_engine, by_hand, 7)
    show("training engine / hand-written loop (MaSS, 560-d, batch 64)", ratio, "<= 1.05", f"{a:.2f} s, {b:.2f} s")


def attackers() -> None:
    """Compare eight perceptron attackers on the same 2,250 records, together and one after another."""
    from sordine.attacks.mlp import Task, train_together

    records = table(2250, 560, {f"a{i}": 6 + i % 5 for i in range(4)})
    rows = np.random.default_rng(0).permutation(2250)
    tasks = [
        Task(records.y[name], len(records.classes[name]), rows[562:], rows[:562], seed)
        for name in records.y
        for seed in (0, 1)
    ]
    x = np.asarray(records.x)
    a, b, ratio = in_turn(lambda: train_together(x, tasks), lambda: [train_together(x, [task]) for task in tasks], 3)
    show("eight MLP attackers together / one after another", ratio, "<= 0.50", f"{a:.2f} s, {b:.2f} s")


def leace() -> None:
    """Compare our LEACE with the public concept-erasure package, 200,000 x 512, rank 9."""
    from sordine.methods.leace import Leace

    try:
        from concept_erasure import LeaceFitter as Public
    except ImportError:
        print("leace: the concept-erasure package is not installed; make bench installs it")
        return
    records = table(20000, WIDTH, {"s": 10})
    ours = Leace().fit(records, Policy(("s",)), Run())
    public = Public.fit(
        torch.from_numpy(np.asarray(records.x)),
        torch.nn.functional.one_hot(torch.from_numpy(records.y["s"]), 10).float(),
    ).eraser
    x = torch.randn(200_000, WIDTH)
    none = torch.empty(len(x), 0)
    with torch.no_grad():
        difference = float((ours(x[:1000], none[:1000]).x - public(x[:1000])).abs().max())
        a, b, ratio = in_turn(lambda: ours(x, none), lambda: public(x), 9)
    show(
        "leace applied / concept-erasure applied (200,000 x 512)",
        ratio,
        "<= 1.00",
        f"{a:.3f} s, {b:.3f} s, differ by {difference:.1e}",
    )


CHILD = """
import sys, threading, time
from pathlib import Path
{imports}
def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(l.split()[1]) for l in lines if l.startswith("RssAnon")) / 1024
base, peak, going = anonymous(), 0.0, True
def watch():
    global peak
    while going:
        peak = max(peak, anonymous())
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()
start = time.perf_counter()
{work}
took = time.perf_counter() - start
going = False
print(took, peak - base)
"""

OURS = (
    "from sordine.methods.registry import load\nfrom sordine.workflow.transform import transform_file\n"
    "from sordine.keys import Key\nimport torch\n",
    "transform_file(load(sys.argv[1]), sys.argv[2], sys.argv[3], key=Key.of_seed(0), force=True)",
)
# The bare product: the layers in torch on large blocks, all cores, with the same input file and a similar output file.
BARE = (
    "import numpy as np, pyarrow as pa, pyarrow.parquet as pq, torch\n",
    """
torch.manual_seed(0)
layers = [torch.nn.Linear(a, b) for a, b in zip((512, 256, 128, 256), (256, 128, 256, 512))]
file = pq.ParquetFile(sys.argv[2], memory_map=True, pre_buffer=False)
schema = file.schema_arrow
options = {"compression": "NONE", "use_dictionary": False, "write_statistics": False}
with torch.no_grad(), pq.ParquetWriter(sys.argv[3], schema, **options) as writer:
    for block in file.iter_batches(batch_size=16384):
        x = torch.from_numpy(block.column("x").flatten().to_numpy().reshape(-1, 512))
        for layer in layers:
            x = layer(x)
        flat = pa.array(x.numpy().reshape(-1))
        columns = [block.column("id"), pa.FixedSizeListArray.from_arrays(flat, 512)]
        writer.write_batch(pa.record_batch(columns, schema=schema))
""",
)


def child(code: tuple[str, str], *arguments: str) -> tuple[float, float]:
    """Return the seconds and the peak anonymous memory beyond imports (MB) of code in a new process."""
    program = CHILD.format(imports=code[0], work=code[1])
    out = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True).stdout
    took, memory = map(float, out.split()[-2:])
    return took, memory


def transform() -> None:
    """Measure MaSS on 2 million x 512 vectors, file to file: memory, and speed against the bare product."""
    import pyarrow as pa

    from sordine.data.table_io import feature_array, feature_type, write_blocks
    from sordine.methods.fit import fit
    from sordine.methods.registry import make

    with tempfile.TemporaryDirectory(dir=os.environ.get("SORDINE_BENCH_DIR")) as folder:
        small = table(2000, WIDTH, {"s": 4, "u": 4})
        settings = {"epochs": 1, "classifier_epochs": 1, "agnostic_epochs": 1}
        fit(small, Policy(("s",), ("u",)), make("mass", settings)).save(Path(folder, "m"))
        schema = pa.schema([("id", pa.string()), ("x", feature_type((WIDTH,)))])
        rng = np.random.default_rng(0)

        def blocks():  # type: ignore[no-untyped-def]
            for start in range(0, ROWS, 50_000):
                ids = [f"r{i}" for i in range(start, min(start + 50_000, ROWS))]
                x = rng.standard_normal((len(ids), WIDTH), dtype=np.float32)
                yield pa.record_batch([pa.array(ids), feature_array(x)], schema=schema)

        source, ours, bare = (str(Path(folder, n)) for n in ("in.parquet", "ours.parquet", "bare.parquet"))
        write_blocks(source, schema, blocks())
        pairs = []
        for _ in range(1 if ROWS > 500_000 else 3):  # a large run takes minutes and varies little
            pairs.append((child(OURS, str(Path(folder, "m")), source, ours), child(BARE, "", source, bare)))
            Path(ours).unlink(), Path(bare).unlink()
        rate = statistics.median(b[0] / o[0] for o, b in pairs)
        took, plain = statistics.median(o[0] for o, _ in pairs), statistics.median(b[0] for _, b in pairs)
        memory = max(o[1] for o, _ in pairs)
    size = f"{ROWS:,} x {WIDTH}"
    show(f"transform / bare matrix product, rate ({size})", rate, ">= 0.70", f"{took:.1f} s, {plain:.1f} s")
    show("transform, peak anonymous memory beyond the libraries, MB", memory, "< 1000", "")


PARTS = {"engine": engine, "attackers": attackers, "leace": leace, "transform": transform}


def main() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
