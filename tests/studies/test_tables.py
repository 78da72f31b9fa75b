"""Runs side by side: means, intervals over seeds, paired differences."""

import math

import pytest

from bclip_core.studies.tables import differences, summarise


def metrics(**means):
    return {
        name: {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "chance": 0.2, "count": 50}
        for name, mean in means.items()
    }


def test_one_run_keeps_its_bootstrap_interval():
    summary = summarise([metrics(hard=0.4)])["hard"]
    assert summary == {**metrics(hard=0.4)["hard"], "seeds": 1}


def test_several_seeds_get_students_interval():
    summary = summarise([metrics(hard=value) for value in (0.3, 0.4, 0.5)])["hard"]
    half = 4.302653 * 0.1 / math.sqrt(3)  # t with two degrees of freedom; deviation 0.1
    assert summary["mean"] == pytest.approx(0.4)
    assert summary["low"] == pytest.approx(0.4 - half, abs=1e-6)
    assert summary["high"] == pytest.approx(0.4 + half, abs=1e-6)
    assert (summary["seeds"], summary["chance"], summary["count"]) == (3, 0.2, 50)


def test_differences_are_paired_by_seed():
    first = [metrics(hard=value) for value in (0.3, 0.5)]
    second = [metrics(hard=value) for value in (0.2, 0.4)]
    gap = differences(first, second, ["hard"])["hard"]  # seeds differ, the gap does not
    assert [round(gap[key], 9) for key in ("mean", "low", "high")] == [0.1, 0.1, 0.1]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="at least one run"):
        summarise([])
    with pytest.raises(ValueError, match="2 and 1 runs"):
        differences([metrics(hard=0.1)] * 2, [metrics(hard=0.1)], ["hard"])
