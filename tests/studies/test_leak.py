"""The leak study and the tables of the comparison, on a real record of a tiny profile."""

import copy
import dataclasses

import pytest

from bclip_core.config import ConfigError, profiles
from bclip_core.evaluation import seed_interval
from bclip_core.model import METHODS
from bclip_core.records.results import load_result, save_result
from bclip_core.reproduce import blocks
from bclip_core.studies import step_time, tables
from bclip_core.studies.leak import study as leak_study
from bclip_core.studies.leak import tables as leak_tables
from bclip_core.studies.leak.study import (
    UNTRAINED,
    UNTRAINED_HEADS,
    VARIANTS,
    equal_time_steps,
    variant_configs,
)
from bclip_core.studies.runs import obtain
from bclip_core.studies.search import describe
from bclip_core.studies.tables import family, gains, summaries, verdict

CONDITIONED = "retrieval/conditioned/long/t2i_R@1"


@pytest.fixture(scope="module")
def tiny(tiny_config, tmp_path_factory):
    """A profile of two seeds and one update, and a folder of its own for its runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BCLIP_RUNS", str(tmp_path_factory.mktemp("study")))
        train = tiny_config.train.replace(steps=1, checkpoint_every=0)
        profile = dataclasses.replace(
            profiles.get_profile("smoke"), base=tiny_config.replace(train=train), seeds=(0, 1)
        )
        patch.setitem(profiles.PROFILES, "smoke", profile)
        yield profile


@pytest.fixture(scope="module")
def values(tiny):
    names = ["own", "own, equal time", "own + cross"]
    return leak_study.study(tiny, names, 0, steps=2)


def test_variants_differ_in_what_they_say(tiny):
    own, longer, cross, centred = (
        variant_configs(tiny, name, steps=5)
        for name in ("own", "own, equal time", "own + cross", "own, centred")
    )
    assert [config.train.seed for config in own] == [0, 1]
    assert len(variant_configs(tiny, "own", seeds=1)) == 1
    first = own[0]
    assert longer[0] == first.replace(train=first.train.replace(steps=5))
    assert cross[0] == first.replace(method="beta-clip-ce-cross")
    assert centred[0] == first.replace(loss=first.loss.replace(conditioning_centre=True))
    (one_head, _) = variant_configs(tiny, "own, one head")
    assert one_head == first.replace(pooler=first.pooler.replace(heads=1))
    with pytest.raises(ConfigError, match="variant='owm': expected one of own, "):
        variant_configs(tiny, "owm")
    assert all(variant.method in METHODS for variant in VARIANTS.values())


def test_variants_take_over_what_the_search_has_chosen(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    chosen = {"beta-clip-ce": {"chosen": {"rate": 2.0, "weight": 1.0}}}
    save_result("search", tiny.name, {"methods": chosen})
    configs = variant_configs(tiny, "own, equal time", steps=3)
    assert configs[0].train.lr == 2 * tiny.base.train.lr


def test_equal_time_is_as_many_updates_as_fit():
    seconds = {"beta-clip-ce": 2.0, "beta-clip-ce-cross": 3.0}
    assert equal_time_steps(100, seconds) == 150
    assert equal_time_steps(1, {"beta-clip-ce": 9.0, "beta-clip-ce-cross": 1.0}) == 1


def test_the_time_of_an_update_comes_from_the_record_or_is_measured(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    monkeypatch.setattr(step_time, "UPDATES", 2)
    step_time.main(["--methods", "beta-clip-ce", "--updates", "2", "--rounds", "1"])
    record = load_result("step_times", "smoke")["values"]
    assert list(record["seconds"]) == ["beta-clip-ce"]
    assert record["seconds"]["beta-clip-ce"] > 0
    known = {"beta-clip-ce": 2.0, "beta-clip-ce-cross": 3.0, "clip-ft": 1.0}
    save_result("step_times", "smoke", {"seconds": known})
    del known["clip-ft"]
    assert leak_study.measured_seconds(tiny) == known
    with pytest.raises(ConfigError, match="updates=1: expected at least 2"):
        step_time.time_updates(tiny, "clip-ft", 1)
    with pytest.raises(ConfigError, match="method='clip': expected one that trains"):
        step_time.time_updates(tiny, "clip")


def test_a_study_measures_what_it_says(values):
    assert list(values) == [UNTRAINED, *UNTRAINED_HEADS, "own", "own, equal time", "own + cross"]
    alone = 1 + len(UNTRAINED_HEADS)
    assert [len(values[name]["leak"]) for name in values] == [1] * alone + [2, 2, 2]
    assert [len(values[name]["metrics"]) for name in values] == [0] * alone + [2, 2, 2]
    assert [values[name].get("steps") for name in values] == [None] * alone + [1, 2, 1]
    untrained = [values[name]["leak"][0]["share/text"] for name in (UNTRAINED, *UNTRAINED_HEADS)]
    assert len(set(untrained)) == alone
    for entry in values.values():
        for one in entry["leak"]:
            assert sum(one[f"share/{part}"] for part in ("text", "image", "pair")) == pytest.approx(
                1
            )


def test_the_record_keeps_variants_measured_before(tiny, values, tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    leak_study.save_study("smoke", {"own + cross": values["own + cross"]})
    kept = leak_study.save_study("smoke", {"own": values["own"]})
    assert list(kept) == ["own", "own + cross"]
    assert load_result("leak", "smoke")["values"].keys() == kept.keys()


def test_summaries_join_metrics_and_leak_over_seeds(values):
    summary = summaries(values)
    both = [one["identical/t2i_R@1"] for one in values["own"]["leak"]]
    leak = summary["own"]["leak/identical/t2i_R@1"]
    assert (leak["mean"], leak["low"], leak["high"]) == tuple(seed_interval(both))
    assert leak["chance"] == pytest.approx(1 / 12)  # of 24 scenes half are references
    assert "chance" not in summary["own"]["leak/share/text"]
    single = summary[UNTRAINED]["leak/share/text"]
    assert single["mean"] == single["low"] == single["high"]
    assert CONDITIONED not in summary[UNTRAINED]
    assert summary["own"][CONDITIONED]["seeds"] == 2


def test_gains_are_paired_by_seed_and_starred_when_sure(values):
    shifted = copy.deepcopy(values["own"])
    for n, metrics in enumerate(shifted["metrics"]):
        metrics["regions/dense/hard"]["mean"] += 0.1 + 0.001 * n
    made = {"own": values["own"], "better": shifted, UNTRAINED: values[UNTRAINED]}
    found = gains(made, "own", ["regions/dense/hard", CONDITIONED, "nothing"])
    assert list(found) == ["better"]
    assert found["better"]["regions/dense/hard"]["mean"] == pytest.approx(0.1005)
    assert {name: verdict(gap) for name, gap in found["better"].items()} == {
        "regions/dense/hard": "ahead", CONDITIONED: "level"
    }  # fmt: skip
    rows = leak_tables.honest_gain_rows(made)
    assert rows[1][1 + list(leak_tables.HONEST).index("regions, hard")] == "+10.1*"
    assert rows[1][1] == "+0.0"
    assert verdict({"low": -0.3, "high": -0.1}) == "behind"
    leak = "leak/honest_centred/t2i_R@1"
    for n, one in enumerate(shifted["leak"]):
        one["honest_centred/t2i_R@1"] += 0.2 - 0.002 * n
    assert gains(made, "own", [leak])["better"][leak]["mean"] == pytest.approx(0.199)
    with pytest.raises(ValueError, match="against='other': expected one of own, "):
        gains(made, "other", [])


def test_leak_rows_tell_how_far_the_leaking_protocol_is_above(values):
    header, untrained, own = (
        row for row in leak_tables.leak_rows(summaries(values)) if row[0] in ("%", UNTRAINED, "own")
    )
    assert len({len(header), len(untrained), len(own)}) == 1
    assert untrained[-2:] == ["–", "–"]
    leaking = sum(m["retrieval/own_caption/long/t2i_R@1"]["mean"] for m in values["own"]["metrics"])
    honest = sum(m[CONDITIONED]["mean"] for m in values["own"]["metrics"])
    assert own[-2] == f"{50 * (leaking - honest):+.1f}"
    named = leak_tables.with_steps(summaries(values), values)
    assert list(named)[-3:] == ["own", "own, equal time (2)", "own + cross"]
    assert list(named)[:-3] == [UNTRAINED, *UNTRAINED_HEADS]


def test_readme_tables_are_in_the_catalogues_order_whatever_the_files(tiny, values):
    run = obtain(variant_configs(tiny, "own", seeds=1))[0]
    entry = {**values["own"], "table": describe(run)}
    record = {"values": {"mulclip": entry, "beta-clip-ce": entry, "clip-ft": entry}}
    names = ["clip-ft", "beta-clip-ce", "mulclip"]
    for table in (blocks.methods_table(record), blocks.costs_table(record)):
        lines = [line.split("|")[1].strip() for line in table.splitlines()]
        assert [line for line in lines if line in names] == names
    timed = {"values": {"seconds": {"mulclip": 12.345}}}
    assert "12.35" in blocks.costs_table(record, timed) or "12.34" in (
        blocks.costs_table(record, timed)
    )
    assert blocks.gains_table(record).splitlines()[2].startswith("| beta-clip-ce")
    leak = {"values": dict(sorted(values.items()))}
    assert blocks.leak_table(leak).splitlines()[2].startswith(f"| {UNTRAINED}")
    assert UNTRAINED not in blocks.honest_table(leak)
    assert "own + cross" in blocks.honest_gains_table(leak)
    trial = {"rate": 2.0, "weight": 1.0, "score": 0.5}
    search = {"values": {"methods": {"flair": {"trials": [trial], "chosen": trial}}}}
    assert blocks.search_table(search).splitlines()[0].endswith("| chosen |   ×2 |")
    assert blocks.search_table(search).splitlines()[2].endswith("|     ×2 | 50.0 |")


def test_every_method_belongs_to_a_family():
    families = {name: family(name) for name in METHODS}
    assert families["clip"] == "untouched"
    assert families["clip-ft"] == families["siglip"] == families["long-clip"] == "global terms"
    assert families["filip"] == families["sparc"] == families["flair"] == "local terms"
    assert families["mulclip-global"] == "MulCLIP"
    assert families["beta-clip-summary"] == "β-CLIP"
    assert families["beta-clip-bce-cross-only"] == "leak-free"
    assert family("somebody's own") == "another"


def test_a_search_is_kept_and_an_empty_one_made(tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    tables.keep_settings("smoke")
    assert load_result("search", "smoke")["values"]["methods"] == {}
    save_result("search", "smoke", {"methods": {"flair": {}}})
    tables.keep_settings("smoke")
    assert load_result("search", "smoke")["values"]["methods"] == {"flair": {}}
