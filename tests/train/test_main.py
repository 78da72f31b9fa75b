"""The command line of a training: its help, both spellings of a setting, and what it refuses."""

import json
import re
import subprocess
import sys

import pytest

from bclip_core.config import ConfigError, RunConfig, TrainConfig, configure
from bclip_core.config.flags import setting_types
from bclip_core.records import REPOSITORY
from bclip_core.train.__main__ import main
from bclip_core.train.distributed import alone
from bclip_core.train.options import help_text, parse


def options(tmp_path, *arguments):
    return parse(["--folder", str(tmp_path / "run"), *arguments])


def test_help_lists_every_field_with_its_default_and_a_meaning(tmp_path):
    text = help_text(options(tmp_path, "--profile", "cpu"))
    plain = " ".join(re.sub("[─-╿]", " ", text).split())
    parts = {part: values for part, values in configure("cpu", "clip-ft", []).to_dict().items()}
    for name in setting_types():
        flag = f"--{name.replace('_', '-')}"
        found = re.search(
            rf"{flag} ((?:[A-Z]+ )+|\[.*?\]\]? |\{{True,False\}} )(.*?)\(default: (.*?)\)", plain
        )
        assert found, flag
        assert found[2].strip(), f"{flag} has no meaning"
        if "." in name:
            part, field = name.split(".")
            value = parts[part][field]
            several = isinstance(value, tuple | list | dict)
            shown = " ".join(map(str, value)) if several else str(value) or "''"
            assert found[3] == shown, flag
    assert all(f"--{name} " in plain for name in ("folder", "profile", "config", "device"))


@pytest.mark.parametrize(
    ("flags", "setting"),
    [
        (["--loss.beta", "0.25"], "loss.beta=0.25"),
        (["--train.batch-size=16"], "train.batch_size=16"),
        (["--train.batch_size", "16"], "train.batch_size=16"),
        (["--train.adam-betas", "0.8", "0.9"], "train.adam_betas=[0.8, 0.9]"),
        (["--train.compile"], "train.compile=true"),
        (["--train.compile", "True"], "train.compile=true"),
        (["--loss.no-mask-padding"], "loss.mask_padding=false"),
        (["--backbone.pretrained="], "backbone.pretrained="),
        (["--data.folder", "2017"], "data.folder=2017"),
    ],
)
def test_flags_and_set_are_one(tmp_path, flags, setting):
    expected = configure("smoke", "beta-clip-ce", [setting])
    assert expected != configure("smoke", "beta-clip-ce", [])
    assert options(tmp_path, *flags).run == expected
    assert options(tmp_path, "--set", setting).run == expected


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--loss.bta", "0.3"], "--loss.bta: no such setting; did you mean --loss.beta?"),
        (["--set", "loss.bta=0.3"], "--loss.bta: no such setting; did you mean --loss.beta?"),
        (["--lss.beta", "0.3"], "--lss.beta: no such setting; did you mean --loss.beta?"),
        (["--beta", "0.3"], "--beta: no such option; did you mean --loss.beta?"),
        (["--profil", "cpu"], "--profil: no such option; did you mean --profile?"),
        (["--profile", "smoek"], "did you mean smoke?"),
        (["--loss.beta", "2"], "beta=2.0: expected a number in [0, 1]"),
        (["--train.steps", "ten"], "steps='ten': expected a whole number"),
        (["--train.steps"], "--train.steps: expected a value"),
        (["--data.folder", "a", "b"], "--data.folder a b: expected one value"),
        (["--threads", "two"], "--threads='two': expected a whole number, >= 0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, flags, message):
    with pytest.raises(ConfigError) as error:
        options(tmp_path, *flags)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_flags_go_before_a_file_and_a_file_before_a_profile(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"method": "clip-ft", "train": {"steps": 7, "lr": 0.5}}))
    alone = options(tmp_path, "--config", str(path)).run
    assert alone == RunConfig.from_dict(json.loads(path.read_text()))
    both = options(tmp_path, "--config", str(path), "--profile", "cpu", "--train.steps", "9").run
    expected = configure("cpu", "clip-ft", ["train.steps=9", "train.lr=0.5"])
    assert both == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": {"btea": 0.5}}, r"LossConfig field=\['btea'\]: .*; did you mean beta\?$"),
        ({"trian": {}}, r"RunConfig field=\['trian'\]: .*; did you mean train\?$"),
        ({"train": {"precision": "fp3"}}, r"precision='fp3': expected one of fp32, "),
    ],
)
def test_a_mistyped_name_in_a_file_is_named_with_the_file_and_the_nearest(
    tmp_path, values, message
):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=message) as error:
        options(tmp_path, "--config", str(path))
    assert str(error.value).startswith(f"--config {path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["{", "[1]", '{"loss": {"bta": 1}}', None])
def test_a_file_that_cannot_be_read_is_named(tmp_path, text):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json") as error:
        options(tmp_path, "--config", str(path))
    assert "\n" not in str(error.value)


def test_an_unknown_method_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(
        ConfigError, match=r"method='beta-clip-cee': .* did you mean beta-clip-ce\?"
    ):
        main(["--folder", str(tmp_path / "run"), "--method", "beta-clip-cee"])
    assert not (tmp_path / "run").exists()


def test_help_and_a_mistyped_flag_need_no_torch():
    code = """
import sys
from bclip_core.train.__main__ import main
try:
    main(["--loss.bta", "1"])
except ValueError as error:
    print(error)
try:
    main(["--help"])
except SystemExit:
    print(sorted({"torch", "open_clip", "datasets", "accelerate"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    first, *_, last = done.stdout.splitlines()
    assert first == "--loss.bta: no such setting; did you mean --loss.beta?"
    assert last == "[]", done.stderr


def test_the_folder_is_needed():
    with pytest.raises(ConfigError, match="--folder: expected where the run is kept"):
        main(["--train.steps", "2"])


def test_a_refusal_is_one_line_and_writes_nothing(tmp_path):
    command = [sys.executable, "-m", "bclip_core.train", "--folder", str(tmp_path / "run")]
    done = subprocess.run(
        [*command, "--loss.bta=1"], capture_output=True, text=True, cwd=REPOSITORY, timeout=200
    )
    assert done.returncode == 1
    assert done.stderr == "error: --loss.bta: no such setting; did you mean --loss.beta?\n"
    assert not (tmp_path / "run").exists()


def test_a_number_of_ranks_that_is_none_is_told_with_its_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ConfigError, match=r"\$WORLD_SIZE='two': expected a whole number"):
        with alone(tmp_path / "run", TrainConfig(), "cpu"):
            pass
