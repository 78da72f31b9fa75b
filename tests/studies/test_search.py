"""The search: equal trials, the best is chosen, kept and taken over; the comparison's record."""

import dataclasses

import pytest

from bclip_core.config import ConfigError, profiles
from bclip_core.records.results import load_result
from bclip_core.studies import search
from bclip_core.studies.search import chosen, main, scaled, second_round, trial


@pytest.fixture
def tiny_profile(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    train = tiny_config.train.replace(steps=2, checkpoint_every=0)
    profile = dataclasses.replace(
        profiles.get_profile("smoke"), base=tiny_config.replace(train=train), seeds=(0, 1)
    )
    monkeypatch.setitem(profiles.PROFILES, "smoke", profile)
    monkeypatch.setitem(search.STEPS, "smoke", 1)
    monkeypatch.setattr(search, "RATES", search.RATES[:2])
    return profile


def test_factors_multiply_both_rates_and_the_methods_own_weights(tiny_config):
    config = scaled(tiny_config.replace(method="mulclip"), (2.0, 3.0))
    assert config.train.lr == 2 * tiny_config.train.lr
    assert config.train.pooler_lr == 2 * tiny_config.train.pooler_lr
    assert (config.loss.summary_weight, config.loss.word_weight) == (1.5, 3.0)
    assert config.loss.subcaption_weight == 3.0
    assert config.loss.beta_cal_weight == 1.0, "not a weight of MulCLIP's"
    assert scaled(tiny_config, (1.0, 1.0)) == tiny_config


def test_every_method_gets_as_many_trials():
    for method in search.SEARCHED:
        factors = [(rate, 1.0) for rate in search.RATES] + second_round(method, 0.5)
        assert len(factors) == len(set(factors)) == len(search.RATES) + 2
    assert second_round("clip-ft", 2.0) == [(1.4, 1.0), (2.8, 1.0)]
    assert second_round("flair", 2.0) == [(2.0, 0.3), (2.0, 3.0)]


def test_a_trial_is_shorter_than_the_run_it_decides_about(tiny_profile):
    config = trial(tiny_profile, "flair", (0.5, 1.0))
    assert config.train.steps == 1
    assert config.train.seed == 0


def test_search_and_comparison_leave_records(tiny_profile, capsys):
    main(["--methods", "clip-ft", "long-clip"])
    assert "clip-ft: rate x" in capsys.readouterr().out
    found = load_result("search", "smoke")["values"]["methods"]
    for entry in found.values():
        scores = [one["score"] for one in entry["trials"]]
        assert len(scores) == len(search.RATES) + 2
        assert entry["chosen"] == entry["trials"][scores.index(max(scores))]
    main(["--methods", "sparc"])
    assert load_result("search", "smoke")["values"]["methods"].keys() == {*found, "sparc"}
    best = found["long-clip"]["chosen"]
    assert chosen("smoke")("long-clip") == (best["rate"], best["weight"])
    assert chosen("smoke")("sparc-later") == chosen("smoke")("sparc")
    assert chosen("smoke")("filip") == (1.0, 1.0)
    main(["--methods", "clip", "sparc", "--compare"])
    values = load_result("methods", "smoke")["values"]
    assert len(values["sparc"]["metrics"]) == len(values["sparc"]["leak"]) == 2
    assert values["clip"]["leak"] == [{}, {}]
    assert "cost" not in values["clip"]
    cost, table = values["sparc"]["cost"][0], values["sparc"]["table"]
    assert cost["seconds_per_step"] > 0
    assert cost["peak_memory"] > 50
    assert table["texts"] == ["caption"]
    assert table["added_parameters"] == {"pooler": 0, "heads": 0}
    rate = chosen("smoke")("sparc")[0]
    assert values["sparc"]["train"]["lr"] == tiny_profile.base.train.lr * rate


def test_a_method_that_does_not_train_is_refused(tiny_profile):
    with pytest.raises(ConfigError, match="method='clip': expected one that trains"):
        main(["--methods", "clip"])
