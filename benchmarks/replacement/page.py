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
# Conclusions, written by hand from the figures and the contact sheets.
_SMILING = """\
**Summary.** From x, with classifiers and judges as fast as the generator, released pictures stay faces. At .01 the
filter covers the mouth and some of the eyes, the generator draws a mouth again, and every claim is reproduced, the
order over two seeds. At .05 the filter removes most of the face (see the sheet of the first seed) and the generator
redraws part of it: s' is inferred and no independent attribute changes with it, but utility falls, by 15 points in
one seed and 7 in the other. At .005 the generator adds nothing against the retrained attacker. Alone it hides
nothing at any budget: it moves pictures by .0015, whatever the budget. The paper's 54 % at .05, of 100 epochs of
162,770 pictures, is not reached: after some 1,500 rounds retrained attackers are still correct for four faces of
five. The rates and widths of the networks were chosen on these faces, seed 0, by the same figures, so seed 0 is
somewhat optimistic; no command repeats those trials. Seed 1, UTKFace and Extended Yale B had no influence.
"""
_GENDER = """\
**Summary.** A fixed classifier infers s' here too. Age and race, which the whole face shows, change with the
removed and the new value.
"""
_LIGHT = """\
**Summary.** The side of the light determines most of these pictures. At this budget the filter leaves little else
of the person either. In 1,600 rounds on 1,286 pictures the generator draws the new light only where no filter
precedes it.
"""
SHORT = {("faces", "smiling"): _SMILING, ("utkface", "gender"): _GENDER, ("yale_b", "light_side"): _LIGHT}

HEAD = """# Replacement, figure by figure

One command measures the figures, stores them in `benchmarks/results/replacement.jsonl` and writes this page:

    SORDINE_DATA=... python -m benchmarks.replacement

`--on plane,faces` selects data sets; `--page` writes the page only. Units that are not measured yet are listed at
the end; the command resumes with them. `SORDINE_DATA` names a folder with `utkface` and `yale_b`; without it their
rows are left out. The paper's CelebA was not available. The paper's figures beside ours are for other pictures,
larger networks and hundreds of times the training (100 epochs of 162,770 pictures, 13 hours on a V100). Compare the
*shape*.

**How to interpret it.** *Retrained*: accuracy (per cent) on unseen released records of an attacker trained on
released records. For pictures it is the better of a residual network and a logistic regression on the tested
records, which errs upwards. It is the paper's privacy loss (the network of its attacker is not printed); low is
private, and the *baseline* is the accuracy without a record. In brackets is the 95 % Wilson interval for the
records of one fit. Where a cell has *audit*, the audit's attackers ran too. *Fixed*: a classifier trained on
originals and never retrained. Its accuracy is utility or success, never privacy. *Moved by*: the realised
distortion of released records, beside the requested budget. *Paper*, in the row of the filter: table 2's *baseline
(f)*. The text does not state the criterion that it was trained by (figure 4's baseline is the likelihood's), nor
whether table 1's five runs are the entropy's, of which section 4 reports three.
"""


def load(what: Plane | Fit | str) -> dict[str, Any] | None:
    """Return a unit's figures; None where it is not measured."""
    unit = unit_of(what)
    return unit.read() if unit.exists() else None


def bullets(lines: Sequence[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def page() -> str:
    """Return the whole page, for all that has been measured."""
    parts = [HEAD, plane()]
    for data, secret in dict.fromkeys((u.data, u.secret) for u in units() if isinstance(u, Fit)):
        parts.append(pictures(data, secret))
    missing = [u.name for u in units() if load(u) is None]
    if missing:
        parts.append("\n## Not measured yet\n\n" + ", ".join(f"`{n}`" for n in missing) + ".\n")
    return "\n".join(p for p in parts if p)


# ---------------------------------------- the plane


def pooled() -> dict[float, dict[str, Any]]:
    """Return budget -> release -> accuracy over all runs with its interval, and the means of the rest."""
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
    """Return the section of figures 4 and 5."""
    found = pooled()
    if not found:
        return "\n## The plane (figures 4 and 5)\n\nNot measured yet.\n"
    rows = []
    for epsilon, releases in found.items():
        cells = [f"{epsilon:g}", str(releases["runs"])]
        for name in NAMES:
            r = releases[name]
            spread = f" ± {percent(r['deviation'])}" if releases["runs"] > 1 else ""
            cells += [with_span(r) + spread, f"{r['utility']:.2f} ({r['distance']:.2f})"]
        rows.append([*cells, percent(releases["success"])])
    head = ["budget", "runs"]
    for name in ("filter, likelihood", "filter, entropy", "filter, then generator (ours)"):
        head += [f"{name}: retrained", "utility (moved by)"]
    made = ", ".join(f"{k} {v}" for k, v in PLANE_FIELDS.items())
    short = min(releases["runs"] for releases in found.values())
    wanted = "" if short == RUNS else f" **Of {RUNS} runs, only {short} of some budgets are measured so far.**"
    original = (load(Plane(0.1, 0)) or {}).get("original")
    before = f"On the originals the same attacker has {with_span(original)} %. " if original else ""
    return f"""
## The plane (figures 4 and 5)

Two Gaussians, means (-1, 1) and (1, -1), covariance .7 I (the best possible attacker: 95.5 %); {PLANE["train"]:,}
training and {PLANE["test"]:,} test records per run (the paper: 400,000). Options: {made}; other fields as in the
preset for vectors. The attacker is a perceptron or a logistic regression, by its own validation records, retrained on
released records. {before}Figures are pooled over the runs: in brackets is the interval for these records, after ± the
deviation over runs. The deviation is wider, so the runs decide the lines below. Utility is eq. 6's, 1 - distance /
2.{wanted} *Entropy* and *ours* are the same fit, after the filter alone and after the generator; so an attacker gains
from the generator only by chance.

{markdown_table([*head, "accuracy of the fixed line for s'"], rows)} {bullets(list(checks.plane(found)))} Figure 4 is
this table as a curve (retrained against utility). *Moved by* explains single budgets that differ: a filter that uses
less than its budget is compared with one that uses all of it.

Figure 5, run 0 at budget 2; colours are the *true* secret.

![original, likelihood, entropy, ours](replacement/plane.png)
"""


# ---------------------------------------- pictures


def pictures(data: str, secret: str) -> str:
    """Return the section of one secret on one data set; empty where its originals are not measured."""
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
    train, test = original["records"]
    spent = max((f["cpu_seconds"] for f in own.values()), default=0.0)
    text = f"""
## {original["sentence"]}: secret *{secret}*

{train:,} training and {test:,} test pictures of 32 pixels, {rounds} epochs per fit of about {train // 32} rounds each
(up to {spent:,.0f} core-seconds), one seed. Preset `small` with {made}. On the originals the attacker's accuracy for
*{secret}* is {with_span(original["retrained"])} % (baseline {percent(original["guess"][secret])}); the fixed
classifiers have {fixed} %.

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
        # Of each other start one sheet; the others are files in the same folder.
        shown = [
            u
            for u in fits
            if found[u] is not None and (not u.start or (u.variant, u.epsilon) in (("both", LARGE), ("edit", 0.0)))
        ]
        text += "".join(f"\n{caption(u)}\n\n![{u.name}](replacement/{u.name}.png)\n" for u in shown)
    return text


def over_seeds(first: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a fit's figures, with the accuracies of retrained attackers pooled over the fits of all seeds."""
    out: dict[str, Any] = {**first, "fits": 1 + len(others)}
    for release in ("filter", "both"):
        found = [f[release]["retrained"] for f in (first, *others)]
        records = sum(r["records"] for r in found)
        right = sum(r["share"] * r["records"] for r in found)
        low, high = wilson(right, records)
        out[release] = {**first[release], "retrained": {"share": right / records, "low": low, "high": high}}
    return out


def seeds(again: Sequence[tuple[Fit, Any]]) -> str:
    """Return the fits of other seeds, a line each."""
    return "".join(
        f"\nWith seed {u.seed} at budget {u.epsilon:g}: retrained {with_span(f['both']['retrained'])} % (after the "
        f"filter alone {with_span(f['filter']['retrained'])} %), success {percent(f['both']['success']['share'])} %, "
        f"utility {percent(f['both']['utility'])} %, largest correlation "
        f"{max(f['both']['correlations'].values(), key=abs):+.2f}.\n"
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
    """Return the checks, budget by budget: order, success at the largest, utility and correlations."""
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
    """Return a fit in words."""
    settings = "".join([f", {what.start}"] * bool(what.start) + [f", {k} {v}" for k, v in what.fields.items()])
    return (
        f"{what.variant}{settings}" if what.variant == "edit" else f"{what.variant}, budget {what.epsilon:g}{settings}"
    )


def caption(what: Fit) -> str:
    """Return the caption of a stand-in for figure 7 or 9."""
    columns = {
        "both": "original, output of the filter, and each new value s'",
        "filter": "original, and output of the filter",
    }.get(what.variant, "original, and each new value s'")
    return f"*{what.secret}*, {label(what)}: {columns}."


def budgets(by: Mapping[tuple[str, float], Any], like: Mapping[float, Any], secret: str) -> str:
    """Return tables 1 and 2 and figure 6: a row per budget and release."""
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
            in_paper = f"{theirs[0]} ± {theirs[1]}" if theirs and which == "both" else ""
            rows.append(
                [
                    f"{epsilon:g}",
                    label,
                    "" if paper is None else f"{paper}",
                    f"{with_span(f['retrained'])}, {f['retrained']['attacker']}",
                    f"{f['mean_square']:.4f}",
                    in_paper,
                    success,
                    percent(f["fixed"][secret]),
                    percent(f["utility"]),
                ]
            )
    head = ["budget", "release", "retrained: paper", "retrained", "moved by (mean square)", "success: paper", "success"]
    return markdown_table([*head, f"fixed: {secret}", "utility"], rows)


def earlier(found: Mapping[Fit, Any]) -> str:
    """Return the fits of the same method with slower networks, by start."""
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
    head = ["networks", "other options", "budget", "release", "retrained", "moved by", "success", "utility"]
    return f"""
**Slower networks.** The same method with classifiers and judges of half the width, all of them slower ({starts};
otherwise as above). Such a judge is then little better than the baseline, so the generator gets little information
about s'. Its output deceives the judge, and a classifier of originals does not infer s' from it. *from-nothing* is the
paper's parametrisation, whose picture is x' itself. In so few rounds it draws no face. Where utility is at the
baseline, a low *retrained* means that little of any attribute remains.

{markdown_table([*head, "largest correlation"], rows)}"""


def correlations(by: Mapping[tuple[str, float], Any], original: Mapping[str, Any], secret: str, data: str) -> str:
    """Return tables 3 and 4."""
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
    note = "For attributes of more than two classes: the class with the largest correlation."
    head = ["attribute", "true labels (table 4)", *(f"budget {e:g}" for e in columns)]
    return (
        f"\n**Correlations (tables 3 and 4)** of the predictions of fixed classifiers on released records. {note}\n\n"
        f"{markdown_table(head, rows)}{paper}"
    )


def editing(found: Mapping[Fit, Any]) -> str:
    """Return the fits with StarGAN's losses, by the weight of the cycle."""
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
    return (
        f"\n**Attribute editing with StarGAN's losses** (section 5; weights {', '.join(map(str, CYCLES))} there; the "
        "networks of *from-nothing* are those under *Slower networks*). Its purpose is to convince, not to hide. "
        "From x it redraws the mouth alone, and retrained attackers are nearly always correct. From nothing it draws "
        f"no face in so few epochs.\n\n{markdown_table(head, rows)}"
    )


def reversal(found: Mapping[Fit, Any]) -> str:
    """Return section 6's attack."""
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
        "accuracy for the secret",
        "accuracy of the detector",
        "releases on the real side of the attacker's line",
    ]
    return (
        "\n**Real or fake (section 6).** A detector of originals and releases, and the fixed classifier on released "
        "records. Where a record looks real, the attacker predicts the fixed classifier's class, else another class. "
        "The accuracy of the detector is at its own threshold (50 is chance, 100: no release passes for an "
        "original). The attacker separates real from fake at its own threshold, the most accurate one on its "
        "validation records. The last column is the share of releases on its real side; it does not show that they "
        f"pass for real.\n\n{markdown_table(head, rows)}"
    )


def audits(found: Mapping[Fit, Any]) -> str:
    """Return NAG by the basic audit."""
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
    head = ["release", "best attacker before", "best attacker after", "baseline", "NAG"]
    return f"\n**The audit** (logistic regression and residual network, scenario A)\n\n{markdown_table(head, rows)}"
