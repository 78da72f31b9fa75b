"""Shards whose files name a split: trained on one, measured on another."""

from pathlib import PurePath

import datasets
import pytest

from bclip_core.config import ConfigError
from bclip_core.data.real.shard_files import split_of
from bclip_core.data.sources import load_split
from bclip_core.model import resolve
from bclip_core.studies import runs
from bclip_core.train.dry_run import dry_run
from tests.train.test_shards import COUNT, asked, cache, caption, write_shards

__all__ = ["cache"]  # every test of a file that has this fixture has a cache of its own


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    """Fourteen rows to train on, in two folders, six to measure on."""
    folder = tmp_path_factory.mktemp("shards")
    for name, count in (("train", COUNT), ("test", 6)):
        (folder / name).mkdir()
        write_shards(folder / name, count)
    return folder


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("00000.tar", "train"), ("test/00000.tar", "test"), ("test-00000-of-00002.parquet", "test"),
        ("val2017_1.tar", "validation"), ("Validation.parquet", "validation"),
        ("training_0.tar", "train"), ("testimony-0.tar", "train"), ("latest.tar", "train"),
        ("data/test-0.parquet", "test"), ("dev-1.tar", "validation"),
    ],
)  # fmt: skip
def test_a_file_names_its_split(name, split):
    assert split_of(PurePath(name)) == split


def test_each_split_has_its_own_rows(tiny_config, divided):
    data = asked(tiny_config, divided).data
    assert load_split(data, "train")["caption"][:] == [caption(n) for n in range(COUNT)]
    assert load_split(data, "test")["caption"][:] == [caption(n) for n in range(6)]
    assert len(load_split(data.replace(test=4), "test")) == 4
    with pytest.raises(ConfigError, match=r"split 'validation': none of its 5 files names it: "):
        load_split(data, "validation")


def test_a_table_streamed_by_name_has_its_splits(tiny_config, divided, tmp_path):
    data = asked(tiny_config, divided).data
    for split in ("train", "test"):
        rows = load_split(data, split).select_columns(["id", "image", "caption"])
        rows.cast_column("image", datasets.Image()).to_parquet(tmp_path / f"{split}-0.parquet")
    for source in (str(tmp_path), f"hub:{tmp_path}"):
        again = data.replace(folder=source)
        for split in ("train", "test"):
            assert load_split(again, split)["caption"][:] == load_split(data, split)["caption"][:]
        with pytest.raises(ConfigError, match="validation"):
            load_split(again, "validation")


def test_a_run_on_shards_is_trained_and_measured(tiny_config, divided, tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    config = asked(tiny_config, divided, batch_size=4, steps=2)
    (run,) = runs.obtain([config], progress=False)
    assert run.finished
    assert any(name.startswith("retrieval/global") for name in run.metrics()), run.metrics()
    told = run.measured_on()
    assert told["folder"] == str(divided)
    assert told["complete"]
    assert told["data"][0]["items"] == 6
    assert told["absent"]["regions"] == "no boxes with expressions in shards"


def test_without_a_test_split_obtain_says_so_before_it_trains(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    config = asked(tiny_config, write_shards(tmp_path), batch_size=4, steps=2)
    with pytest.raises(ConfigError, match=r"split 'test': none of its 3 files names it: expected "):
        runs.obtain([config], progress=False)
    assert not list(tmp_path.glob("runs/*/config.json"))


def test_a_dry_run_counts_the_rows_of_shards(tiny_config, divided, tmp_path, capsys):
    config = asked(tiny_config, divided, batch_size=4, steps=0, epochs=2)
    assert dry_run(resolve(config, check=True), device="cpu")
    told = capsys.readouterr().out
    assert f"rows: {COUNT}\n" in told
    assert "updates: 7 of 4 images" in told
    assert told.endswith("ready; nothing was written\n")
    nowhere = config.replace(data=config.data.replace(folder=str(tmp_path / "nowhere")))
    assert not dry_run(resolve(nowhere, check=True), device="cpu")
    assert "not ready: shards: data.folder=" in capsys.readouterr().out
