"""What the two papers claim, and we of our own form, against the runs of the learning curves.

Every claim is a difference between two curves of `curves.SERIES` in one measure. Runs are paired by
seed; the interval is Student's; p values are corrected for the number of claims by Holm. A claim
that is not decided says how many seeds would decide it if the effect stayed as it is.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from bclip_core.checkpoints.own import SHIPPED
from bclip_core.evaluation import grounding_metric, region_metric, retrieval_metric
from bclip_core.records.files import read_json
from bclip_core.studies.curves import SERIES, Values

UNTUNED = "not fine-tuned"
"""The shipped model as it is, the same at every length."""
TEXT_SHARE = "leak/share/text"
ALPHA, POWER = 0.05, 0.8
MOST_SEEDS = 10_000
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
    """

    text: str
    source: str
    first: str
    second: str
    metric: str
    more: bool = True

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
        p: two-sided, of the paired t test at that length, corrected by Holm; None for one seed.
    """

    claim: Claim
    by_length: Mapping[int, Sequence[float]]
    length: int = 0
    p: float | None = None

    @property
    def differences(self) -> Sequence[float]:
        """At the length that decides."""
        return self.by_length.get(self.length, ())

    @property
    def verdict(self) -> str:
        """holds, does not hold, not decided (and how many seeds would), or that runs are missing.

        A claim that "holds" has its effect on the claimed side, and the corrected p below `ALPHA`.
        """
        if not self.differences:
            return "not run"
        if self.p is None:
            return "one seed: not decided"
        mean = sum(self.differences) / len(self.differences)
        if self.p < ALPHA:
            return "holds" if (mean > 0) == self.claim.more else "does not hold"
        needed = seeds_needed(self.differences)
        return f"not decided ({needed} seeds would)" if needed else "not decided: no difference"


def seeds_needed(differences: Sequence[float]) -> int:
    """Seeds at which a paired t test finds such an effect in `POWER` of cases at `ALPHA`.

    0 where the mean difference is so near zero that more than `MOST_SEEDS` would be needed.
    """
    mean, deviation = sum(differences) / len(differences), float(stats.tstd(differences))
    if mean == 0:
        return 0
    if deviation == 0:
        return 2
    power = TTestPower().power  # its own search for the number fails at large effects
    enough = 2
    while power(abs(mean) / deviation, enough, ALPHA) < POWER:
        enough *= 2
        if enough > MOST_SEEDS:
            return 0
    return bisect.bisect_left(
        range(enough), POWER, lo=2, key=lambda seeds: power(abs(mean) / deviation, seeds, ALPHA)
    )


def judge(values: Values, claims: Sequence[Claim] = CLAIMS) -> list[Judged]:
    """Every claim against a record `curves`.

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
        for i, p in zip(tested, multipletests(raw, method="holm")[1], strict=True):
            judged[i] = replace(judged[i], p=float(p))
    return judged


def _differences(
    values: Values, claim: Claim, length: int, untuned: Mapping[str, Any]
) -> list[float]:
    first = values[claim.first][str(length)]
    if claim.second == UNTUNED:
        return [_value(first[seed], claim.metric) - untuned[claim.metric]["mean"]
                for seed in sorted(first)]  # fmt: skip
    second = values.get(claim.second, {}).get(str(length), {})
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
    rows = [["claim", "about", "measure", *titles, "p (Holm)", "verdict"]]
    for one in judged:
        cells = [_cell(one.by_length.get(length, ())) for length in lengths]
        p = "–" if one.p is None else f"{one.p:.3f}"
        measure = MEASURES[one.claim.metric]
        rows.append([one.claim.text, one.claim.source, measure, *cells, p, one.verdict])
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
