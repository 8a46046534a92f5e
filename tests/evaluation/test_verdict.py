"""The words of a verdict: what an interval leaves open, and the title of a release whose records add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sordine.attacks.budget import Budget
from sordine.attacks.runner import AttackTask, Predictions, Readings
from sordine.evaluation.headlines import _worst as worst_scenario
from sordine.evaluation.headlines import figures
from sordine.evaluation.page.page import to_html
from sordine.evaluation.report import Headline, OtherScenario
from sordine.evaluation.verdict import Contribution, judge_contributions
from tests.fixtures.report_example import example, headline

CLAUSE = "an attacker that knows which records belong to one person infers `speaker` in 79.6 % of cases"
JOINED = "cannot certify less, however short the interval is"


@pytest.mark.parametrize("limit", [0.5, 0.05])
def test_a_figure_beyond_the_interval_is_explained(limit: float) -> None:
    head = replace(headline("speaker", "suppress", 4, 0.9, 0.25, 0.25), nag=0.0, low=-0.01, high=0.009, at_chance=True)
    short, wide = (replace(head, resolvable=figure) for figure in (0.343, 0.004))
    assert (short.beyond_interval, wide.beyond_interval) == (True, False)
    assert not replace(short, nag=None, low=None, high=None).beyond_interval
    for one, joined in ((short, True), (wide, False)):
        verdict, _ = judge_contributions([one], [], ("speaker",), limit)
        assert any(JOINED in sentence for sentence in verdict.sentences) == joined
        assert (JOINED in to_html(replace(example(), headlines=(one,)))) == joined


@pytest.mark.parametrize(("limit", "level", "link"), [(0.5, "holds", "However"), (0.05, "unclear", "Also")])
def test_the_page_shows_a_clause_on_several_records_below_the_title(limit: float, level: str, link: str) -> None:
    head = replace(headline("speaker", "suppress", 4, 0.9, 0.25, 0.25), nag=0.0, low=-0.1, high=0.2, at_chance=True)
    verdict, _ = judge_contributions([head], [Contribution(clause=CLAUSE)], ("speaker",), limit)
    plain, _ = judge_contributions([head], [], ("speaker",), limit)
    assert (verdict.level, verdict.adds_up) == (level, True)
    assert verdict.title == f"{plain.title}. {link}, {CLAUSE}"
    assert verdict.title_lines == (f"{plain.title}.", f"{link}, {CLAUSE}.")
    assert plain.title_lines == (plain.title,)
    page = to_html(replace(example(), verdict=verdict))
    title, clause = page.split("</h1>")[0].split("<h1")[1], page.split('<p class="clause">')[1].split("</p>")[0]
    assert link not in title
    assert clause.startswith(f"{link}, an attacker")
    assert '<p class="clause">' not in to_html(replace(example(), verdict=plain))


def test_the_title_has_no_figure_where_attacks_are_too_weak_for_one() -> None:
    head = replace(headline("speaker", "suppress", 4, 0.6, 0.8, 0.25), nag=1.57, low=1.2, high=1.9, at_chance=False)
    weaker = replace(head, nag=0.8, low=0.7, high=0.9)
    titles = [judge_contributions([h], [], ("speaker",), None)[0].title for h in (head, weaker)]
    assert titles == ["The release still gives away `speaker`", f"{titles[0]}: a leakage of 80.0 %"]


def test_the_best_of_many_attacks_leaks_only_beyond_chance() -> None:
    head = replace(headline("speaker", "suppress", 2, 0.9, 0.56, 0.5), nag=0.15, low=0.06, high=0.24, at_chance=False)
    lucky = replace(head, at_chance=True)
    (sure, _), (open_, passed) = (judge_contributions([h], [], ("speaker",), None) for h in (head, lucky))
    assert (sure.level, open_.level) == ("leaks", "unclear")
    assert any("by chance" in s for s in open_.sentences)
    assert passed is None
    # The same for another scenario.
    for at_chance, level in ((False, "leaks"), (True, "unclear")):
        other = OtherScenario("B", 0.07, 0.3, at_chance)
        assert judge_contributions([replace(lucky, also=(other,))], [], ("speaker",), None)[0].level == level


def released(after: float, seed: int, attacks: int, records: int = 1000) -> Headline:
    """The headline of attacks that all have one true accuracy on the release, in three scenarios."""
    names = ("logistic", "neighbours", "trees", "mlp", "svm", "kernel", "resnet", "screening", "discriminant")[:attacks]
    budget = replace(Budget.quick(), families=names)
    rng, rows = np.random.default_rng(seed), np.arange(records)

    def predictions(truth: np.ndarray, accuracy: float) -> Predictions:
        return Predictions(rows, truth, np.where(rng.random(records) < accuracy, truth, 1 - truth))

    readings: Readings = {}
    for scenario in ("A", "B", "C"):
        truth = (rng.random(records) < 0.3).astype(np.int64)
        for name in names:
            task = AttackTask("sex", name, scenario, budget.seeds[0])
            readings[0, task], readings[1, task] = predictions(truth, 0.95), predictions(truth, after)
    return figures(readings, {"sex": "suppress"}, {"sex": ("f", "m")}, budget)[1][0]


def test_a_leakage_of_the_limit_is_no_leak_to_the_best_of_many_attacks() -> None:
    limit = 0.2
    heads = [released(0.7 + limit * 0.25, seed, 9) for seed in range(40)]
    assert sum((h.low or 0.0) > limit for h in heads) >= 4, "the simulation is one that plain intervals get wrong"
    assert sum(judge_contributions([h], [], ("sex",), limit)[0].level == "leaks" for h in heads) <= 2
    clear = released(0.85, 0, 9)
    assert clear.low is not None
    assert clear.low_corrected is not None
    assert limit < clear.low_corrected < clear.low
    assert judge_contributions([clear], [], ("sex",), limit)[0].level == "leaks"


def test_a_record_of_a_cross_validation_counts_half() -> None:
    # The same predictions in A and in C: 540 of 1,000 correct, where one half is the baseline.
    rows, truth = np.arange(1000), np.arange(1000) % 2
    predictions = [Predictions(rows, truth, np.where(rows < right, truth, 1 - truth)) for right in (950, 540)]
    found = {}
    for scenario in ("A", "C"):
        budget = replace(Budget.quick(), families=("logistic",), settings=(scenario,))
        task = AttackTask("sex", "logistic", scenario, budget.seeds[0])
        readings: Readings = {(side, task): predicted for side, predicted in enumerate(predictions)}
        found[scenario] = figures(readings, {"sex": "suppress"}, {"sex": ("f", "m")}, budget)[1][0]
    a, c = found["A"], found["C"]
    assert (a.nag, a.low, a.high, a.resolvable) == (c.nag, c.low, c.high, c.resolvable)
    assert (a.at_chance, c.at_chance) == (False, True), "40 above 500: 2.5 standard errors, and 1.8"
    assert a.least is not None
    assert c.least is not None
    # The baseline varies no more than before, so the interval is wider by less than the root of 2.
    assert 1.15 < ((c.nag or 0) - c.least) / ((a.nag or 0) - a.least) < 2**0.5


def test_a_lower_end_that_only_a_correction_lowers_is_explained() -> None:
    head = replace(headline("speaker", "suppress", 2, 0.9, 0.56, 0.5), nag=0.15, low=0.06, high=0.24, at_chance=False)
    held = replace(head, low_corrected=0.03)
    elsewhere = replace(head, low=0.01, low_corrected=-0.01, also=(OtherScenario("B", 0.07, 0.3, False, 0.04),))
    for one, stated in ((held, "3.0 %"), (elsewhere, "4.0 %")):
        verdict, _ = judge_contributions([one], [], ("speaker",), None)
        assert verdict.level == "unclear"
        assert any(stated in s and "after correction for the number of attacks" in s for s in verdict.sentences)
    other = replace(elsewhere, also=(OtherScenario("B", 0.07, 0.3, False, 0.06),))
    for one in (head, replace(head, low_corrected=0.055), other):
        assert judge_contributions([one], [], ("speaker",), None)[0].level == "leaks"


def test_a_scenario_at_chance_hides_no_sure_one() -> None:
    sure = replace(headline("speaker", "suppress", 2, 0.9, 0.56, 0.5), nag=0.15, low=0.06, high=0.24, at_chance=False)
    lucky = replace(sure, setting="B", nag=0.3, low=0.1, high=0.5, at_chance=True)
    worst = worst_scenario([sure, lucky], "suppress")
    assert (worst.setting, [other.setting for other in worst.also]) == ("B", ["A"])
    assert judge_contributions([worst], [], ("speaker",), None)[0].level == "leaks"


@pytest.mark.parametrize(("left", "level"), [(0.05, "holds"), (0.06, "unclear")])
def test_no_verdict_holds_where_a_section_leaves_more_than_the_limit(left: float, level: str) -> None:
    head = replace(headline("speaker", "suppress", 4, 0.9, 0.25, 0.25), nag=0.0, low=-0.01, high=0.01, at_chance=True)
    verdict, _ = judge_contributions([head], [Contribution(leakage=(left,))], ("speaker",), 0.05)
    assert (verdict.level, verdict.not_excluded) == (level, left)


def test_what_a_suppressed_attribute_decides_is_leakage_and_not_utility() -> None:
    speaker = replace(headline("speaker", "suppress", 4, 0.9, 0.25, 0.25), nag=0.0, low=-0.1, high=0.2, at_chance=True)
    sex = replace(headline("sex", "watch", 2, 0.9, 0.9, 0.5), nag=1.009, low=0.9, high=1.1, at_chance=False)
    word = replace(sex, attribute="word", role="preserve")

    def about(head: Headline, *contributions: Contribution) -> str:
        verdict, _ = judge_contributions([speaker, head], contributions, ("speaker",), None)
        return next(s for s in verdict.sentences if s.startswith(f"`{head.attribute}`"))

    decides = Contribution(decides=(("sex", "speaker"),))
    assert about(sex, decides) == (
        "`sex` (watched), which `speaker` decides, can still be inferred: 100.0 % of what originals give. That is "
        "leakage of `speaker`."
    )
    assert "not clearly inferred: 3.9 %" in about(replace(sex, nag=0.039, low=-0.1, at_chance=True), decides)
    assert about(sex) == "`sex` (watched) has a utility of 100.0 %."
    assert about(word, decides) == "`word` has a utility of 100.0 %."


def test_the_title_names_the_attacker_that_sets_the_figure_and_what_was_left_out() -> None:
    head = replace(headline("speaker", "suppress", 4, 0.9, 0.25, 0.25), nag=0.0, low=-0.01, high=0.02, at_chance=True)

    def title(*contributions: Contribution, left_out: tuple[str, ...] = ()) -> str:
        return judge_contributions([head], contributions, ("speaker",), None, left_out)[0].title

    known = Contribution(leakage=(0.3,), about="`speaker` to an attacker that knows it")
    assert title(known).endswith(
        ": a leakage of up to 30.0 % of `speaker` to an attacker that knows it cannot be excluded"
    )
    assert title(known, Contribution(leakage=(0.4,))).endswith("a leakage of up to 40.0 % cannot be excluded")
    # What single records leave open needs no attacker with more.
    assert "knows it" not in title(replace(known, leakage=(0.01,)))
    left_out = ("the tail", "scenario C")
    assert title(known, left_out=left_out).endswith("cannot be excluded. Not tested: the tail, scenario C")
    leaks = replace(known, gives=((0.5, "`speaker`"),))
    assert "Not tested" not in title(leaks, left_out=left_out), "a leak needs no further attack"


def test_the_title_of_a_leak_names_the_attacker_that_infers_most_and_other_risks() -> None:
    head = replace(headline("speaker", "suppress", 4, 0.9, 0.5, 0.25), nag=0.3, low=0.25, high=0.35, at_chance=False)

    def title(*contributions: Contribution) -> str:
        verdict = judge_contributions([head], contributions, ("speaker",), None)[0]
        assert verdict.level == "leaks"
        return verdict.title

    more = Contribution(gives=((0.54, "`speaker` to an attacker with a model of the originals"),))
    assert title() == "The release still gives away `speaker`: a leakage of 30.0 %"
    assert title(more).endswith("`speaker` to an attacker with a model of the originals: a leakage of 54.0 %")
    assert title(replace(more, gives=((0.2, "`speaker` to another"),))) == title()
    risky = Contribution(risks=("singling out",))
    assert title(risky) == f"{title()}. Other risks were found: singling out"
