"""Claims against runs: paired by seed, corrected, and honest about what is missing."""

import math

import numpy as np
import pytest
from scipy import stats

from bclip_core.records.results import load_result
from bclip_core.studies import claims
from bclip_core.studies.claims import (
    GROUPS,
    HARD,
    LONG,
    MEASURES,
    TEXT_SHARE,
    UNTUNED,
    Claim,
    claim_rows,
    judge,
    power,
    seeds_needed,
)


def points(*values, metric=LONG):
    """Runs of seeds 0, 1, … of one length."""
    return {
        str(seed): {"metrics": {metric: {"mean": v}}, "leak": {"share/text": v}}
        for seed, v in enumerate(values)
    }


CE_BEATS_FT = Claim("CE is better", "β-CLIP", "beta-clip-ce", "clip-ft", LONG)


def values_of(first, second, length="100"):
    return {"beta-clip-ce": {length: points(*first)}, "clip-ft": {length: points(*second)}}


def test_a_clear_difference_holds_or_does_not():
    better = values_of((0.80, 0.81, 0.82), (0.60, 0.612, 0.618))
    (one,) = judge(better, [CE_BEATS_FT])
    assert one.verdict == "holds"
    paired = stats.ttest_rel([0.80, 0.81, 0.82], [0.60, 0.612, 0.618])
    assert one.p == pytest.approx(paired.pvalue)
    (other,) = judge(values_of((0.60, 0.612, 0.618), (0.80, 0.81, 0.82)), [CE_BEATS_FT])
    assert other.verdict == "does not hold"
    less = Claim("CE has less", "ours", "beta-clip-ce", "clip-ft", LONG, more=False)
    assert judge(better, [less])[0].verdict == "does not hold"


def test_seeds_are_paired_by_name_not_by_place():
    values = values_of((0.5, 0.7), (0.4, 0.6))
    values["clip-ft"]["100"] = {"1": values["clip-ft"]["100"]["1"]}
    (one,) = judge(values, [CE_BEATS_FT])
    assert list(one.differences) == pytest.approx([0.1])
    assert one.verdict == "one seed: not decided"


def test_the_length_with_the_most_seeds_decides_of_several_the_longest():
    values = values_of((0.80, 0.81), (0.60, 0.612))
    values["beta-clip-ce"]["1000"] = points(0.5)
    values["clip-ft"]["1000"] = points(0.9)
    (one,) = judge(values, [CE_BEATS_FT])
    assert one.length == 100
    row = claim_rows([one])[1]
    assert row[3:5] == ["+19.9 ±1.3 (2)", "-40.0 (1)"]
    for name, value in (("beta-clip-ce", 0.6), ("clip-ft", 0.4)):
        values[name]["1000"] = points(value, value)
    assert judge(values, [CE_BEATS_FT])[0].length == 1000


def test_many_claims_are_corrected_as_holm_does():
    values = values_of((0.80, 0.81, 0.82), (0.70, 0.74, 0.75))
    values["mulclip"] = {"100": points(0.9, 0.7, 0.8)}
    asked = [CE_BEATS_FT, Claim("M", "MulCLIP", "mulclip", "clip-ft", LONG)]
    alone = [judge(values, [claim])[0].p for claim in asked]
    together = [one.p for one in judge(values, asked)]
    small, large = sorted(alone)
    assert sorted(together) == pytest.approx([min(1, 2 * small), max(2 * small, large)])


def test_what_is_not_decided_says_how_many_seeds_would():
    (one,) = judge(values_of((0.80, 0.70, 0.75), (0.70, 0.74, 0.71)), [CE_BEATS_FT])
    needed = seeds_needed(one.differences)
    assert one.verdict == f"not decided ({needed} seeds would)"
    effect = abs(sum(one.differences) / 3) / stats.tstd(one.differences)

    def power(n):
        beyond = stats.t.ppf(0.975, n - 1)
        spread = stats.nct(n - 1, effect * math.sqrt(n))
        return spread.sf(beyond) + spread.cdf(-beyond)

    assert power(needed) >= 0.8 > power(needed - 1)


@pytest.mark.parametrize("level", [0.05, 0.05 / 41])
@pytest.mark.parametrize("effect", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("seeds", [2, 3, 20])
def test_power_is_what_the_noncentral_t_says(effect, seeds, level):
    beyond = stats.t.ppf(1 - level / 2, seeds - 1)
    spread = stats.nct(seeds - 1, effect * math.sqrt(seeds))
    expected = spread.sf(beyond) + np.nan_to_num(spread.cdf(-beyond))  # of no weight there
    assert power(effect, seeds, level) == pytest.approx(expected, abs=2e-3)


def test_power_of_a_large_effect_is_the_share_of_tests_that_find_it():
    level, effect = 0.05 / 41, 12.0  # for which scipy's noncentral t gives no number
    draws = np.random.default_rng(0).normal(effect, 1, (20_000, 3))
    found = stats.ttest_1samp(draws, 0, axis=1).pvalue < level
    assert power(effect, 3, level) == pytest.approx(found.mean(), abs=0.01)


def test_what_only_a_test_alone_finds_is_said_so():
    values = values_of((0.80, 0.81, 0.82), (0.60, 0.612, 0.618))
    values["mulclip"] = {"100": points(0.9, 0.7, 0.8)}
    other = Claim("M", "MulCLIP", "mulclip", "clip-ft", LONG)
    alone = judge(values, [CE_BEATS_FT])[0]
    assert alone.alone == alone.p
    many = judge(values, [CE_BEATS_FT, *[other] * 3_000])[0]
    assert many.p == pytest.approx(3_001 * alone.alone)
    assert many.p > 0.05 > many.alone == alone.alone
    needed = seeds_needed(many.differences, 0.05 / 3_001)
    assert many.verdict == f"holds, asked alone ({needed} seeds decide)"
    assert needed > len(many.differences)


def test_at_equal_time_the_cheaper_method_has_more_updates():
    values = values_of((0.80, 0.81), (0.60, 0.62))
    equal = Claim("at equal time", "ours", "beta-clip-ce", "clip-ft", LONG, times=2)
    assert judge(values, [equal])[0].verdict == "not run"
    values["clip-ft"]["200"] = points(0.9, 0.9)
    (one,) = judge(values, [equal])
    assert (one.length, list(one.differences)) == (100, pytest.approx([-0.1, -0.09]))
    seconds = load_result("step_times", "cpu", reference=True)["values"]["seconds"]
    assert round(seconds["beta-clip-ce"] / seconds["clip-ft"]) == claims.EQUAL_TIME
    assert round(seconds["beta-clip-ce-cross"] / seconds["clip-ft"]) == claims.EQUAL_TIME


def test_no_spread_is_no_error():
    (same,) = judge(values_of((0.7, 0.7), (0.7, 0.7)), [CE_BEATS_FT])
    assert same.verdict == "not decided: no difference"
    assert seeds_needed([0.1, 0.1]) == 2


def test_missing_runs_are_said():
    (one,) = judge({}, [CE_BEATS_FT])
    assert (one.verdict, one.length, claim_rows([one])[1][-1]) == ("not run", 0, "not run")
    values = {"beta-clip-ce": {"100": points(0.5)}}
    assert judge(values, [CE_BEATS_FT])[0].verdict == "not run"


def test_the_untuned_model_stands_at_every_length():
    claim = Claim("costs", "ours", "clip-ft", UNTUNED, LONG, more=False)
    values = {"clip-ft": {"100": points(0.0), "300": points(0.0, 0.01)}}
    (one,) = judge(values, [claim])
    assert set(one.by_length) == {100, 300}
    assert one.by_length[300][1] - one.by_length[300][0] == pytest.approx(0.01)
    assert one.by_length[100][0] < 0


def test_a_share_of_the_leak_is_a_measure():
    claim = Claim("leaks less", "ours", "beta-clip-ce", "clip-ft", TEXT_SHARE, more=False)
    (one,) = judge(values_of((0.1,), (0.3,)), [claim])
    assert list(one.differences) == pytest.approx([-0.2])


def test_an_unknown_curve_is_refused():
    with pytest.raises(ValueError, match="series 'beta-clip' of 'x': expected one of"):
        Claim("x", "β-CLIP", "beta-clip", "clip-ft", HARD)


@pytest.mark.parametrize("name", GROUPS)
def test_every_claim_has_a_titled_measure_and_the_record_can_be_judged(name):
    group = GROUPS[name]
    assert {claim.metric for claim in group} <= set(MEASURES)
    assert len({claim.text for claim in group}) == len(group)
    judged = judge(load_result("curves", "cpu", reference=True)["values"], group)
    assert [one.claim for one in judged] == list(group)
    assert all(one.differences for one in judged)
