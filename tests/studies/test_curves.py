"""Learning curves: a run per length, recorded as they finish, and a table of what there is."""

import json

import pytest

from bclip_core.config import ConfigError, get_profile
from bclip_core.records import results
from bclip_core.records.files import read_json
from bclip_core.studies import curves
from bclip_core.studies.curves import (
    BETAS,
    COLUMNS,
    FORMS,
    PUBLISHED_BETA,
    SERIES,
    beta_rows,
    configuration,
    flat,
    study,
    table_rows,
)
from bclip_core.studies.search import scaled


def test_a_length_changes_the_number_of_updates_alone():
    profile = get_profile("cpu")
    short, long = (configuration(profile, "beta-clip-ce", steps, 1) for steps in (100, 1000))
    assert short == profile.run("beta-clip-ce", seed=1), "notebook 07 trains the same run"
    assert long.replace(train=long.train.replace(steps=100)) == short
    assert configuration(profile, "beta-clip-ce-cross, one head", 100, 0).pooler.heads == 1


def test_unknown_curves_and_lengths_are_refused():
    profile = get_profile("smoke")
    with pytest.raises(ConfigError, match="series='x': expected one of clip-ft, "):
        configuration(profile, "x", 100, 0)
    with pytest.raises(ConfigError, match="length=1: expected at least 2"):
        configuration(profile, "clip-ft", 1, 0)


def test_what_is_finished_is_recorded_and_shown(tiny_smoke, tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    path = study(tiny_smoke, ["clip-ft", "beta-clip-ce"], [2], [0])
    values = read_json(path)["values"]
    header, *rows = table_rows(values)
    assert [row[:3] for row in sorted(rows)] == [["beta-clip-ce", "2", "1"], ["clip-ft", "2", "1"]]
    assert header[3:-1] == list(COLUMNS)
    assert set(values) <= set(SERIES)
    assert all(cell != "–" for cell in sorted(rows)[0])


def test_beta_has_a_row_for_each_form_and_value_that_was_run():
    profile, points = get_profile("cpu"), {}
    for form in FORMS:
        assert configuration(profile, form, 100, 0).loss.beta == PUBLISHED_BETA
        for beta in BETAS:
            name = form if beta == PUBLISHED_BETA else f"{form}, β = {beta:g}"
            assert configuration(profile, name, 100, 0).loss.beta == beta
            metrics = {COLUMNS["medium"]: {"mean": beta / 2, "low": beta / 2, "high": beta / 2}}
            points[name] = {"100": {"0": {"metrics": metrics}}}
    del points["beta-clip-bce, β = 0.75"]
    _, *rows = beta_rows(points, 100)
    medium = 3 + list(COLUMNS).index("medium")
    found = [(row[0], row[1], row[medium]) for row in rows]
    assert found == [
        (form, f"{beta:g}", f"{50 * beta:.1f}")
        for form in FORMS
        for beta in BETAS
        if (form, beta) != ("beta-clip-bce", 0.75)
    ]
    assert beta_rows(points, 300)[1:] == []


def test_recorded_points_are_kept_and_not_trained_again(tiny_smoke, tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "one"))
    profile = tiny_smoke
    path = study(profile, ["clip-ft"], [2], [0])
    reference = tmp_path / "reference"
    reference.mkdir()
    path.rename(reference / path.name)
    monkeypatch.setattr(results, "REFERENCE_FOLDER", reference)
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "two"))
    trained = []
    obtain = curves.obtain
    monkeypatch.setattr(
        curves, "obtain", lambda configs, **how: trained.extend(configs) or obtain(configs, **how)
    )
    values = read_json(study(profile, ["clip-ft"], [2], [0, 1]))["values"]
    assert [key[:3] for key in flat(values)] == [("clip-ft", 2, 0), ("clip-ft", 2, 1)]
    assert [config.train.seed for config in trained] == [1]
    again = read_json(study(profile, ["clip-ft"], [2], [0], again=True))["values"]
    assert [config.train.seed for config in trained] == [1, 0]
    assert again["clip-ft"]["2"]["0"]["metrics"] == values["clip-ft"]["2"]["0"]["metrics"]


def test_a_point_of_another_configuration_does_not_count(tmp_path, monkeypatch):
    profile, values = get_profile("cpu"), read_json(results.REFERENCE_FOLDER / "curves__cpu.json")
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    assert [key[:3] for key in flat(curves.known(profile))] == [
        key[:3] for key in flat(curves.in_order(values["values"]))
    ], "every committed point is of a run that can be made today"
    other = tmp_path / "reference"
    other.mkdir()
    for key in flat(values["values"]):
        key[3]["run"] = "clip-ft-s0-0000000000"
    (other / "curves__cpu.json").write_text(json.dumps(values))
    monkeypatch.setattr(results, "REFERENCE_FOLDER", other)
    assert curves.known(profile) == {}


@pytest.mark.parametrize(
    "values",
    [[], {"clip-ft": 3}, {"clip-ft": {"x": {"0": {}}}}, {"clip-ft": {"2": {"0": {"run": "a"}}}},
     {"clip-ft": {"2": {"0": {"run": 3, "metrics": {}}}}}],
)  # fmt: skip
def test_a_record_that_a_hand_has_damaged_is_named(tiny_smoke, tmp_path, monkeypatch, values):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    results.save_result("curves", tiny_smoke.name, values)
    with pytest.raises(ValueError, match=r"record curves__smoke\.json is damaged .*: expected ser"):
        curves.known(tiny_smoke)


def test_searched_rates_are_those_that_the_search_chose():
    profile, long = (
        get_profile("cpu"),
        results.load_result("search", "long", reference=True)["values"],
    )
    scaled_series = [name for name in SERIES if ", rates × " in name]
    assert scaled_series
    for name in scaled_series:
        plain, factor = name.split(", rates × ")
        chosen = long["methods"][SERIES[name][0]]["chosen"]
        assert (chosen["rate"], chosen["weight"]) == (float(factor), 1.0)
        asked = configuration(profile, plain, 1000, 1)
        assert configuration(profile, name, 1000, 1) == scaled(asked, (float(factor), 1.0))
