"""The text of docs/results/overview.md, from the figures in benchmarks/results."""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Store, markdown_table, percent

HEAD = """# Overview: every method, pretrained and retrained

One command measures the figures, stores them in `benchmarks/results/overview.jsonl` and writes this page:

    SORDINE_DATA=... make results

It runs `python -m benchmarks.overview`; `--fresh` measures everything again. `SORDINE_DATA` names a folder with
`fsdd`, `emodb`, `adult` and `motionsense` ({sources}).

**How to interpret it.** *Retrained*: accuracy, on released records, of the worst of four attacks (logistic
regression, nearest neighbours, trees, perceptron), each trained on released records of the same kind. For a
suppressed attribute it is the worst of three scenarios: A is trained on the records that the modifier was fitted on
and tested on the others; B and C are cross-validated within the unseen and within the fitted records. For the other
attributes it is scenario A. *NAG*: (retrained - baseline) / (best attacker on the originals - baseline), with a 95
% interval; at 0 nothing of the attribute can be inferred, at 1 as much as from the originals. *Pretrained*:
accuracy on unseen released records of a classifier trained on originals and **never retrained**. MaSS is measured
so in its paper. It does not measure privacy: the column beside it shows the accuracy of a retrained attacker on the
same records.

One split (75/25, stratified, keyed by seed 0), one key, training seed 0, audit seed 0, unless the heading states
otherwise.
"""


def nag(row: dict[str, Any]) -> str:
    if row["nag"] is None:
        return "undefined"
    return f"{max(row['nag'], 0):.3f} [{max(row['low'], 0):.2f}, {max(row['high'], 0):.2f}]"


def section(case: Any, parts: list[dict[str, Any]]) -> str:
    order = [*case.policy.suppress, *case.policy.preserve, *[a for a in case.policy.watch if a != "all others"]]
    first = next(p for p in parts if p["configuration"] == "nothing")
    lines = {h["attribute"]: h for h in first["headlines"]}
    out = [
        f"\n## {case.name}: {case.sentence}\n",
        f"`{case.extractor}` features; suppress {', '.join(case.policy.suppress)}; "
        f"preserve {', '.join(case.policy.preserve)}"
        + (f"; watch {', '.join(case.policy.watch)}" if case.policy.watch else "")
        + f". Attacked: {first['made']['fitted']:,} fitted records, {first['made']['unseen']:,} unseen"
        + (
            " (samples of " + " and ".join(f"{whole:,}" for _, whole in first["made"]["sampled"].values()) + ")"
            if first["made"]["sampled"]
            else ""
        )
        + ". "
        + "The smallest NAG that these records can certify: "
        + ", ".join(
            f"{a} {lines[a]['resolvable']:.3f}" for a in case.policy.suppress if lines[a]["resolvable"] is not None
        )
        + ".\n",
    ]
    head = ["method"]
    for a in order:
        role = lines[a]["role"]
        head += [f"{a} ({role}): pretrained", "retrained", "NAG"]
    rows = [["*baseline*"], ["*original*"]]
    for a in order:
        rows[0] += ["", percent(lines[a]["guess"]), ""]
        own = {p["attribute"]: p for p in first["pretrained"]}
        rows[1] += [percent(own[a]["before"] if a in own else None), percent(lines[a]["before"]), "1"]
    for part in parts:
        row = [part["configuration"]]
        found = {h["attribute"]: h for h in part["headlines"]}
        pretrained = {p["attribute"]: p["after"] for p in part["pretrained"]} | (part.get("judges_after") or {})
        for a in order:
            row += [percent(pretrained.get(a)), percent(found[a]["after"]), nag(found[a])]
        rows.append(row)
    out.append(markdown_table(head, rows))
    return "\n".join(out)


def mass_section(case: Any, parts: list[dict[str, Any]]) -> str:
    judged = [p for p in parts if p.get("judges_after")]
    if not judged:
        return ""
    order = list(judged[0]["judges_after"])
    head = ["configuration"]
    for a in order:
        head += [f"{a}: its own classifier", "another classifier", "retrained"]
    rows = [["*original*"]]
    for a in order:
        other = {p["attribute"]: p["before"] for p in judged[0]["pretrained"]}
        best = {h["attribute"]: h["before"] for h in parts[0]["headlines"]}
        rows[0] += [percent(judged[0]["judges_before"][a]), percent(other.get(a)), percent(best[a])]
    for part in judged:
        row = [part["configuration"].removeprefix("mass: ")]
        other = {p["attribute"]: p["after"] for p in part["pretrained"]}
        best = {h["attribute"]: h["after"] for h in part["headlines"]}
        for a in order:
            row += [percent(part["judges_after"][a]), percent(other.get(a)), percent(best[a])]
        rows.append(row)
    return (
        f"\n### {case.name}: MaSS in the configurations of its table 2\n\n"
        "*Its own classifier* is the one that MaSS was trained against (the paper's protocol); *another classifier* "
        "was "
        "pretrained separately. Neither was retrained.\n\n" + markdown_table(head, rows)
    )


def exact_section(case: Any, parts: list[dict[str, Any]]) -> str:
    rows = [
        [
            " and ".join(e["attributes"]) + (f", given {', '.join(e['kept'])}" if e["kept"] else ""),
            e["on"],
            percent(e["accuracy"]),
            percent(e["guess"]),
            f"{percent(e['permuted'])} (95th percentile {percent(e['permuted_high'])})",
        ]
        for part in parts
        if part["configuration"] == "substitution"
        for e in part["exact"]
    ]
    if not rows:
        return ""
    return f"\n### {case.name}: the exact best attacker on substitution's channel\n\n" + markdown_table(
        ["attribute", "on", "accuracy", "baseline", "the same with permuted labels"], rows
    )


def pooled_section(name: str, pooled: dict[str, Any]) -> str:
    rows = [
        [
            r["attribute"],
            r["role"],
            r["setting"],
            f"{percent(r['before'])} ({r['by_before']})",
            f"{percent(r['after'])} ({r['by_after']})",
            percent(r["guess"]),
            f"{r['nag']:.3f}" + (f" [{r['interval'][0]:.3f}, {r['interval'][1]:.3f}]" if r["interval"] else ""),
        ]
        for r in pooled["rows"]
    ]
    return (
        f"\n## {name}: substitution, pooled over {pooled['folds']} folds and {pooled['keys']} keys\n\n"
        f"Each fold is once unseen; each fitted modifier draws under {pooled['keys']} keys ({pooled['parts']} audits; "
        f"scenarios B and C under one key, in {pooled['within']} of the folds). Accuracies are summed over folds and "
        "keys; then the best attacker is taken. Intervals count distinct records once.\n\n"
        + markdown_table(["attribute", "role", "scenario", "before", "after", "baseline", "NAG, unclipped"], rows)
    )


def summary(store: Store) -> str:
    """Return the README's table: FSDD, a row per method."""
    rows = []
    for name in (
        "nothing",
        "noise, sigma 3",
        "leace",
        "mass: L_rec + L_s + L_r* + L_digit",
        "substitution",
        "transport",
    ):
        part = next((u.read() for u in store.units("fsdd--") if u.read()["configuration"] == name), None)
        if part is None:
            return ""
        found = {h["attribute"]: h for h in part["headlines"]}
        pretrained = {p["attribute"]: p["after"] for p in part["pretrained"]} | (part.get("judges_after") or {})
        cells = [
            name.split(":")[0],
            percent(pretrained["speaker"]),
            percent(found["speaker"]["after"]),
            nag(found["speaker"]),
        ]
        rows.append([*cells, percent(found["digit"]["after"]), nag(found["digit"])])
    head = ["method", "speaker, accuracy of a pretrained classifier, %", "of a retrained attack, %", "leakage (NAG)"]
    return markdown_table([*head, "digit, accuracy of a retrained attack, %", "utility (NAG)"], rows)


def page(cases: dict[str, Any], store: Store, pooled: dict[str, Any]) -> str:
    """Return the whole page, for all that has been measured."""
    out = [HEAD.format(sources="their SOURCE.md files state origin and licence")]
    for name, case in cases.items():
        parts = [u.read() for u in store.units(f"{name}--")]
        if not any(p["configuration"] == "nothing" for p in parts):
            continue
        rank = ["nothing", "noise, sigma 1", "noise, sigma 3", "leace"]
        parts.sort(
            key=lambda p: (
                rank.index(p["configuration"]) if p["configuration"] in rank else 9,
                p["configuration"] in ("substitution", "transport"),
                len(p["configuration"]),
            )
        )
        out += [section(case, parts), mass_section(case, parts), exact_section(case, parts)]
        if name in pooled:
            out.append(pooled_section(name, pooled[name]))
        seconds = ", ".join(f"{p['configuration']} {p['fit_seconds']:.0f} s" for p in parts)
        out.append(f"\nTime to fit on two cores: {seconds}.\n")
    return "".join(out)
