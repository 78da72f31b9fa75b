"""The loop on a tiny run: schedule, optimiser, accumulation, precision, seeds, non-finite loss."""

import contextlib
import copy
import math
import shutil

import pytest
import torch

from bclip_core import checkpoints
from bclip_core.backbone import Tokenizer
from bclip_core.backbone.architectures import SMALL_ARCHITECTURES
from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig, ConfigError, PoolerConfig, TrainConfig
from bclip_core.data.batches import ImageTextDataset, StepSampler, make_loader
from bclip_core.data.images import normalise_images
from bclip_core.model import get_method
from bclip_core.records.files import read_json
from bclip_core.train import NonFiniteLossError, create_model, train
from bclip_core.train.__main__ import main
from bclip_core.train.distributed import make_accelerator
from bclip_core.train.optimization import float32_products, learning_rate_factor, make_optimizer
from bclip_core.train.resume import list_checkpoints, read_history


def run(config, scenes, folder, **arguments):
    return train(config, scenes, folder, device="cpu", progress=False, **arguments)


def same_weights(first, second):
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)


def test_the_rate_warms_up_to_its_peak_and_falls_to_its_last_fraction():
    config = TrainConfig(steps=101, warmup_steps=20, final_lr_fraction=0.1)
    factors = [learning_rate_factor(update, config) for update in range(config.steps)]
    assert factors[0] == 1 / 20
    assert factors[9] == 0.5
    assert factors[19] == factors[20] == max(factors) == 1.0
    assert factors[60] == pytest.approx(0.55)  # half way between 20 and 100: the mean of 1 and 0.1
    assert factors[40] == pytest.approx(0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2)
    assert factors[100] == pytest.approx(0.1)
    assert sorted(factors[20:], reverse=True) == factors[20:]


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 10), (2, 1), (5, 5), (5, 0)])
def test_short_runs_have_a_rate_too(steps, warmup):
    config = TrainConfig(steps=steps, warmup_steps=warmup)
    factors = [learning_rate_factor(update, config) for update in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)


def test_two_rates_and_only_matrices_decay():
    model = build_model(BackboneConfig("scene-tiny"), PoolerConfig())
    config = TrainConfig(lr=1e-3, pooler_lr=1e-2, weight_decay=0.1)
    optimizer = make_optimizer(model, config)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names.pop(id(parameter))
            found[name] = (group["lr"], group["weight_decay"])
            assert group["weight_decay"] == (0.1 if parameter.ndim >= 2 else 0.0), name
            assert group["lr"] == (1e-2 if name.startswith("pooler.") else 1e-3), name
            assert group["betas"] == (0.9, 0.98)
    assert names == {}, "parameters that nothing trains"
    assert found["backbone.clip.logit_scale"] == (1e-3, 0.0)
    assert found["pooler.logit_scale"] == (1e-2, 0.0)
    assert found["pooler.ln_2.weight"] == (1e-2, 0.0)
    assert found["backbone.clip.visual.conv1.weight"] == (1e-3, 0.1)


def test_the_first_update_moves_each_group_by_its_warmed_up_rate(
    tiny_config, tiny_scenes, tmp_path
):
    settings = tiny_config.train.replace(lr=1e-3, pooler_lr=4e-3, weight_decay=0.0)
    config = tiny_config.replace(train=settings)
    before = dict(create_model(config).named_parameters())
    after = run(config, tiny_scenes, tmp_path, stop_after=1)
    moved = {"pooler": 0.0, "backbone": 0.0}
    for name, parameter in after.named_parameters():
        part = name.split(".")[0]
        moved[part] = max(moved[part], (parameter - before[name]).abs().max().item())
    # AdamW's first update is the rate times the sign of the gradient; warm-up starts at one half.
    assert moved["backbone"] == pytest.approx(0.5e-3, rel=1e-2)
    assert moved["pooler"] == pytest.approx(2e-3, rel=1e-2)


def reference_update(config, scenes):
    """One update by hand: mean gradient and loss of the micro-batches, then the optimiser."""
    method, settings = get_method(config.method), config.train
    model = create_model(config)
    data = ImageTextDataset(scenes, method.texts(config.texts), 64, settings.seed)
    sampler = StepSampler(len(data), settings.batch_size, settings.accumulation, settings.seed)
    gradients = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    losses = []
    for batch in make_loader(data, sampler, Tokenizer()):
        features = model(normalise_images(batch.images), batch.texts)
        loss = sum(method.loss_terms(features, config.loss).values())
        losses.append(loss.item())
        found = torch.autograd.grad(loss, list(model.parameters()))
        for name, gradient in zip(gradients, found, strict=True):
            gradients[name] += gradient / settings.accumulation
    for name, parameter in model.named_parameters():
        parameter.grad = gradients[name]
    optimizer = make_optimizer(model, settings)
    for group in optimizer.param_groups:
        group["lr"] *= learning_rate_factor(0, settings)
    optimizer.step()
    return model, gradients, sum(losses) / len(losses)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_an_update_takes_the_mean_gradient_of_its_micro_batches(
    tiny_config, tiny_scenes, tmp_path, accumulation
):
    settings = tiny_config.train.replace(
        steps=2, batch_size=6 // accumulation, accumulation=accumulation, clip_norm=0.0
    )
    config = tiny_config.replace(train=settings)
    expected, gradients, loss = reference_update(config, tiny_scenes)
    model = run(config, tiny_scenes, tmp_path, stop_after=1)
    for name, parameter in model.named_parameters():
        clear = gradients[name].abs() > 1e-5  # elsewhere AdamW amplifies rounding to its full rate
        wanted = dict(expected.named_parameters())[name]
        torch.testing.assert_close(parameter[clear], wanted[clear], atol=2e-6, rtol=0, msg=name)
    norm = math.sqrt(sum(g.double().square().sum().item() for g in gradients.values()))
    history = read_history(tmp_path / "history.jsonl")
    assert [record["update"] for record in history] == [1]
    assert history[0]["gradient_norm"] == pytest.approx(norm, rel=1e-5)
    assert history[0]["loss"] == pytest.approx(loss, rel=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    tiny_config, tiny_scenes, tmp_path
):
    short = tiny_config.replace(train=tiny_config.train.replace(steps=2))
    other = tiny_config.replace(train=tiny_config.train.replace(steps=2, seed=1))
    torch.manual_seed(5)
    first = run(short, tiny_scenes, tmp_path / "a")
    torch.manual_seed(6)
    second = run(short, tiny_scenes, tmp_path / "b")
    third = run(other, tiny_scenes, tmp_path / "c")
    assert same_weights(first, second)
    assert not same_weights(first, third)


def test_scales_stay_between_1_and_100(tiny_config, tiny_scenes, tmp_path):
    settings = tiny_config.train.replace(steps=3, lr=9.0, pooler_lr=9.0, warmup_steps=0)
    try:
        run(tiny_config.replace(train=settings), tiny_scenes, tmp_path, callback=check_scales)
    except NonFiniteLossError:  # such rates destroy a model; the scales are what is watched here
        assert read_history(tmp_path / "history.jsonl")


def check_scales(update, model):
    for scale in (model.backbone.logit_scale, model.pooler.logit_scale):
        assert 0 <= scale.item() <= math.log(100) + 1e-4
        assert scale.item() in (0.0, pytest.approx(math.log(100), abs=1e-4)), "rate too small"


def test_bf16_trains_and_the_weights_stay_float32(tiny_config, tiny_scenes, tmp_path):
    settings = tiny_config.train.replace(steps=3, precision="bf16")
    model = run(tiny_config.replace(train=settings), tiny_scenes, tmp_path / "bf16")
    plain = run(
        tiny_config.replace(train=settings.replace(precision="fp32")),
        tiny_scenes,
        tmp_path / "fp32",
    )
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not same_weights(model, plain)
    losses = [
        [record["loss"] for record in read_history(tmp_path / name / "history.jsonl")]
        for name in ("bf16", "fp32")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]


def compile_little(monkeypatch, folder):
    """Let g++ run a few times only; or compiling one tower takes longer than this whole file."""
    from torch._inductor import config

    dim, vision, text = SMALL_ARCHITECTURES["scene-tiny"]
    shallow = dim, vision | {"layers": 1}, text  # another block is the same code again
    monkeypatch.setitem(SMALL_ARCHITECTURES, "scene-tiny", shallow)
    # Plain C++: each kind of vectors is tried out first, in a process that imports torch.
    monkeypatch.setattr(config.cpp, "vec_isa_ok", False)
    monkeypatch.setattr(config, "compile_threads", 1)  # here, in no process that imports torch
    # Or the compiled code stays in the machine's temporary folder.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))


def history_of(config, scenes, folder, setting):
    """Three updates with settings of speed and memory."""
    settings = config.train.replace(steps=3, lr=2e-4, pooler_lr=5e-4, **setting)
    model = run(config.replace(train=settings), scenes, folder)
    assert "encode_image" not in vars(model.backbone)  # what was compiled is gone
    return read_history(folder / "history.jsonl")


@pytest.fixture(scope="module")
def plain_history(tiny_config, tiny_scenes, tmp_path_factory):
    return history_of(tiny_config, tiny_scenes, tmp_path_factory.mktemp("plain"), {})


@pytest.mark.parametrize(
    "setting",
    [
        {"activation_checkpointing": True},
        {"packed_texts": True},
        {"channels_last": True},
        {"fused_optimizer": False},
        {"loader_workers": 1},
        pytest.param(
            {"compile": True},
            marks=pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs g++"),
        ),
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_settings_of_speed_and_memory_change_no_result(
    tiny_config, tiny_scenes, tmp_path, setting, monkeypatch, plain_history
):
    if "compile" in setting:
        compile_little(monkeypatch, tmp_path / "compiled")
        plain_history = history_of(tiny_config, tiny_scenes, tmp_path / "plain", {})
    history = history_of(tiny_config, tiny_scenes, tmp_path / "changed", setting)
    for plain, changed in zip(plain_history, history, strict=True):
        for name in ("loss", "gradient_norm", "logit_scale"):
            assert changed[name] == pytest.approx(plain[name], rel=1e-3), name


def test_fp16_needs_a_gpu():
    with pytest.raises(ConfigError, match="precision='fp16': expected fp32 or bf16"):
        make_accelerator(TrainConfig(precision="fp16"), "cpu")


@pytest.mark.parametrize("method", ["clip-ft", "beta-clip-ce", "beta-clip-bce"])
def test_a_few_scenes_are_learnt_by_heart(tiny_config, tiny_scenes, tmp_path, method):
    settings = tiny_config.train.replace(steps=25, batch_size=8, lr=2e-3, checkpoint_every=0)
    config = tiny_config.replace(method=method, train=settings)
    run(config, tiny_scenes.select(range(8)), tmp_path)
    history = read_history(tmp_path / "history.jsonl")
    for term in get_method(method).labels:
        # β-CAL's soft targets have an entropy that no model gets below.
        share = 0.6 if term == "global" else 0.9
        assert history[-1][term] < share * history[0][term], term


def test_a_finished_run_leaves_its_record(tiny_config, tiny_scenes, tmp_path):
    seen = []
    settings = tiny_config.train.replace(log_every=2, checkpoint_every=2)
    config = tiny_config.replace(train=settings)
    model = run(config, tiny_scenes, tmp_path, callback=lambda update, _: seen.append(update))
    assert seen == [1, 2, 3, 4, 5, 6]
    assert not model.training
    assert read_json(tmp_path / "config.json") == read_json_of(config)
    history = read_history(tmp_path / "history.jsonl")
    assert [record["update"] for record in history] == [2, 4, 6]
    for record in history:
        assert record["loss"] == pytest.approx(record["global"] + record["beta_cal"])
        assert record["lr_factor"] == learning_rate_factor(record["update"] - 1, config.train)
        assert record["seconds"] > 0
        assert 0 <= record["loader_share"] <= 1
    assert same_weights(checkpoints.load(tmp_path / "model.safetensors", config), model)
    names = [path.name for path in list_checkpoints(tmp_path)]
    assert names == ["update-00000004", "update-00000006"]


def read_json_of(config):
    return copy.deepcopy(config.to_dict()) | {
        "train": config.train.to_dict() | {"adam_betas": list(config.train.adam_betas)}
    }


def test_a_method_without_terms_trains_nothing(tiny_config, tiny_scenes, tmp_path):
    config = tiny_config.replace(method="clip")
    model = run(config, tiny_scenes, tmp_path)
    assert same_weights(model, create_model(config))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def poison_weights(update, model):
    if update == 3:
        with torch.no_grad():
            model.backbone.clip.visual.conv1.weight[0, 0, 0, 0] = float("nan")


def poison_gradient(update, model):
    if update == 3:  # hidden units of such size cancel in the forward pass, not in the gradient
        mlp = model.backbone.clip.visual.transformer.resblocks[-1].mlp
        with torch.no_grad():
            mlp.c_fc.weight.mul_(1e25)
            mlp.c_proj.weight.mul_(1e-25)


@pytest.mark.parametrize(
    ("poison", "value"),
    [(poison_weights, "global': nan"), (poison_gradient, "gradient_norm': inf")],
)
def test_nan_stops_with_step_ids_and_the_last_good_checkpoint(
    tiny_config, tiny_scenes, tmp_path, poison, value
):
    settings = tiny_config.train.replace(checkpoint_every=2)
    config = tiny_config.replace(method="clip-ft", train=settings)
    with pytest.raises(NonFiniteLossError) as error:
        run(config, tiny_scenes, tmp_path, callback=poison)
    message = str(error.value)
    assert "not finite at update 4" in message
    assert value in message
    sampler = list(StepSampler(len(tiny_scenes), 6, 6, 0))
    assert str([tiny_scenes[row]["id"] for _, row in sampler[3]]) in message
    kept = list_checkpoints(tmp_path)
    assert [path.name for path in kept] == ["update-00000002"]
    assert f"last good checkpoint: {kept[0]}" in message
    assert not (tmp_path / "model.safetensors").exists()
    assert [record["update"] for record in read_history(tmp_path / "history.jsonl")] == [1, 2, 3]
    run(config, tiny_scenes, tmp_path)  # from that checkpoint, without the poison
    undisturbed = run(config, tiny_scenes, tmp_path.with_name(tmp_path.name + "-undisturbed"))
    assert same_weights(checkpoints.load(tmp_path / "model.safetensors"), undisturbed)


def test_nan_before_any_checkpoint_says_so(tiny_config, tiny_scenes, tmp_path):
    with pytest.raises(NonFiniteLossError, match="last good checkpoint: none yet"):
        run(tiny_config, tiny_scenes, tmp_path, callback=poison_weights)


def test_what_is_unknown_lists_what_is_known(tiny_config, tiny_scenes, tmp_path):
    with pytest.raises(ConfigError, match="method='x': expected one of clip, "):
        run(tiny_config.replace(method="x"), tiny_scenes, tmp_path)
    backbone = BackboneConfig("scene-tinny")
    with pytest.raises(ConfigError, match="name='scene-tinny': .* one of scene-tiny, "):
        run(tiny_config.replace(backbone=backbone), tiny_scenes, tmp_path)
    pictures = tiny_config.data.replace(image_size=96)
    with pytest.raises(ConfigError, match=r"data.image_size=96: expected \(64, 64\) pixels"):
        run(tiny_config.replace(data=pictures), tiny_scenes, tmp_path)
    large = tiny_config.replace(train=tiny_config.train.replace(batch_size=21))
    with pytest.raises(ValueError, match="batch_size=21: expected <= 20"):
        run(large, tiny_scenes, tmp_path)
    assert list(tmp_path.iterdir()) == [], "refused, but something was written"


def test_a_folder_of_another_run_is_refused_with_both_values(tiny_config, tiny_scenes, tmp_path):
    run(tiny_config, tiny_scenes, tmp_path, stop_after=1)
    changed = tiny_config.replace(
        loss=tiny_config.loss.replace(beta=0.25), train=tiny_config.train.replace(seed=3)
    )
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(ConfigError) as error:
        run(changed, tiny_scenes, tmp_path)
    assert "loss.beta is 0.5 there, but 0.25 was asked for" in str(error.value)
    assert "train.seed is 0 there, but 3 was asked for" in str(error.value)
    assert "steps" not in str(error.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_the_command_line_trains_a_profile_with_changes(tmp_path, capsys):
    settings = ["backbone.name=scene-tiny", "backbone.pretrained=", "train.steps=1"]
    settings += ["train.batch_size=4", "data.train=8", "train.warmup_steps=0"]
    options = [option for setting in settings for option in ("--set", setting)]
    main(["--method", "clip-ft", "--folder", str(tmp_path), "--device", "cpu", *options])
    assert f"trained: {tmp_path / 'model.safetensors'}" in capsys.readouterr().out
    stored = read_json(tmp_path / "config.json")
    assert (stored["method"], stored["train"]["steps"]) == ("clip-ft", 1)
    main(["--config", str(tmp_path / "config.json"), "--folder", str(tmp_path / "again")])
    first, again = (tmp_path / f / "model.safetensors" for f in (".", "again"))
    assert same_weights(checkpoints.load(first), checkpoints.load(again))


def test_a_setting_that_nothing_reads_is_refused_before_anything_is_done(
    tiny_config, tiny_scenes, tmp_path
):
    arguments = ["--method", "siglip", "--set", "loss.beta=0.9", "--folder", str(tmp_path / "run")]
    with pytest.raises(ConfigError, match=r"loss.beta=0.9: not read by method 'siglip'"):
        main(arguments)
    config = tiny_config.replace(method="clip-ft", loss=tiny_config.loss.replace(beta=0.9))
    with pytest.raises(ConfigError, match=r"loss.beta=0.9: not read by method 'clip-ft'"):
        run(config, tiny_scenes, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_from_before_such_settings_were_refused_is_still_loaded(
    tiny_config, tiny_scenes, tmp_path
):
    config = tiny_config.replace(method="clip", loss=tiny_config.loss.replace(beta=0.9))
    stored = checkpoints.save(create_model(config), tmp_path / "model.safetensors")
    assert same_weights(run(config, tiny_scenes, tmp_path), checkpoints.load(stored, config))


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as error:
        main(["--help"])
    assert error.value.code == 0
    text = capsys.readouterr().out
    assert all(f"--{name}" in text for name in ("profile", "method", "set", "config", "folder"))


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [("cuda", "bf16", "high"), ("cuda", "fp16", "high"), ("cuda", "fp32", "highest"),
     ("cpu", "bf16", "highest"), ("cpu", "fp32", "highest"), ("cpu", "bf16-products", "medium")],
)  # fmt: skip
def test_products_are_those_of_device_and_precision_and_end(device, precision, expected):
    assert torch.get_float32_matmul_precision() == "highest"
    with (
        contextlib.suppress(InterruptedError),
        float32_products(torch.device(device), precision),
    ):
        assert torch.get_float32_matmul_precision() == expected
        raise InterruptedError
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("steps", [1, 3])
def test_weights_that_an_update_broke_are_never_kept(tiny_config, tiny_scenes, tmp_path, steps):
    settings = {"steps": steps, "lr": 1e38, "warmup_steps": 0, "checkpoint_every": 1}
    config = tiny_config.replace(train=tiny_config.train.replace(**settings))
    for _ in range(2):  # the second time it resumes, from nothing
        with pytest.raises(NonFiniteLossError, match="after update 1: backbone") as error:
            run(config, tiny_scenes, tmp_path)
        assert "last good checkpoint: none yet" in str(error.value)
    assert not list(tmp_path.rglob("*.safetensors"))
