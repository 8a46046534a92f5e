"""The text of docs/results/replacement.md, from the figures in benchmarks/results/replacement.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.harness import markdown_table, percent
from benchmarks.replacement import checks
from benchmarks.replacement.cases import (
    DATA,
    LARGE,
    PICTURE_FIELDS,
    PLANE,
    PLANE_FIELDS,
    RUNS,
    STARTS,
    Fit,
    Plane,
    units,
)
from benchmarks.replacement.checks import with_span
from benchmarks.replacement.measure import unit_of
from benchmarks.replacement.paper import (
    BUDGETS,
    CORRELATIONS,
    CYCLES,
    EDITING,
    PLANE_BUDGETS,
    PRIVACY,
    SUCCESS,
    WITH_SMILING,
)
from sordine.metrics.nag import wilson

NAMES = ("likelihood", "entropy", "ours")
# In words, by hand from the figures and the sheets.
_SMILING = """**In short.** From x, with readers and a judge that keep up, what is released stays a face. At .01 the filter covers the mouth and some of the
eyes, the generator draws a mouth again, and all that was asked is there, the order over two seeds. At .05 the filter takes most of the face (see the sheet of the first
seed) and the generator redraws part of it: s' is read and no independent attribute goes with it, but utility falls, by 15 points in one seed and 7 in the other. At
.005 the generator brings nothing against the retrained attacker. Alone it hides nothing at any budget: it moves pictures by .0015, however far it may. The paper's
54 % at .05, of 100 epochs of 162,770 pictures, is not reached: in some 1,500 rounds retrained attackers still read four faces of five.
The players' rates and widths were chosen in ten trials on these faces, seed 0, by the same figures; seed 1, UTKFace and Extended Yale B had no say.
"""
_GENDER = """**In short.** A fixed classifier reads s' here too; age and race, which lie all over a face, go with what is taken and put in.
"""
_LIGHT = """**In short.** Where the light comes from is most of what these pictures show: at this budget the filter leaves little else of the person either, and in 1,600
rounds on 1,286 pictures the generator learns to draw the light only where no filter stands before it.
"""
SHORT = {("faces", "smiling"): _SMILING, ("utkface", "gender"): _GENDER, ("yale_b", "light_side"): _LIGHT}

HEAD = """# Replacement, figure by figure

This page is written by one command, from figures that the same command measures and keeps in `benchmarks/results/replacement.jsonl`:

    SORDINE_DATA=... python -m benchmarks.replacement

`--on plane,faces` chooses, `--page` writes the page only. What is not measured yet stands at the end; the command
goes on where it was. `SORDINE_DATA` names a folder that holds `utkface` and `yale_b`; without it their rows are left out.
The paper's CelebA was not to be had: the paper's figures beside ours are about other pictures, larger networks and
hundreds of times the training (100 epochs of 162,770 pictures, 13 hours on a V100). What can be compared is the *shape*.

**How to read it.** *Retrained*: accuracy (per cent) on unseen released records of an attacker that learnt on released records, of
pictures the better of a residual network and a logistic regression, whichever reads the tried records better, which errs upwards (the paper's privacy loss, whose
attacker's network is not printed; low is private, the *guess* is what knowing nothing gives); in brackets the 95 % Wilson interval of so many records of one fit. Where it says *audit*, the audit's attackers
were tried besides. *Fixed*: a classifier that learnt on originals and was never retrained; what it reads is utility or success, never privacy. *Moved by*:
the realised distortion of released records beside the budget asked. *Paper*, in the row of the filter: table 2's *baseline (f)*. The text does not say by which
criterion it was trained (figure 4's baseline is the likelihood's); nor whether table 1's five runs are the entropy's, of which section 4 says three.
"""


def load(what: Plane | Fit | str) -> dict[str, Any] | None:
    """A unit's figures; None where it is not measured."""
    unit = unit_of(what)
    return unit.read() if unit.exists() else None


def bullets(lines: Sequence[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def page() -> str:
    """The whole page, of whatever has been measured."""
    parts = [HEAD, plane()]
    for data, secret in dict.fromkeys((u.data, u.secret) for u in units() if isinstance(u, Fit)):
        parts.append(pictures(data, secret))
    missing = [u.name for u in units() if load(u) is None]
    if missing:
        parts.append("\n## Not measured yet\n\n" + ", ".join(f"`{n}`" for n in missing) + ".\n")
    return "\n".join(p for p in parts if p)


# ------------------------------------------------------------------------------------------------------------- the plane


def pooled() -> dict[float, dict[str, Any]]:
    """budget -> release -> accuracy over all runs with its interval, and the means of the rest."""
    out: dict[float, dict[str, Any]] = {}
    for epsilon in PLANE_BUDGETS:
        runs = [u for u in (load(Plane(epsilon, r)) for r in range(RUNS)) if u is not None]
        if not runs:
            continue
        out[epsilon] = {"runs": len(runs)}
        for name in NAMES:
            records = sum(u[name]["records"] for u in runs)
            right = sum(u[name]["share"] * u[name]["records"] for u in runs)
            low, high = wilson(right, records)
            out[epsilon][name] = {
                "share": right / records,
                "low": low,
                "high": high,
                "runs": [u[name]["share"] for u in runs],
                "deviation": float(np.std([u[name]["share"] for u in runs], ddof=1)) if len(runs) > 1 else 0.0,
                "utility": float(np.mean([u[name]["utility"] for u in runs])),
                "distance": float(np.mean([u[name]["distance"] for u in runs])),
            }
        out[epsilon]["success"] = float(np.mean([u["ours"]["success"] for u in runs]))
    return out


def plane() -> str:
    """Figures 4 and 5."""
    found = pooled()
    if not found:
        return "\n## The plane (figures 4 and 5)\n\nNot measured yet.\n"
    rows = []
    for epsilon, reads in found.items():
        cells = [f"{epsilon:g}", str(reads["runs"])]
        for name in NAMES:
            r = reads[name]
            spread = f" ± {percent(r['deviation'])}" if reads["runs"] > 1 else ""
            cells += [with_span(r) + spread, f"{r['utility']:.2f} ({r['distance']:.2f})"]
        rows.append([*cells, percent(reads["success"])])
    head = ["budget", "runs"]
    for name in ("filter, likelihood", "filter, entropy", "filter, then generator (ours)"):
        head += [f"{name}: retrained", "utility (moved by)"]
    made = ", ".join(f"{k} {v}" for k, v in PLANE_FIELDS.items())
    short = min(reads["runs"] for reads in found.values())
    wanted = "" if short == RUNS else f" **{RUNS} runs are wanted; only {short} of some budgets measured so far.**"
    original = (load(Plane(0.1, 0)) or {}).get("original")
    told = f"On the originals the same attacker reads {with_span(original)} %. " if original else ""
    return f"""
## The plane (figures 4 and 5)

Two Gaussians, means (-1, 1) and (1, -1), covariance .7 I (the best attacker there is: 95.5 %); {PLANE["train"]:,} training and
{PLANE["test"]:,} test records a run (the paper: 400,000). Settings: {made}; other fields as the preset has them for vectors. The attacker
is a perceptron or a logistic regression, whichever reads its own validation records better, retrained on released records. {told}Figures are
pooled over the runs (in brackets the interval of so many records, after ± the deviation over runs, which is wider: the lines below are decided by the runs); utility is eq. 6's, 1 - distance / 2.{wanted} *Entropy* and *ours* are the same fit: what the
filter alone leaves, and what the generator makes of it; so no attacker can gain from the generator but by chance.

{markdown_table([*head, "fixed line reads s'"], rows)}
{bullets(list(checks.plane(found)))}
Figure 4 is this table read as a curve (retrained against utility). *Moved by* shows why single budgets fall out of line: a filter that
stops short of its budget is compared with one that spends it.

Figure 5, run 0 at budget 2; colours are the *true* secret.

![original, likelihood, entropy, ours](replacement/plane.png)
"""


# ------------------------------------------------------------------------------------------------------------- pictures


def pictures(data: str, secret: str) -> str:
    """Everything of one secret on one data set; empty where not even its originals have been read."""
    original = load(f"{data}--{secret}-original")
    fits = [u for u in units() if isinstance(u, Fit) and (u.data, u.secret) == (data, secret)]
    found = {u: load(u) for u in fits}
    if original is None or not any(found.values()):
        return ""
    names = [n for n in original["fixed"] if n != secret]
    rounds = DATA[data].epochs
    made = ", ".join(f"{k} {v}" for k, v in PICTURE_FIELDS.items())
    before = sum(original["fixed"][n]["share"] for n in names) / len(names)
    fixed = ", ".join(f"{n} {percent(v['share'])}" for n, v in original["fixed"].items())
    own = {u: f for u, f in found.items() if f is not None and not u.start}
    spent = max((f["cpu_seconds"] for f in own.values()), default=0.0)
    text = f"""
## {original["sentence"]}: secret *{secret}*

{original["records"][0]:,} training and {original["records"][1]:,} test pictures of 32 pixels, {rounds} epochs a fit of about {original["records"][0] // 32} rounds
each (up to {spent:,.0f} core-seconds), one seed. Preset `small` with {made}. On the originals: the attacker reads *{secret}* at {with_span(original["retrained"])} % (guess
{percent(original["guess"][secret])}), the fixed classifiers read {fixed} %.

"""
    by = {(u.variant, u.epsilon): f for u, f in own.items() if not u.fields and not u.seed}
    again = [(u, f) for u, f in own.items() if u.seed]
    like = {u.epsilon: f for u, f in own.items() if u.variant == "filter" and u.fields.get("criterion") == "likelihood"}
    if by or like:
        text += budgets(by, like, secret)
    text += "\n" + SHORT.get((data, secret), "") + "\n" + bullets(verdicts(by, original, names, secret, data, again))
    text += seeds(again) + f"\nUtility of the originals, by the same fixed classifiers: {percent(before)} %.\n"
    text += correlations(by, original, secret, data)
    text += editing(found) + reversal(own) + audits(own) + earlier(found)
    if not DATA[data].source:
        # Of the other starts what stands for each of them; the sheets of the rest lie beside.
        shown = [
            u
            for u in fits
            if found[u] is not None and (not u.start or (u.variant, u.epsilon) in (("both", LARGE), ("edit", 0.0)))
        ]
        text += "".join(f"\n{caption(u)}\n\n![{u.name}](replacement/{u.name}.png)\n" for u in shown)
    return text


def over_seeds(first: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A fit's figures, with what retrained attackers read pooled over the fits of all seeds."""
    out: dict[str, Any] = {**first, "fits": 1 + len(others)}
    for release in ("filter", "both"):
        reads = [f[release]["retrained"] for f in (first, *others)]
        records = sum(r["records"] for r in reads)
        right = sum(r["share"] * r["records"] for r in reads)
        low, high = wilson(right, records)
        out[release] = {**first[release], "retrained": {"share": right / records, "low": low, "high": high}}
    return out


def seeds(again: Sequence[tuple[Fit, Any]]) -> str:
    """The fits of other seeds, a line each."""
    return "".join(
        f"\nWith seed {u.seed} at budget {u.epsilon:g}: retrained {with_span(f['both']['retrained'])} % (after the filter alone "
        f"{with_span(f['filter']['retrained'])} %), success {percent(f['both']['success']['share'])} %, utility {percent(f['both']['utility'])} %, "
        f"largest correlation {max(f['both']['correlations'].values(), key=abs):+.2f}.\n"
        for u, f in again
        if u.variant == "both"
    )


def verdicts(
    by: Mapping[tuple[str, float], Any],
    original: Mapping[str, Any],
    names: Sequence[str],
    secret: str,
    data: str,
    again: Sequence[tuple[Fit, Any]] = (),
) -> list[str]:
    """What was asked, budget by budget: order, success at the largest, utility and correlations."""
    lines: list[str] = []
    for epsilon in BUDGETS:
        both = by.get(("both", epsilon))
        others = [f for u, f in again if (u.variant, u.epsilon) == ("both", epsilon)]
        lines += checks.order(
            epsilon, over_seeds(both, others) if both and others else both, by.get(("generator", epsilon))
        )
    if ("both", BUDGETS[-1]) in by:
        lines.append(checks.succeeded(by["both", BUDGETS[-1]], original, secret))
    for epsilon in BUDGETS:
        if ("both", epsilon) in by:
            lines.append(checks.useful(epsilon, by["both", epsilon], original, names))
            if data == "faces":
                lines.append(checks.independent(epsilon, by["both", epsilon]))
    return lines


def label(what: Fit) -> str:
    """A fit in words."""
    settings = "".join([f", {what.start}"] * bool(what.start) + [f", {k} {v}" for k, v in what.fields.items()])
    return (
        f"{what.variant}{settings}" if what.variant == "edit" else f"{what.variant}, budget {what.epsilon:g}{settings}"
    )


def caption(what: Fit) -> str:
    """Under figure 7's and 9's stand-ins."""
    columns = {
        "both": "original, what the filter leaves, and each value of s' put in",
        "filter": "original, and what the filter leaves",
    }.get(what.variant, "original, and each value of s' put in")
    return f"*{what.secret}*, {label(what)}: {columns}."


def budgets(by: Mapping[tuple[str, float], Any], like: Mapping[float, Any], secret: str) -> str:
    """Tables 1 and 2 and figure 6: a row a budget and release."""
    rows = []
    paper_of = {"smiling": "smiling", "gender": "gender", "sex": "gender"}
    for epsilon in BUDGETS:
        printed = PRIVACY[epsilon] if secret == "smiling" else (None, None, None)
        releases = [
            ("filter, likelihood", like.get(epsilon), "filter", None),
            ("filter, entropy", by.get(("both", epsilon)), "filter", printed[0]),
            ("generator alone", by.get(("generator", epsilon)), "generator", printed[1]),
            ("filter, then generator", by.get(("both", epsilon)), "both", printed[2]),
        ]
        for label, found, which, paper in releases:
            if found is None:
                continue
            f = found[which]
            success = percent(f["success"]["share"]) if "success" in f else ""
            theirs = SUCCESS[epsilon].get(paper_of.get(secret, ""))
            told = f"{theirs[0]} ± {theirs[1]}" if theirs and which == "both" else ""
            rows.append(
                [
                    f"{epsilon:g}",
                    label,
                    "" if paper is None else f"{paper}",
                    f"{with_span(f['retrained'])}, {f['retrained']['attacker']}",
                    f"{f['mean_square']:.4f}",
                    told,
                    success,
                    percent(f["fixed"][secret]),
                    percent(f["utility"]),
                ]
            )
    head = ["budget", "release", "retrained: paper", "retrained", "moved by (mean square)", "success: paper", "success"]
    return markdown_table([*head, f"fixed reads {secret}", "utility"], rows)


def earlier(found: Mapping[Fit, Any]) -> str:
    """The same method with slower players: what was measured before, each start's fits beside one another."""
    rows = [
        [
            what.start,
            ", ".join(f"{k} {v}" for k, v in what.fields.items()),
            f"{what.epsilon:g}",
            called,
            f"{with_span(f[which]['retrained'])}, {f[which]['retrained'].get('attacker', 'resnet alone')}",
            f"{f[which]['mean_square']:.4f}",
            percent(f[which]["success"]["share"]) if "success" in f[which] else "",
            percent(f[which]["utility"]),
            f"{max(f[which]['correlations'].values(), key=abs):+.2f}",
        ]
        for what, f in found.items()
        if f is not None and what.start and what.variant != "edit"
        for which, called in (
            ("filter", "filter alone"),
            ("generator", "generator alone"),
            ("both", "filter, then generator"),
        )
        if which in f
    ]
    if not rows:
        return ""
    starts = "; ".join(
        f"*{name}*: {', '.join(f'{k} {v}' for k, v in made.items())}" for name, made in STARTS.items() if name
    )
    head = ["players", "other settings", "budget", "release", "retrained", "moved by", "success", "utility"]
    return f"""
**Slower players.** The same method with readers and judges of half the width, all of them slower ({starts}; otherwise as above).
Such a judge hardly learns to read the secret in so many rounds, and tells the generator little about s': what is put in is what fools it, not what a classifier of
originals takes for s'. *from-nothing* is the paper's parametrisation, whose picture is x' itself: in so few rounds it draws no face, and where utility is at
the guess, a low *retrained* says that little of anything is left.

{markdown_table([*head, "largest correlation"], rows)}"""


def correlations(by: Mapping[tuple[str, float], Any], original: Mapping[str, Any], secret: str, data: str) -> str:
    """Tables 3 and 4."""
    columns = {e: by[("both", e)]["both"]["correlations"] for e in BUDGETS if ("both", e) in by}
    if not columns:
        return ""
    names = list(original["labels"])
    rows = [[n, f"{original['labels'][n]:+.2f}", *(f"{c[n]:+.2f}" for c in columns.values())] for n in names]
    paper = ""
    if data == "faces" and secret == "smiling":
        shown = ", ".join(f"{n} {v['smiling']:+.2f}" for n, v in CORRELATIONS.items() if n != "smiling")
        own = ", ".join(f"{n} {r:+.2f}" for n, r in WITH_SMILING.items())
        paper = f"\nThe paper's column *smiling* of table 3: {shown}; the largest of its table 4: {own}.\n"
    told = "Of attributes of more than two classes: the class whose correlation is largest."
    head = ["attribute", "true labels (table 4)", *(f"budget {e:g}" for e in columns)]
    return f"\n**Correlations (tables 3 and 4)** of what fixed classifiers read of released records. {told}\n\n{markdown_table(head, rows)}{paper}"


def editing(found: Mapping[Fit, Any]) -> str:
    """StarGAN's losses, by the weight of the cycle."""
    rows = []
    for what, f in found.items():
        if f is None or what.variant != "edit":
            continue
        e = f["edit"]
        rows.append(
            [
                what.start or "from x",
                f"{f['settings']['epochs']}",
                f"{what.fields['cycle']:g}",
                f"about {EDITING:.0f}",
                with_span(e["retrained"]),
                percent(e["success"]["share"]),
                f"{e['mean_square']:.4f}",
                percent(e["utility"]),
            ]
        )
    if not rows:
        return ""
    head = ["start", "epochs", "cycle weight", "retrained: paper", "retrained", "success", "moved by", "utility"]
    return f"\n**Attribute editing with StarGAN's losses** (section 5; weights {', '.join(map(str, CYCLES))} there; *from-nothing*: its players are those under *Slower players*). It was made to convince, not to hide: from x it redraws the mouth alone, and retrained attackers read nearly all; from nothing it draws no face in so few epochs.\n\n{markdown_table(head, rows)}"


def reversal(found: Mapping[Fit, Any]) -> str:
    """Section 6's attack."""
    rows = [
        [
            label(what),
            with_span({"share": r["accuracy"], "low": r["low"], "high": r["high"]}),
            percent(r["told"]),
            percent(r["real"]),
        ]
        for what, f in found.items()
        if f is not None and (r := f.get("reversal")) is not None
    ]
    if not rows:
        return ""
    head = [
        "release",
        "secret read",
        "originals told from releases",
        "releases on the real side of the attacker's line",
    ]
    return (
        "\n**Real or fake (section 6).** A detector of originals and releases, and the fixed classifier on what is released: "
        "where it looks real, s is what is read, else another class. *Told* is by the detector's own line (50 is a coin's, 100: no release passes for an original). "
        "Real from fake the attacker divides by a line of its own, where its validation records are read best: the last column says how many "
        f"releases lie on its real side, not that they pass for real.\n\n{markdown_table(head, rows)}"
    )


def audits(found: Mapping[Fit, Any]) -> str:
    """NAG by the common audit."""
    rows = []
    for what, f in found.items():
        if f is None or "audit" not in f:
            continue
        a = f["audit"]
        nag = "undefined" if a["nag"] is None else f"{a['nag']:.2f} ({a['low']:.2f} to {a['high']:.2f})"
        rows.append(
            [
                label(what),
                f"{percent(a['before'])} ({a['attacker_before']})",
                f"{percent(a['after'])} ({a['attacker_after']})",
                percent(a["guess"]),
                nag,
            ]
        )
    if not rows:
        return ""
    head = ["release", "best attacker before", "best attacker after", "guess", "NAG"]
    return (
        f"\n**The common audit** (logistic regression and residual network, setting A)\n\n{markdown_table(head, rows)}"
    )
