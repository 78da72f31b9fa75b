"""Runs on the sample photographs in every layout: exactly the metrics that the data allow."""

import json
import shutil

import pytest

from bclip_core.config import ConfigError
from bclip_core.data.real import TRAINABLE
from bclip_core.evaluation import REGION_LEVELS
from bclip_core.evaluation import held_out as module
from bclip_core.evaluation.held_out import HeldOut
from bclip_core.records.files import read_json
from bclip_core.studies.runs import complete, obtain
from bclip_core.train import find
from bclip_core.train.resume import list_checkpoints

LONG = {f"{kind}/{texts}" for kind in ("global", "conditioned", "own_caption")
        for texts in ("captions", "summary")}  # fmt: skip
SEVERAL = {"global/captions", "conditioned/captions"}  # captions of a picture
RETRIEVAL = {"coco": SEVERAL, "docci": LONG, "pairs": LONG, "sharegpt4v": LONG,
             "photographs": LONG}  # fmt: skip
SPLIT_SIZES = {"train": 14, "test": 6}


@pytest.fixture
def config(tiny_config, layouts, tmp_path, monkeypatch):
    """Two updates on pairs; `for_layout` of another data set."""
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    data = tiny_config.data.replace(name="pairs", folder=str(layouts / "pairs"), **SPLIT_SIZES)
    train = tiny_config.train.replace(steps=2, checkpoint_every=1)
    return tiny_config.replace(data=data, train=train)


def of_layout(config, layouts, name):
    folder = str(layouts / name if name != "photographs" else layouts)
    return config.replace(data=config.data.replace(name=name, folder=folder))


def kinds(metrics):
    return {"/".join(name.split("/")[1:-1]) for name in metrics if name.startswith("retrieval/")}


def test_every_data_set_to_train_on_is_tried():
    assert set(RETRIEVAL) == set(TRAINABLE)


@pytest.mark.parametrize("name", RETRIEVAL)
def test_obtain_writes_exactly_the_metrics_that_the_data_allow(config, layouts, name, capsys):
    (run,) = obtain([of_layout(config, layouts, name)], progress=False)
    metrics, told = run.metrics(), run.measured_on()
    assert kinds(metrics) == RETRIEVAL[name]
    regions = {metric for metric in metrics if metric.startswith("regions/")}
    boxes = name in ("coco", "photographs")  # FG-OVD lies there and names their pictures
    expected = {f"regions/{kind}/{level}" for kind in ("dense", "pooled") for level in
                REGION_LEVELS}  # fmt: skip
    assert regions == (expected if boxes else set())
    assert {metric.split("/")[0] for metric in metrics} == {"retrieval"} | (
        {"regions"} if boxes else set()
    )
    absent = {"grounding", "classes"} | (set() if boxes else {"regions"})
    assert set(told["absent"]) == absent | ({"own-caption retrieval"} if name == "coco" else set())
    assert told["data_set"] == name
    assert told["split"] == "test"
    assert told["levels"] == (list(REGION_LEVELS) if boxes else [])
    assert told["folder"] == of_layout(config, layouts, name).data.folder
    assert all(len(one["sha256"]) == 64 for one in told["data"])
    assert not told["complete"], "six rows of the split"
    assert metrics["retrieval/global/captions/i2t_R@1"]["count"] == 6
    said = capsys.readouterr().out
    assert "no grounding: no masks" in said
    assert said.count(f"{name} train: ") == said.count(f"{name} test: ") == 1, "read once"
    assert not list_checkpoints(run.folder)
    assert [record["update"] for record in run.history()] == [1, 2]


def test_boxes_in_a_folder_of_ones_own_are_measured(config, layouts, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(layouts / "pairs", own)
    for file in (layouts / "fgovd").iterdir():
        if file.name.startswith("h_"):
            text = file.read_text("utf-8").replace("val2017/", "images/")
            (own / file.name).write_text(text, "utf-8")
    found = HeldOut.load(config.data.replace(folder=str(own)))
    assert list(found.regions) == ["hard"]
    assert "regions" not in found.absent


def test_a_model_without_pooler_has_no_conditioned_retrieval(config):
    (run,) = obtain([config.replace(method="clip")], progress=False)
    assert kinds(run.metrics()) == {"global/captions", "global/summary"}
    assert run.measured_on()["absent"]["conditioned retrieval"] == "no pooler"


def test_many_pairs_are_ranked_in_short_lists(config, monkeypatch):
    monkeypatch.setattr(module, "MOST_PAIRS", 35)
    (run,) = obtain([config], progress=False)
    assert "conditioned_top100/captions" in kinds(run.metrics())
    assert "short lists" in run.measured_on()["absent"]["conditioned retrieval"]


def test_what_cannot_be_measured_on_is_refused_before_any_training(config, layouts, tmp_path):
    own = tmp_path / "docci"
    shutil.copytree(layouts / "docci", own)
    table = own / "docci_descriptions.jsonlines"
    rows = [json.loads(line) for line in table.read_text("utf-8").splitlines()]
    lines = [json.dumps(row) for row in rows if row["split"] == "train"]
    table.write_text("\n".join(lines), "utf-8")
    without = config.replace(data=config.data.replace(name="docci", folder=str(own)))
    with pytest.raises(ConfigError, match=r"what to measure on: .*docci"):
        obtain([without], progress=False)
    assert not find(without).folder.exists()
    with pytest.raises(ConfigError, match=r"split.*'validation'"):
        obtain([config], split="validation", progress=False)
    assert not find(config).folder.exists()


def test_checkpoints_are_kept_until_the_metrics_are_written(config, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(HeldOut, "measure", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            complete(find(config), progress=False)
    run = find(config)
    assert list_checkpoints(run.folder)
    weights = (run.folder / "model.safetensors").stat().st_mtime_ns
    complete(run, progress=False)
    assert run.finished
    assert not list_checkpoints(run.folder)
    assert (run.folder / "model.safetensors").stat().st_mtime_ns == weights, "not trained again"


def test_other_test_data_are_measured_again_and_other_training_data_refused(
    config, layouts, tmp_path, capsys
):
    own = tmp_path / "docci"
    shutil.copytree(layouts / "docci", own)
    config = config.replace(data=config.data.replace(name="docci", folder=str(own)))
    (run,) = obtain([config], progress=False)
    first = read_json(run.folder / "measured_on.json")
    (again,) = obtain([config], progress=False)
    assert "measured again" not in capsys.readouterr().out
    assert again.measured_on() == first
    table = own / "docci_descriptions.jsonlines"
    changed, *rest = table.read_text("utf-8").splitlines()
    table.write_text("\n".join([changed.replace("A ", "One ", 1), *rest]), "utf-8")
    (run,) = obtain([config], progress=False)
    assert "measured on other data before, and so measured again" in capsys.readouterr().out
    assert run.measured_on()["data"] != first["data"]
    lines = table.read_text("utf-8").splitlines()
    first = next(n for n, line in enumerate(lines) if '"split": "train"' in line)
    lines[first] = lines[first].replace('description": "', 'description": "Look. ', 1)
    table.write_text("\n".join(lines), "utf-8")
    with pytest.raises(ConfigError, match="begun with other data"):
        obtain([config], progress=False)
