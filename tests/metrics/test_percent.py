"""Shares as text."""

from sordine.metrics.percent import percent


def test_a_share_is_written_with_a_space_and_never_below_zero() -> None:
    assert [percent(share) for share in (0.179, 1.5, -0.0, -0.2)] == ["17.9 %", "150.0 %", "0.0 %", "0.0 %"]
    assert percent(0.179, 0) == "18 %"
