"""The study of the sigmoid form: its arms, its gradients, and a record that loses nothing."""

import pytest
import torch

from bclip_core.config import SIGMOID_BIASES, SIGMOID_NORMALISERS, ConfigError, get_profile
from bclip_core.losses import NORMALISERS
from bclip_core.model import get_method
from bclip_core.records.files import read_json
from bclip_core.studies import sigmoid
from bclip_core.studies.sigmoid import GRID, PUBLISHED, Arm
from bclip_core.train import create_model, find


def test_settings_and_loss_know_the_same_normalisers():
    assert SIGMOID_NORMALISERS == NORMALISERS


def test_the_published_arm_is_the_papers_run_and_all_are_taken_by_the_method():
    profile = get_profile("cpu")
    assert PUBLISHED.configuration(profile) == profile.run("beta-clip-bce")
    for arm in sigmoid.arms(profile):
        get_method(sigmoid.METHOD).check(arm.configuration(profile))
    pairs = {(arm.normaliser, arm.bias) for arm in GRID}
    assert pairs == {(n, b) for n in SIGMOID_NORMALISERS for b in SIGMOID_BIASES}
    folders = {find(arm.configuration(profile)).folder for arm in sigmoid.arms(profile)}
    assert len(folders) == len(sigmoid.arms(profile)), "no two arms are one run"


def test_an_arm_says_what_sets_it_apart():
    profile = get_profile("cpu")
    arm = Arm("rows", "fixed", length=300, scale=5.0, rate=3.0)
    config, usual = arm.configuration(profile), profile.run("beta-clip-bce")
    assert arm.name == "rows, fixed, scale 5, learning rate × 3"
    assert (config.train.steps, config.pooler.scale) == (300, 5.0)
    assert config.train.lr == pytest.approx(3 * usual.train.lr)
    assert config.train.pooler_lr == pytest.approx(3 * usual.train.pooler_lr)
    assert config.loss.sigmoid_bias_value == -4.78
    with pytest.raises(ConfigError, match="arms='rows': expected of pairs, none; "):
        sigmoid.choose(profile, ["rows"])


def test_gradients_are_those_of_each_term_alone_and_leave_the_model_as_it_is(tiny_smoke):
    config = Arm("positives", "learnt").configuration(tiny_smoke)
    model, batch = create_model(config), sigmoid.probe(config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = sigmoid.gradients(model, config, batch)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert found == sigmoid.gradients(model, config, batch)
    weighted = config.replace(loss=config.loss.replace(beta_cal_weight=3.0))
    other = sigmoid.gradients(model, weighted, batch)
    assert other["norm/beta_cal"] == pytest.approx(3 * found["norm/beta_cal"], rel=1e-4)
    assert other["norm/global"] == pytest.approx(found["norm/global"], rel=1e-4)
    assert other["cosine"] == pytest.approx(found["cosine"], abs=1e-4)


def test_the_record_keeps_what_it_held_and_gradients_cover_the_run(
    tiny_smoke, tmp_path, monkeypatch
):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    profile = tiny_smoke
    first = sigmoid.study(profile, [Arm(length=4)])
    path = sigmoid.study(profile, [Arm("positives", "learnt", length=4)])
    assert path == first
    values = read_json(path)["values"]
    assert list(values["arms"]) == ["pairs, none", "positives, learnt"]
    kept = sigmoid.at_length(values, 4)
    assert kept.keys() == values["arms"].keys()
    assert not sigmoid.at_length(values, 100)
    for run in kept.values():
        assert list(sigmoid.pull(run)) == [0, 1, 2, 3, 4]
        assert run["history"]["update"] == [1, 2, 3, 4]
    published, balanced = kept.values()
    assert published["gradients"]["0"]["global"] == balanced["gradients"]["0"]["global"]
    assert sigmoid.pull(published)[4] < sigmoid.pull(balanced)[4]
    header, *rows = sigmoid.table_rows(values)
    assert [row[:2] for row in rows] == [["pairs, none", "4"], ["positives, learnt", "4"]]
    assert header[4:] == list(sigmoid.COLUMNS)
    longer = {"run": "x", "metrics": published["metrics"], "leak": {}}
    curves = {"beta-clip-ce": {"4": {"0": longer}}, "beta-clip-bce": {"4": {"0": longer},
              "9": {"0": longer}, "20": {"1": longer}}}  # fmt: skip
    _, *beside = sigmoid.table_rows(sigmoid.with_curves(values, curves))
    assert [row[:2] for row in beside] == [["cross-entropy form", "4"], ["pairs, none", "4"],
                                           ["pairs, none", "9"], rows[1][:2]]  # fmt: skip
    assert beside[1] == rows[0], "what the study has measured stays"
    assert beside[2][2:4] == ["–", "–"]
    (line,) = sigmoid.gains(values)
    shares = [run["metrics"][sigmoid.COLUMNS["medium"]]["mean"] for run in (balanced, published)]
    assert line.startswith("- `positives, learnt` at 4 updates: long → image ")
    assert f"medium {100 * (shares[0] - shares[1]):+.1f}" in line
    said = sigmoid.plateau_sentence(values)
    assert f"{published['gradients']['4']['beta_cal']:.4f} after 4 updates (pairs, none)" in said
    assert "positives, learnt" not in said

    trained = (find(Arm(length=4).configuration(profile)).folder / "model.safetensors").stat()
    sigmoid.study(profile, [Arm(length=4)])
    again = (find(Arm(length=4).configuration(profile)).folder / "model.safetensors").stat()
    assert trained.st_mtime_ns == again.st_mtime_ns, "a finished run is not trained again"
    assert read_json(path)["values"] == values
