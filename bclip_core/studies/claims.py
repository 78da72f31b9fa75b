"""What the two papers claim, and we of our own form, against the runs of the learning curves.

Every claim is a difference between two curves of `curves.SERIES` in one measure. Runs are paired by
seed; the interval is Student's; p values are corrected by Holm for the number of claims of a group,
those that are asked together. A claim that is not decided says how many seeds would decide it if
the effect stayed as it is.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bclip_core.checkpoints.own import SHIPPED
from bclip_core.evaluation import grounding_metric, region_metric, retrieval_metric
from bclip_core.records.files import read_json
from bclip_core.studies.curves import SERIES, Values

UNTUNED = "not fine-tuned"
"""The shipped model as it is, the same at every length."""
TEXT_SHARE = "leak/share/text"
ALPHA, POWER = 0.05, 0.8
MOST_SEEDS = 10_000
_QUANTILES = (np.arange(2_000) + 0.5) / 2_000
BETA_CLIP, MULCLIP, OURS = "β-CLIP", "MulCLIP", "ours"


@dataclass(frozen=True)
class Claim:
    """One sentence that runs can contradict.

    Attributes:
        text: what is claimed of `first`.
        source: whose method it is about.
        first: a series, see `curves.SERIES`.
        second: what it is compared with: a series, or `UNTUNED`.
        metric: a metric's name, or `leak/...`.
        more: whether `first` is said to have more of it than `second`.
        times: updates of `second` for each of `first`, for a comparison at equal time.
    """

    text: str
    source: str
    first: str
    second: str
    metric: str
    more: bool = True
    times: int = 1

    def __post_init__(self) -> None:
        for name in (self.first, self.second):
            if name not in (*SERIES, UNTUNED):
                raise ValueError(f"series {name!r} of {self.text!r}: expected one of {[*SERIES]}")


LONG, SHORT = retrieval_metric("global"), retrieval_metric("global", "short")
HONEST = retrieval_metric("conditioned")
HARD, MEDIUM = region_metric("hard"), region_metric("medium")
ATTENTION = grounding_metric("attention", "pointing")
CE, BCE, FT, OWN = "beta-clip-ce", "beta-clip-bce", "clip-ft", "beta-clip-ce-cross, one head"
BALANCED = "beta-clip-bce-balanced"
NESTED, NESTED_OWN = f"{CE}, nested", f"{OWN}, nested"
CAPTIONS = "beta-clip-ce-captions, one head, nested"
CLAIMS = (
    Claim("β-CAL (CE) beside the global loss retrieves long captions better", BETA_CLIP, CE, FT,
          LONG),
    Claim("β-CAL (BCE) beside the global loss retrieves long captions better", BETA_CLIP, BCE, FT,
          LONG),
    Claim("the sigmoid form is the better one for long captions", BETA_CLIP, BCE, CE, LONG),
    Claim("the cross-entropy form is the better one for details", BETA_CLIP, CE, BCE, HARD),
    Claim("β-CAL (CE) knows more of regions, hard", BETA_CLIP, CE, FT, HARD),
    Claim("β-CAL (CE) knows more of regions, medium", BETA_CLIP, CE, FT, MEDIUM),
    Claim("β between the ends is better than 0 for long captions", BETA_CLIP, CE,
          "beta-clip-ce, β = 0", LONG),
    Claim("β between the ends is better than 0 for regions, medium", BETA_CLIP, CE,
          "beta-clip-ce, β = 0", MEDIUM),
    Claim("β between the ends is better than 1 for regions, medium", BETA_CLIP, CE,
          "beta-clip-ce, β = 1", MEDIUM),
    Claim("in the sigmoid form, too, better than 0 for long captions", BETA_CLIP, BCE,
          "beta-clip-bce, β = 0", LONG),
    Claim("BCE by its positives' weight, bias learnt: more of honest conditioned retrieval", OURS,
          BALANCED, BCE, HONEST),
    Claim("BCE by its positives' weight, bias learnt: more of regions, medium", OURS, BALANCED,
          BCE, MEDIUM),
    Claim("BCE by its positives' weight, bias learnt: retrieves long captions better", OURS,
          BALANCED, BCE, LONG),
    Claim("patches that keep their own value know more of regions, medium", BETA_CLIP, CE,
          "beta-clip-ce, patches attend", MEDIUM),
    Claim("with them attention points better", BETA_CLIP, CE, "beta-clip-ce, patches attend",
          ATTENTION),
    Claim("equal texts of other images are better ignored, long captions", OURS,
          "beta-clip-ce, duplicates ignored", CE, LONG),
    Claim("equal texts of other images are better ignored, regions, medium", OURS,
          "beta-clip-ce, duplicates ignored", CE, MEDIUM),
    Claim("phrases carry the gain in regions, medium", BETA_CLIP, CE, "beta-clip-ce, no phrases",
          MEDIUM),
    Claim("sentences add to it, medium", BETA_CLIP, CE, "beta-clip-ce, no sentences", MEDIUM),
    Claim("more texts than the caption are needed, medium", BETA_CLIP, CE,
          "beta-clip-ce, caption alone", MEDIUM),
    Claim("three levels retrieve long captions better than the caption alone", MULCLIP, "mulclip",
          FT, LONG),
    Claim("three levels know more of regions, hard", MULCLIP, "mulclip", FT, HARD),
    Claim("a short caption beside the long one keeps short captions", MULCLIP, "mulclip", FT,
          SHORT),
    Claim("fine-tuning on long captions costs short ones", OURS, FT, UNTUNED, SHORT, more=False),
    Claim("so does β-CAL (CE)", OURS, CE, UNTUNED, SHORT, more=False),
    Claim("one head and cross: less of the text in what is pooled", OURS, OWN, CE, TEXT_SHARE,
          more=False),
    Claim("one head and cross: more of honest conditioned retrieval", OURS, OWN, CE, HONEST),
    Claim("one head and cross: more of regions, medium", OURS, OWN, CE, MEDIUM),
    Claim("one head and cross: attention points better", OURS, OWN, CE, ATTENTION),
    Claim("one head and cross: retrieves long captions better", OURS, OWN, CE, LONG),
    Claim("β among nested texts only: attention points better", OURS, NESTED, CE, ATTENTION),
    Claim("β among nested texts only: more of regions, medium", OURS, NESTED, CE, MEDIUM),
    Claim("β among nested texts only: more of honest conditioned retrieval", OURS, NESTED, CE,
          HONEST),
    Claim("with one head and cross, nested: attention points better", OURS, NESTED_OWN, OWN,
          ATTENTION),
    Claim("with one head and cross, nested: more of regions, medium", OURS, NESTED_OWN, OWN,
          MEDIUM),
    Claim("with one head and cross, nested: more of regions, hard", OURS, NESTED_OWN, OWN, HARD),
    Claim("with one head and cross, nested: more of honest conditioned retrieval", OURS,
          NESTED_OWN, OWN, HONEST),
    Claim("with one head and cross, nested: retrieves long captions better", OURS, NESTED_OWN, OWN,
          LONG),
    Claim("with one head and cross, nested: less of the text in what is pooled", OURS, NESTED_OWN,
          OWN, TEXT_SHARE, more=False),
    Claim("captions pooled crosswise besides: more of honest conditioned retrieval", OURS,
          CAPTIONS, NESTED_OWN, HONEST),
    Claim("captions pooled crosswise besides: attention points better", OURS, CAPTIONS,
          NESTED_OWN, ATTENTION),
)  # fmt: skip
EQUAL_TIME = 2
"""What an update of the cross-entropy forms costs, in updates of plain fine-tuning; step times are
in the record `step_times`."""
FT_TWICE, CE_TWICE, OWN_TWICE = f"{FT}, rates × 2", f"{CE}, rates × 2", f"{OWN}, rates × 2"
BCE_FOUR, MULCLIP_FOUR = f"{BCE}, rates × 4", "mulclip, rates × 4"
RATE_CLAIMS = (
    Claim("β-CAL (CE) beside the global loss retrieves long captions better", BETA_CLIP, CE_TWICE,
          FT_TWICE, LONG),
    Claim("β-CAL (BCE) beside the global loss retrieves long captions better", BETA_CLIP, BCE_FOUR,
          FT_TWICE, LONG),
    Claim("the sigmoid form is the better one for long captions", BETA_CLIP, BCE_FOUR, CE_TWICE,
          LONG),
    Claim("the cross-entropy form is the better one for details", BETA_CLIP, CE_TWICE, BCE_FOUR,
          HARD),
    Claim("β-CAL (CE) knows more of regions, hard", BETA_CLIP, CE_TWICE, FT_TWICE, HARD),
    Claim("β-CAL (CE) knows more of regions, medium", BETA_CLIP, CE_TWICE, FT_TWICE, MEDIUM),
    Claim("three levels retrieve long captions better than the caption alone", MULCLIP,
          MULCLIP_FOUR, FT_TWICE, LONG),
    Claim("three levels know more of regions, hard", MULCLIP, MULCLIP_FOUR, FT_TWICE, HARD),
    Claim("a short caption beside the long one keeps short captions", MULCLIP, MULCLIP_FOUR,
          FT_TWICE, SHORT),
    Claim("one head and cross: less of the text in what is pooled", OURS, OWN_TWICE, CE_TWICE,
          TEXT_SHARE, more=False),
    Claim("one head and cross: more of honest conditioned retrieval", OURS, OWN_TWICE, CE_TWICE,
          HONEST),
    Claim("one head and cross: more of regions, medium", OURS, OWN_TWICE, CE_TWICE, MEDIUM),
    Claim("one head and cross: attention points better", OURS, OWN_TWICE, CE_TWICE, ATTENTION),
    Claim("one head and cross: retrieves long captions better", OURS, OWN_TWICE, CE_TWICE, LONG),
    Claim("at equal time β-CAL (CE) retrieves long captions better", BETA_CLIP, CE, FT, LONG,
          times=EQUAL_TIME),
    Claim("at equal time it knows more of regions, medium", BETA_CLIP, CE, FT, MEDIUM,
          times=EQUAL_TIME),
    Claim("at equal time one head and cross retrieves long captions better", OURS, OWN, FT, LONG,
          times=EQUAL_TIME),
)  # fmt: skip
"""The main ones again, each method at the learning rates that a search chose for it; at equal
time."""
SCENE_CLAIMS = tuple(
    Claim(f"{difficulty} scenes: {text}", source, f"{first}, {difficulty} scenes",
          f"{second}, {difficulty} scenes", metric, more)
    for difficulty in ("full", "patterned")
    for text, source, first, second, metric, more in (
        ("β-CAL (CE) retrieves long captions better", BETA_CLIP, CE, FT, LONG, True),
        ("β-CAL (CE) knows more of regions, hard", BETA_CLIP, CE, FT, HARD, True),
        ("β-CAL (CE) knows more of regions, medium", BETA_CLIP, CE, FT, MEDIUM, True),
        ("one head and cross retrieves long captions better", OURS, OWN, CE, LONG, True),
        ("one head and cross, honest conditioned retrieval", OURS, OWN, CE, HONEST, True),
        ("one head and cross knows more of regions, medium", OURS, OWN, CE, MEDIUM, True),
        ("one head and cross, attention points better", OURS, OWN, CE, ATTENTION, True),
        ("one head and cross, less of the text pooled", OURS, OWN, CE, TEXT_SHARE, False),
    )
)  # fmt: skip
"""The same on pictures with patterns, and on those with everything that differs."""
RELATIVE_CLAIMS = (
    Claim("Long-CLIP keeps short captions", "relatives", "long-clip", FT, SHORT),
    Claim("Long-CLIP retrieves long captions better", "relatives", "long-clip", FT, LONG),
    Claim("FILIP's words and patches know more of regions, medium", "relatives", "filip", FT,
          MEDIUM),
    Claim("FILIP's words and patches retrieve long captions better", "relatives", "filip", FT,
          LONG),
    Claim("FLAIR knows more of regions than β-CAL (CE), medium", "relatives", "flair", CE, MEDIUM),
    Claim("FLAIR knows more of regions than β-CAL (CE), hard", "relatives", "flair", CE, HARD),
    Claim("FLAIR's attention points better than β-CAL's (CE)", "relatives", "flair", CE,
          ATTENTION),
    Claim("FLAIR does better at honest conditioned retrieval", "relatives", "flair", CE, HONEST),
    Claim("FLAIR retrieves long captions better", "relatives", "flair", CE, LONG),
    Claim("one head and cross points better than FLAIR", OURS, OWN, "flair", ATTENTION),
    Claim("one head and cross knows more of regions than FLAIR, medium", OURS, OWN, "flair",
          MEDIUM),
    Claim("nested, captions crosswise, points better than FLAIR", OURS, CAPTIONS, "flair",
          ATTENTION),
    Claim("nested, captions crosswise, knows more of regions than FLAIR, medium", OURS, CAPTIONS,
          "flair", MEDIUM),
    Claim("nested, captions crosswise, retrieves long captions better than FLAIR", OURS, CAPTIONS,
          "flair", LONG),
)  # fmt: skip
"""Other methods of the catalogue, beside fine-tuning, β-CLIP and ours."""
GROUPS = {
    "claims": CLAIMS,
    "claims_rates": RATE_CLAIMS,
    "claims_scenes": SCENE_CLAIMS,
    "claims_relatives": RELATIVE_CLAIMS,
}
"""Claims that are asked, and whose p values are corrected, together."""
MEASURES = {
    LONG: "long → image", SHORT: "short → image", HONEST: "conditioned → image",
    HARD: "regions, hard", MEDIUM: "regions, medium", ATTENTION: "pointing, attention",
    TEXT_SHARE: "text's share",
}  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """A claim against the runs there are.

    Attributes:
        claim: what is claimed.
        by_length: for each length with runs of both curves the differences, one per shared seed.
        length: the one with the most seeds, of several the longest; 0: no runs.
        alone: p, two-sided, of the paired t test at that length; None for one seed.
        p: the same, corrected by Holm.
        among: how many claims were tested together.
    """

    claim: Claim
    by_length: Mapping[int, Sequence[float]]
    length: int = 0
    alone: float | None = None
    p: float | None = None
    among: int = 1

    @property
    def differences(self) -> Sequence[float]:
        """At the length that decides."""
        return self.by_length.get(self.length, ())

    @property
    def verdict(self) -> str:
        """holds, does not hold, not decided (and how many seeds would), or that runs are missing.

        A claim that "holds" has its effect on the claimed side, and the corrected p below `ALPHA`.
        Where only its own p is below, it says so: it would, asked alone. The seeds that would
        decide are those at the strictest level of the correction.
        """
        if not self.differences:
            return "not run"
        if self.p is None or self.alone is None:
            return "one seed: not decided"
        mean = sum(self.differences) / len(self.differences)
        found = "holds" if (mean > 0) == self.claim.more else "does not hold"
        if self.p < ALPHA:
            return found
        needed = seeds_needed(self.differences, ALPHA / self.among)
        if self.alone < ALPHA:
            return f"{found}, asked alone ({needed} seeds decide)"
        return f"not decided ({needed} seeds would)" if needed else "not decided: no difference"


def seeds_needed(differences: Sequence[float], level: float = ALPHA) -> int:
    """Seeds at which a paired t test finds such an effect in `POWER` of cases at a level.

    0 where the mean difference is so near zero that more than `MOST_SEEDS` would be needed.
    """
    mean, deviation = sum(differences) / len(differences), float(stats.tstd(differences))
    if mean == 0:
        return 0
    if deviation == 0:
        return 2
    effect, enough = abs(mean) / deviation, 2
    while power(effect, enough, level) < POWER:
        enough *= 2
        if enough > MOST_SEEDS:
            return 0
    return bisect.bisect_left(
        range(enough), POWER, lo=2, key=lambda seeds: power(effect, seeds, level)
    )


def power(effect: float, seeds: int, level: float) -> float:
    """In what share of cases a two-sided paired t test finds an effect.

    The mean over the spreads that so many seeds can show; `scipy.stats.nct`, which has a formula
    for it, gives no number for some large effects and few seeds.

    Args:
        effect: the mean difference over its standard deviation.
        seeds: at least 2.
        level: of the test.
    """
    freedom = seeds - 1
    beyond = float(stats.t.ppf(1 - level / 2, freedom))
    spread = np.sqrt(stats.chi2.ppf(_QUANTILES, freedom) / freedom)
    shift = effect * math.sqrt(seeds)
    found = stats.norm.sf(beyond * spread - shift) + stats.norm.cdf(-beyond * spread - shift)
    return float(found.mean())


def judge(values: Values, claims: Sequence[Claim] = CLAIMS) -> list[Judged]:
    """Every claim of a group against a record `curves`.

    Args:
        values: of the record.
        claims: whose p values are corrected together.
    """
    untuned = read_json(SHIPPED["scenes"].with_suffix(".json"))["metrics"]
    judged = []
    for claim in claims:
        found = {
            length: gaps
            for length in sorted({int(n) for n in values.get(claim.first, {})})
            if (gaps := _differences(values, claim, length, untuned))
        }
        decides = max(found, key=lambda length: (len(found[length]), length), default=0)
        judged.append(Judged(claim, found, decides))
    tested = [i for i, one in enumerate(judged) if len(one.differences) > 1]
    raw = [float(stats.ttest_1samp(judged[i].differences, 0).pvalue) for i in tested]
    raw = [1.0 if math.isnan(p) else p for p in raw]  # no spread and no difference
    if tested:
        for i, alone, p in zip(tested, raw, multipletests(raw, method="holm")[1], strict=True):
            judged[i] = replace(judged[i], alone=alone, p=float(p), among=len(tested))
    return judged


def _differences(
    values: Values, claim: Claim, length: int, untuned: Mapping[str, Any]
) -> list[float]:
    first = values[claim.first][str(length)]
    if claim.second == UNTUNED:
        return [_value(first[seed], claim.metric) - untuned[claim.metric]["mean"]
                for seed in sorted(first)]  # fmt: skip
    second = values.get(claim.second, {}).get(str(length * claim.times), {})
    shared = sorted(set(first) & set(second))
    return [_value(first[s], claim.metric) - _value(second[s], claim.metric) for s in shared]


def _value(point: Mapping[str, Any], metric: str) -> float:
    if metric.startswith("leak/"):
        return float(point["leak"][metric.removeprefix("leak/")])
    return float(point["metrics"][metric]["mean"])


def claim_rows(judged: Sequence[Judged]) -> list[list[str]]:
    """A row per claim, differences in points with their number of seeds; the header first."""
    lengths = sorted({length for one in judged for length in one.by_length})
    titles = [f"after {length:,}" for length in lengths]
    rows = [["claim", "about", "measure", *titles, "p alone", "p (Holm)", "verdict"]]
    for one in judged:
        cells = [_cell(one.by_length.get(length, ())) for length in lengths]
        tested = ["–" if p is None else f"{p:.3f}" for p in (one.alone, one.p)]
        measure = MEASURES[one.claim.metric]
        rows.append([one.claim.text, one.claim.source, measure, *cells, *tested, one.verdict])
    return rows


def _cell(differences: Sequence[float]) -> str:
    if not differences:
        return "–"
    points = [100 * gap for gap in differences]
    mean = sum(points) / len(points)
    if len(points) == 1:
        return f"{mean:+.1f} (1)"
    low, high = stats.ttest_1samp(points, 0).confidence_interval(1 - ALPHA)
    half = "0.0" if math.isnan(low) else f"{(high - low) / 2:.1f}"
    return f"{mean:+.1f} ±{half} ({len(points)})"
