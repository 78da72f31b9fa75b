"""Which kind a phrase is, and hits counted by kind against the protocol's own number."""

import pytest

from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig, get_profile
from bclip_core.evaluation import grounding_metric
from bclip_core.evaluation.protocols import scenes
from bclip_core.studies import curves
from bclip_core.studies.pointing import (
    KINDS,
    NEWEST,
    SERIES,
    kind_of,
    mean_over_seeds,
    measure_pointing,
    overall_hits,
    table_rows,
)


@pytest.mark.parametrize(
    ("phrase", "kind"),
    [
        ("heart", "a bare shape"),
        ("green heart", "with attributes"),
        ("small green heart with a white border", "with attributes"),
        ("green heart below the star", "with a place"),
        ("green heart in the top right corner", "with a place"),
        ("blue star at the bottom", "with a place"),
        ("below the star", "a place alone"),
        ("to the left of the red disc", "a place alone"),
        ("on the left side", "a place alone"),
        ("underlined star", "with attributes"),  # no place, though it begins like one
    ],
)
def test_kinds(phrase, kind):
    assert kind_of(phrase) == kind


def test_hits_by_kind_add_up_to_the_protocols_hits(pooled_model, held_out_scenes):
    found = measure_pointing(pooled_model, held_out_scenes)
    assert NEWEST in found
    counts = {kind: found.get(f"count/{kind}", 0) for kind in KINDS}
    metrics = scenes.evaluate(pooled_model, held_out_scenes)
    for maps in ("attention", "cosine"):
        expected = metrics[grounding_metric(maps, "pointing")]
        hits = sum(counts[k] * found[f"hits/{maps}/{k}"] for k in KINDS if counts[k])
        assert sum(counts.values()) == expected["count"]
        assert hits / expected["count"] == pytest.approx(expected["mean"], abs=1e-12)
        if maps == "attention":
            told = overall_hits(found)
            assert told == pytest.approx((100 * expected["mean"], 100 * expected["chance"]))
            without, _ = overall_hits(found, places=False)
            named = {k: n for k, n in counts.items() if n and k != "a place alone"}
            hits = sum(n * found[f"hits/attention/{k}"] for k, n in named.items())
            assert without == pytest.approx(100 * hits / sum(named.values()))


def test_a_model_without_pooler_has_none(held_out_scenes):
    assert measure_pointing(build_model(BackboneConfig("scene-tiny"), None), held_out_scenes) == {}


def test_series_are_curves_that_differ_in_the_texts_relation_alone():
    configs = [curves.configuration(get_profile("cpu"), name, 100, 0) for name in SERIES]
    plain, zero, nested = (config.loss for config in configs)
    assert plain.replace(beta=0.0) == zero
    assert plain.replace(context="nested") == nested
    assert len({config.replace(loss=plain) for config in configs}) == 1


def test_table_and_means():
    one = {f"{name}/{kind}": 0.25 for kind in KINDS for name in ("hits/attention", "chance")}
    one |= {f"count/{kind}": 40 for kind in KINDS}
    other = {name: value * 3 if name.startswith("hits") else value for name, value in one.items()}
    rows = table_rows({"a": mean_over_seeds({"0": one, "1": other})}, "attention")
    assert rows[0] == ["hits of attention, %", *KINDS]
    assert rows[1:] == [["phrases", *["40"] * 4], ["chance", *["25.0"] * 4], ["a", *["50.0"] * 4]]
