"""Learning curves: a run per length, recorded as they finish, and a table of what there is."""

import pytest

from bclip_core.config import ConfigError, get_profile
from bclip_core.records.files import read_json
from bclip_core.studies.curves import COLUMNS, SERIES, configuration, study, table_rows


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


def test_what_is_finished_is_recorded_and_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    path = study(get_profile("smoke"), ["clip-ft", "beta-clip-ce"], [2], [0])
    values = read_json(path)["values"]
    header, *rows = table_rows(values)
    assert [row[:3] for row in sorted(rows)] == [["beta-clip-ce", "2", "1"], ["clip-ft", "2", "1"]]
    assert header[3:-1] == list(COLUMNS)
    assert set(values) <= set(SERIES)
    assert all(cell != "–" for cell in sorted(rows)[0])
