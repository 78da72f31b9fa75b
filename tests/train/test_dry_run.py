"""What is told before a training, and who watches it."""

import importlib.util
import re

import pytest

from bclip_core.config import ConfigError, configure, get_profile
from bclip_core.model import resolve
from bclip_core.records.files import write_json
from bclip_core.train import train
from bclip_core.train.__main__ import main
from bclip_core.train.dry_run import DiskUse, Timing, disk_use, dry_run, values
from bclip_core.train.resume import list_checkpoints, read_history
from bclip_core.train.tracking import require_trackers


@pytest.fixture(scope="module")
def tiny(tiny_config):
    return tiny_config.replace(train=tiny_config.train.replace(steps=2, checkpoint_every=0))


def test_a_dry_run_tells_every_value_and_the_sizes_that_a_run_then_has(
    tiny, tiny_scenes, tmp_path, capsys
):
    write_json(tmp_path / "config.json", tiny.to_dict())
    folder = tmp_path / "run"
    main(["--config", str(tmp_path / "config.json"), "--folder", str(folder), "--dry-run",
          "--device", "cpu"])  # fmt: skip
    told = capsys.readouterr().out
    assert not folder.exists()
    for name, value in values(tiny).items():
        assert f"{name} = {value}" in told.splitlines()
    assert "rows: 20\n" in told
    assert "updates: 2 of 6 images" in told
    assert re.search(r"RAM per rank: about \d+\.\d GiB, with 6 images", told)
    assert re.search(r"time: about \d+ s = ", told)
    assert told.endswith("ready; nothing was written\n")
    train(tiny, tiny_scenes, folder, device="cpu", progress=False, stop_after=1)
    (checkpoint,) = list_checkpoints(folder)
    size = sum(path.stat().st_size for path in checkpoint.iterdir())
    said = int(re.search(r"checkpoint: ([\d,]+) bytes", told)[1].replace(",", ""))
    assert said == pytest.approx(size, rel=0.02)


def test_the_disk_is_as_full_as_a_dry_run_says(tiny_config, tiny_scenes, tmp_path):
    settings = tiny_config.train.replace(
        steps=0, epochs=2, batch_size=5, checkpoint_every=2, keep_epochs=(1, 2)
    )
    held = list[int]()

    def look(*_):
        held.append(sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()))

    config = tiny_config.replace(train=settings)
    model = train(config, tiny_scenes, tmp_path, device="cpu", progress=False, callback=look)
    said = disk_use(settings, 20, sum(4 * weight.numel() for weight in model.parameters()))
    assert said == DiskUse(said.model, checkpoints=4, epochs=(1, 2))
    two = 2 * said.checkpoint + 2 * said.model  # after the last update, before the last file
    assert held[-1] == pytest.approx(two, rel=0.03)
    assert said.most == pytest.approx(two + said.checkpoint + said.model)
    assert max(held) < said.most < said.written


def test_ten_epochs_of_the_paper_write_sixty_gigabytes_and_not_nine_hundred():
    settings = get_profile("paper-b16").base.train
    said = disk_use(settings, 1_246_000, 4 * 152_000_000)
    assert (said.checkpoints, said.epochs, said.models) == (31, (5, 10), 3)
    assert said.written < 60e9
    assert said.most < 8e9


def test_missing_data_are_told_and_stand_ins_timed(tiny, tmp_path, capsys):
    config = tiny.replace(data=tiny.data.replace(name="pairs", folder=str(tmp_path / "nowhere")))
    assert not dry_run(resolve(config, check=True), device="cpu")
    told = capsys.readouterr().out
    assert "not ready: pairs: no folder" in told
    assert "timed here on cpu" in told
    assert told.endswith("\nnothing was written\n")


def test_what_cannot_be_is_refused_before_a_row_is_read(tmp_path):
    for arguments, message in (
        (["--loss.cross-images", "3"], "not read by method"),
        (["--trackers", "tensorbord"], "did you mean tensorboard?"),
        (["--data.image-size", "96"], "data.image_size=96: expected"),
        (["--processes", "64"], "processes=64: expected <= 32"),
        (["--dry-run", "maybe"], "'true' and 'maybe': expected one"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            main(["--profile", "smoke", "--dry-run", "--data.train", "40", *arguments])
    with pytest.raises(ConfigError, match="expected true or false"):
        main(["--profile", "smoke", "--dry-run", "maybe"])


def test_two_sizes_make_a_line():
    timing = Timing((2, 4), (3.0, 5.0), (1000.0, 1200.0))
    assert timing.at(4) == (5.0, 1200.0)
    assert timing.at(64) == (65.0, 7200.0)
    assert Timing((4,), (2.0,), (900.0,)).at(4) == (2.0, 900.0)


def test_a_tracker_that_is_not_installed_is_named_before_the_start(
    tiny, tiny_scenes, tmp_path, monkeypatch
):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "wandb" else found(name)
    )
    with pytest.raises(ConfigError, match="tracker 'wandb': not installed; expected pip install"):
        train(tiny, tiny_scenes, tmp_path / "run", progress=False, trackers=["wandb"])
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="tracker 'tensorbord': expected one of tensorboard"):
        require_trackers(["tensorbord"])


def test_tensorboard_holds_the_scalars_of_the_history(tiny, tiny_scenes, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    watched = train(
        tiny, tiny_scenes, tmp_path / "run", device="cpu", progress=False,
        trackers=["tensorboard"],
    )  # fmt: skip
    alone = train(tiny, tiny_scenes, tmp_path / "alone", device="cpu", progress=False)
    for name, value in alone.state_dict().items():
        assert value.equal(watched.state_dict()[name]), "watching decides no weight"
    history = read_history(tmp_path / "run" / "history.jsonl")
    kept = events.EventAccumulator(str(tmp_path / "run" / "trackers" / "bclip"))
    kept.Reload()
    for name in set(history[0]) - {"update"}:
        scalars = {event.step: event.value for event in kept.Scalars(name)}
        expected = {record["update"]: record[name] for record in history}
        assert scalars == pytest.approx(expected, rel=1e-5), name


def test_settings_of_the_command_line_are_no_setting_of_a_run():
    assert not {"trackers", "dry_run"} & set(configure("smoke", "clip-ft", []).to_dict()["train"])
