"""Draw figures 3, 4, 5 and 7 on synthetic faces, as small PNGs. No picture of a real person is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.inversion.cases import (
    ALONE,
    BASE,
    CASES,
    EARLIER,
    FOOLING,
    LAMBDA2,
    OURS,
    PLAIN,
    SEED,
    SEEING,
    SWEEP,
    TRIED,
    Attack,
    Fit,
    load,
)
from sordine.data.files import atomic
from sordine.data.media.contact_sheet import contact_sheet
from sordine.keys import Key

ROWS = 6
POINTS = 500


def draw(work: Path, folder: Path) -> None:
    """Draw the figures whose parts are in the working folder; the others stay unchanged."""
    if not (work / "faces.npz").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    table = load(CASES["faces"], work).part("test")
    test = table.take(np.sort(Key.of_seed(SEED).order("tried", table.ids)[:TRIED]))
    shown = work / "faces" / "shown"
    x = np.asarray(test.x[:ROWS])

    def sheet(name: str, columns: list[tuple[str, Fit, Attack | str]], rows: int = ROWS) -> None:
        found = []
        for caption, fit, attack in columns:
            kind = attack if isinstance(attack, str) else attack.name
            path = shown / f"{fit.name}--{kind}.npz"
            if path.exists():
                found.append((caption, np.load(path)["x"][:rows]))
        if len(found) == len(columns):
            contact_sheet(folder / name, ("x", *(c for c, _ in found)), (x[:rows], *(p for _, p in found)))

    sheet(
        "figure3.png",
        [
            ("0, mu1 0", BASE, PLAIN),
            ("1, mu1 0", OURS, PLAIN),
            ("0, GAN", BASE, FOOLING),
            ("1, GAN", OURS, FOOLING),
            ("one: 0", ALONE[0], FOOLING),
            ("one: 1", ALONE[1], FOOLING),
        ],
    )
    sheet("figure5.png", [(f"{v}", SWEEP[v], SEEING) for v in LAMBDA2])
    cuts = [(f"{c} {v}", Fit(f"{c}-lambda1-{v}"), PLAIN) for c in EARLIER for v in (0, 1)]
    sheet("table3.png", [*cuts, ("fc 0", BASE, PLAIN), ("fc 1", OURS, PLAIN)], rows=4)
    sheet("white-box.png", [("0", BASE, "white-box"), ("1", OURS, "white-box")])
    panels = {
        "all, lambda1 = 0": BASE,
        "all, lambda1 = 1": OURS,
        "expression, lambda1 = 0": ALONE[0],
        "expression, lambda1 = 1": ALONE[1],
    }
    paths = {title: shown / f"{fit.name}.z.npz" for title, fit in panels.items()}
    if all(p.exists() for p in paths.values()):
        smiling = test.y["expression"][:POINTS] == test.classes["expression"].index("smiling")
        glasses = test.y["glasses"][:POINTS] == test.classes["glasses"].index("yes")
        plane(folder / "figure4.png", {t: np.load(p)["z"][:POINTS] for t, p in paths.items()}, smiling, glasses)


def plane(path: Path, panels: dict[str, np.ndarray], smiling: np.ndarray, glasses: np.ndarray) -> None:
    """Draw t-SNE of each panel's z (n, d), coloured by two attributes (n,) bool."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from sklearn.manifold import TSNE

    figure = Figure(figsize=(9, 2.8), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, z) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        at = TSNE(init="pca", random_state=SEED, perplexity=30).fit_transform(z)
        for s, g, colour, words in (
            (True, True, "#c0392b", "smiling, glasses"),
            (True, False, "#e59866", "smiling"),
            (False, True, "#1f618d", "glasses"),
            (False, False, "#85c1e9", "neither"),
        ):
            rows = (smiling == s) & (glasses == g)
            axes.scatter(*at[rows].T, s=5, color=colour, label=words, linewidths=0)
        axes.set(title=title, xticks=[], yticks=[])
        axes.title.set_fontsize(9)
    axes.legend(fontsize=7, markerscale=2, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    with atomic(path, force=True) as temporary:
        figure.savefig(temporary, format="png")
