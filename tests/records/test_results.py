"""Results: complete provenance, read back by name, promoted by copying."""

import subprocess
from importlib.metadata import version

import pytest
import torch

from bclip_core.captions import default_extractor
from bclip_core.config import ConfigError, DataConfig
from bclip_core.data.sources import load_split
from bclip_core.records import REPOSITORY, results
from bclip_core.reproduce import promote


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(results, "REFERENCE_FOLDER", tmp_path / "reference")
    return tmp_path


def test_a_result_comes_back_with_its_provenance(folders):
    path = results.save_result("benchmark", "smoke", {"R@1": 0.5})
    assert path == folders / "runs" / "tables" / "benchmark__smoke.json"
    record = results.load_result("benchmark", "smoke")
    assert (record["name"], record["profile"], record["values"]) == (
        "benchmark",
        "smoke",
        {"R@1": 0.5},
    )
    assert record["schema"] == results.SCHEMA
    assert record["packages"]["torch"] == version("torch")
    assert set(record["packages"]) == set(results.RECORDED_PACKAGES)
    assert record["phrase_extractor"] == default_extractor().name
    assert set(record["machine"]) == {"processor", "cores", "gpu", "system", "python"}
    assert bool(record["machine"]["gpu"]) == torch.cuda.is_available()
    assert record["machine"]["processor"]
    assert len(record["date"]) == len("2026-01-31")


def test_the_code_is_named_by_its_commit():
    inside = ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"]
    commit = subprocess.run(inside, capture_output=True, text=True, check=False).stdout.strip()
    code = results.code_version()
    assert code["commit"] == commit
    assert isinstance(code["modified"], bool)


def test_outside_a_repository_the_commit_is_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "REPOSITORY", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert results.code_version.__wrapped__() == {"commit": "", "modified": False}


def test_a_missing_result_names_the_command_that_makes_it(folders):
    with pytest.raises(FileNotFoundError, match=r"bclip_core.reproduce --profile cpu") as error:
        results.load_result("benchmark", "cpu")
    assert "no result benchmark__cpu.json" in str(error.value)


def test_promoting_copies_one_profile_into_the_reference(folders):
    results.save_result("benchmark", "smoke", {"a": 1})
    results.save_result("beta", "smoke", {"a": 2})
    results.save_result("beta", "cpu", {"a": 3})
    copied = promote.promote("smoke")
    assert [path.name for path in copied] == ["benchmark__smoke.json", "beta__smoke.json"]
    assert sorted((folders / "reference").iterdir()) == copied
    assert results.load_result("beta", "smoke", reference=True)["values"] == {"a": 2}
    assert results.load_result("beta", "smoke")["values"] == {"a": 2}
    with pytest.raises(FileNotFoundError, match="no result beta__cpu.json"):
        results.load_result("beta", "cpu", reference=True)


def test_nothing_to_promote_is_an_error(folders):
    with pytest.raises(FileNotFoundError, match="no results of profile 'gpu'"):
        promote.promote("gpu")


def test_nan_is_no_result(folders):
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.save_result("benchmark", "smoke", {"R@1": float("nan")})
    assert not (folders / "runs" / "tables" / "benchmark__smoke.json").exists()


def test_runs_go_where_the_variable_says(monkeypatch):
    monkeypatch.delenv("BCLIP_RUNS")
    assert results.runs_folder() == REPOSITORY / "results" / "runs"
    monkeypatch.setenv("BCLIP_RUNS", "/elsewhere")
    assert str(results.runs_folder()) == "/elsewhere"


def test_unknown_data_sets_and_splits_list_the_known_ones():
    with pytest.raises(ConfigError, match="data set 'imagenet': expected one of scenes"):
        load_split(DataConfig(name="imagenet"), "train")
    with pytest.raises(ConfigError, match="split 'dev': expected one of train, validation, test"):
        load_split(DataConfig(), "dev")
    with pytest.raises(ValueError, match="difficulty='extreme'.* expected one of simple"):
        load_split(DataConfig(difficulty="extreme"), "train")
