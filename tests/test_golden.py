"""Nothing that is released, drawn or reported changes by accident: compared with recorded values, bit by bit.

The hashes hold for one environment; elsewhere the exact comparisons are skipped, and looser ones still run. After an
intended change: `python -m tests.golden` says what differs, `python -m tests.golden --write` records it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.golden import cases, file

from .golden.canonical import differences

GOLDEN = file.read()
SHOWN = 12  # differences of a case


@pytest.fixture(autouse=True, scope="module")
def single() -> Iterator[None]:
    with cases.one_thread():
        yield


@pytest.fixture
def same_environment(single: None) -> None:
    """Skip, and say why, where the last bits may differ without a fault."""
    other = list(differences(GOLDEN["signature"], file.plain(cases.signature())))
    if other:
        pytest.skip("hashes were recorded in another environment: " + "; ".join(other))


def same(recorded: Any, found: Any) -> None:
    lines = list(differences(recorded, file.plain(found)))
    assert not lines, "\n".join([f"{len(lines)} differences", *lines[:SHOWN]])


def test_every_method_and_case_is_recorded() -> None:
    assert cases.methods_without_a_case() == set()
    assert GOLDEN["cases"].keys() == cases.CASES.keys()


@pytest.fixture(scope="module", params=cases.CASES)
def measured(request: pytest.FixtureRequest, single: None) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A case's name, what is recorded of it, and what it gives now."""
    return request.param, GOLDEN["cases"][request.param], cases.measure(request.param)


def test_a_method_gives_the_recorded_bits(measured: Any, same_environment: None) -> None:
    same(measured[1], measured[2])


def test_a_method_gives_the_recorded_form_in_any_environment(measured: Any) -> None:
    name, recorded, found = measured
    assert recorded["tensors"].keys() == found["tensors"].keys()
    assert {k: recorded["card"][k] for k in ("method", "fields", "policy", "input", "output", "key")} == {
        k: file.plain(found["card"])[k] for k in ("method", "fields", "policy", "input", "output", "key")
    }
    for side, about in recorded["released"].items():
        now = found["released"][side]
        assert (now["shape"], now["dtype"]) == (about["shape"], about["dtype"])
        if cases.CASES[name].method in cases.CLOSED_FORM:
            assert abs(now["mean"] - about["mean"]) <= 1e-3 * about["deviation"]
            assert now["deviation"] == pytest.approx(about["deviation"], rel=1e-3)


@pytest.mark.parametrize("name", cases.CASES)
def test_parts_of_a_table_have_the_bits_of_the_whole(name: str) -> None:
    assert cases.parts_agree(name)


def test_row_groups_of_a_file_change_no_bit() -> None:
    name = "transport, two suppressed and a task"
    whole = cases.released(name)
    expected = {i: np.array(row).tobytes() for i, row in zip(whole.ids, whole.x, strict=True)}
    assert cases.transformed_in_row_groups(name, 7) == cases.transformed_in_row_groups(name, 250) == expected


def test_a_key_draws_what_is_recorded() -> None:
    same(GOLDEN["keyed"]["draws"], cases.drawn())


def test_a_release_has_the_recorded_order_and_pseudonyms() -> None:
    same(GOLDEN["keyed"]["release"], cases.released_file())


@pytest.fixture(scope="module", params=cases.AUDITS)
def audited(request: pytest.FixtureRequest, single: None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is recorded of an audit, and what it reports now."""
    return GOLDEN["audits"][request.param], file.plain(cases.audited(request.param))


def test_an_audit_reports_the_recorded_numbers(audited: Any, same_environment: None) -> None:
    same(audited[0]["numbers"], audited[1]["numbers"])


def test_an_audit_reports_about_the_same_in_any_environment(audited: Any) -> None:
    recorded, found = (side["numbers"] for side in audited)
    assert recorded.keys() == found.keys()
    for kind in ("headlines", "findings", "person", "queries", "linkage", "exact", "pretrained"):
        assert len(recorded[kind]) == len(found[kind]), kind
        for one, other in zip(recorded[kind], found[kind], strict=True):
            assert one.keys() == other.keys(), kind
            assert (one.get("attribute"), one.get("setting")) == (other.get("attribute"), other.get("setting")), kind
    for one, other in zip(recorded["headlines"], found["headlines"], strict=True):
        assert other["guess"] == pytest.approx(one["guess"], abs=1e-6)
        assert other["before"] == pytest.approx(one["before"], abs=0.1)


def test_an_audit_judges_as_recorded(audited: Any, same_environment: None) -> None:
    same(audited[0]["states"], audited[1]["states"])
