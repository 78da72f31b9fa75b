"""Results: complete provenance, read back by name, promoted by copying."""

import subprocess
from importlib.metadata import version

import pytest
import torch

from bclip_core.captions import default_extractor
from bclip_core.config import ConfigError, DataConfig
from bclip_core.data.sources import load_split
from bclip_core.records import REPOSITORY, results, together
from bclip_core.reproduce import promote


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(results, "REFERENCE_FOLDER", tmp_path / "reference")
    return tmp_path


def test_a_result_comes_back_with_its_provenance(folders):
    path = results.save_result("answers", "smoke", {"R@1": 0.5})
    assert path == folders / "runs" / "tables" / "answers__smoke.json"
    record = results.load_result("answers", "smoke")
    assert (record["name"], record["profile"], record["values"]) == (
        "answers",
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
    code = results.code_version.__wrapped__()
    assert (code["commit"], code["modified"]) == ("", False)
    assert code["note"].startswith("not a git checkout: ")


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_commit_of_an_enclosing_repository_is_not_this_codes(tmp_path, monkeypatch):
    inner = tmp_path / "vendor"
    (inner / "bclip_core" / "records").mkdir(parents=True)
    (inner / "bclip_core" / "records" / "results.py").write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "theirs")
    monkeypatch.setattr(results, "REPOSITORY", inner)
    code = results.code_version.__wrapped__()
    assert code["commit"] == ""
    assert code["note"] == (
        f"inside another repository ({tmp_path.name}), whose commit is not this code's"
    )
    monkeypatch.setattr(results, "REPOSITORY", tmp_path)
    code = results.code_version.__wrapped__()
    assert code["note"] == "the repository around this code does not track it"
    git(inner, "init")
    git(inner, "add", ".")
    monkeypatch.setattr(results, "REPOSITORY", inner)
    assert results.code_version.__wrapped__()["note"].startswith("not a git checkout: ")
    git(inner, "commit", "-m", "ours")
    expected = {"commit": git(inner, "rev-parse", "HEAD"), "modified": False}
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))  # as in a hook
    assert results.code_version.__wrapped__() == expected
    (inner / "bclip_core" / "records" / "results.py").write_text("x = 1")
    assert results.code_version.__wrapped__() == expected | {"modified": True}


def test_a_missing_result_names_the_command_that_makes_it(folders):
    with pytest.raises(FileNotFoundError, match=r"bclip_core.reproduce --profile cpu") as error:
        results.load_result("answers", "cpu")
    assert "no result answers__cpu.json" in str(error.value)


def test_promoting_copies_one_profile_into_the_reference(folders):
    results.save_result("answers", "smoke", {"a": 1})
    results.save_result("beta", "smoke", {"a": 2})
    results.save_result("beta", "cpu", {"a": 3})
    copied = promote.promote("smoke")
    assert [path.name for path in copied] == ["answers__smoke.json", "beta__smoke.json"]
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
        results.save_result("answers", "smoke", {"R@1": float("nan")})
    assert not (folders / "runs" / "tables" / "answers__smoke.json").exists()


def test_runs_go_where_the_variable_says(monkeypatch):
    monkeypatch.delenv("BCLIP_RUNS")
    assert results.runs_folder() == REPOSITORY / "results" / "runs"
    monkeypatch.setenv("BCLIP_RUNS", "/elsewhere")
    assert str(results.runs_folder()) == "/elsewhere"


@pytest.mark.parametrize("given", ["", "  "])
def test_an_empty_variable_is_none(monkeypatch, given):
    monkeypatch.setenv("BCLIP_RUNS", given)
    assert results.runs_folder() == REPOSITORY / "results" / "runs"


def test_a_relative_variable_is_below_the_repository_from_every_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("BCLIP_RUNS", "other/runs")
    monkeypatch.chdir(tmp_path)
    assert results.runs_folder() == REPOSITORY / "other" / "runs"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BCLIP_RUNS", "~/runs")
    assert results.runs_folder() == tmp_path / "runs"


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\ufeff"])
def test_a_broken_record_is_named(folders, text):
    path = results.save_result("answers", "smoke", {})
    path.write_text(text)
    with pytest.raises(ValueError, match=r"answers__smoke\.json: "):
        results.load_result("answers", "smoke")


def promoted_and_made_anew(folders):
    """Two results that were promoted and then made again, beside a third; the reference's files."""
    for name in ("a", "b"):
        results.save_result(name, "smoke", {"old": 1})
    promote.promote("smoke")
    before = {path.name: path.read_bytes() for path in (folders / "reference").iterdir()}
    for name in ("a", "b", "c"):
        results.save_result(name, "smoke", {"new": 1})
    return before


def test_promoting_is_all_or_nothing(folders, monkeypatch, capsys):
    before = promoted_and_made_anew(folders)
    real = together.os.replace

    def fails_at_c(source, target):
        if str(target).endswith("reference/c__smoke.json"):
            raise OSError(28, "No space left on device")
        return real(source, target)

    monkeypatch.setattr(together.os, "replace", fails_at_c)
    assert promote.main(["smoke"]) == 1
    assert "No space left on device; free some space" in capsys.readouterr().err
    after = {path.name: path.read_bytes() for path in (folders / "reference").iterdir()}
    assert after == before
    visible = sorted(path.name for path in folders.iterdir() if path.suffix != ".lock")
    assert visible == ["reference", "runs"]


def test_a_broken_result_is_not_promoted(folders, capsys):
    results.save_result("a", "smoke", {"new": 1})
    results.save_result("b", "smoke", {"new": 1}).write_text("{")
    assert promote.main(["smoke"]) == 1
    assert "b__smoke.json: broken JSON at line 1" in capsys.readouterr().err
    assert not (folders / "reference").exists()


def test_a_result_under_anothers_name_is_neither_read_nor_promoted(folders, capsys):
    path = results.save_result("a", "cpu", {"new": 1})
    for other, held in (("a__smoke", "'a__cpu'"), ("b__cpu", "'a__cpu'")):
        copied = path.with_name(f"{other}.json")
        copied.write_bytes(path.read_bytes())
        name, _, profile = other.partition("__")
        with pytest.raises(ValueError, match=rf"{other}\.json: holds the result {held}: expected"):
            results.load_result(name, profile)
        assert promote.main([profile]) == 1
        assert f"{other}.json: holds the result {held}" in capsys.readouterr().err
        copied.unlink()
    assert not (folders / "reference").exists()
    assert results.load_result("a", "cpu")["values"] == {"new": 1}


def test_unknown_data_sets_and_splits_list_the_known_ones():
    with pytest.raises(ConfigError, match="data set 'imagenet': expected one of scenes"):
        load_split(DataConfig(name="imagenet"), "train")
    with pytest.raises(ConfigError, match="split 'dev': expected one of train, validation, test"):
        load_split(DataConfig(), "dev")
    with pytest.raises(ValueError, match="difficulty='extreme'.* expected one of simple"):
        load_split(DataConfig(difficulty="extreme"), "train")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "*"])
def test_a_results_name_leads_nowhere_else(folders, name):
    for given in ({"name": name, "profile": "smoke"}, {"name": "a", "profile": name}):
        with pytest.raises(ValueError, match=r"expected letters, digits"):
            results.save_result(**given, values={})


def test_half_a_promotion_is_told_and_the_next_takes_it_back(folders):
    promoted_and_made_anew(folders)
    work, before = together.promotion_of(folders / "reference")
    before.mkdir(parents=True)  # killed after a new file that nothing was there for
    (before / "new.json").write_text('["x__smoke.json"]')
    (folders / "reference" / "x__smoke.json").write_text("{}")
    with pytest.raises(ValueError, match=r"a promotion is under way or was broken off"):
        results.load_result("a", "smoke", reference=True)
    promote.promote("smoke")
    assert not work.exists()
    assert not (folders / "reference" / "x__smoke.json").exists()
    assert results.load_result("c", "smoke", reference=True)["values"] == {"new": 1}
    assert results.load_result("a", "smoke", reference=True)["values"] == {"new": 1}
