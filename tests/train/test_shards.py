"""Training from WebDataset shards and from tables that are streamed, read once into Arrow.

Run as a program, this file reads shards and prints the memory that it took (see `main`).
"""

import contextlib
import functools
import io
import json
import os
import resource
import signal
import sys
import tarfile
import time
from pathlib import Path

import datasets
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from bclip_core.config import ConfigError
from bclip_core.data.batches import REQUIRED_COLUMNS, StepSampler
from bclip_core.data.real import shards
from bclip_core.data.real.identity import rows_digest
from bclip_core.data.real.shard_files import files_of
from bclip_core.data.sources import load_split
from bclip_core.records.files import write_json
from bclip_core.train import train
from bclip_core.train.resume import list_checkpoints, read_history
from tests.browser.lab import free_port
from tests.warm import WarmProcess

COUNT = 14


def main(*places):
    """Read the shards of folders one after the other; print the peak so far after each."""
    for place in map(Path, places):
        files, _ = files_of(str(place))
        shards._convert("", files, 10**6, "raise", [], place / "arrow")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)


@functools.cache
def picture(number, ending="jpg", size=(90, 80)):
    generator = torch.Generator().manual_seed(number)
    noise = torch.randint(0, 256, (size[1], size[0], 3), generator=generator)
    file = io.BytesIO()
    kind = {"jpg": "JPEG", "png": "PNG"}[ending]
    Image.fromarray(noise.to(torch.uint8).numpy()).save(file, kind)
    return file.getvalue()


def caption(number):
    return f"A picture of noise. It is number {number} of fourteen."


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def write_shards(folder, count=COUNT, per_shard=5, size=(90, 80), different=COUNT):
    """Shards in the common layout, pictures (so many different ones) and texts of either kind."""
    for start in range(0, count, per_shard):
        with tarfile.open(folder / f"{start // per_shard:05d}.tar", "w") as archive:
            for n in range(start, min(start + per_shard, count)):
                ending = "png" if n % 3 == 0 else "jpg"
                add(archive, f"{n:09d}.{ending}", picture(n % different, ending, size))
                if n % 2:
                    add(archive, f"{n:09d}.json", json.dumps({"caption": caption(n)}).encode())
                else:
                    add(archive, f"{n:09d}.txt", caption(n).encode())
    return folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BCLIP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"))


def asked(tiny_config, folder, rows=100, bad_rows="raise", **settings):
    data = tiny_config.data.replace(
        name="shards", folder=str(folder), train=rows, bad_rows=bad_rows
    )
    settings = {"checkpoint_every": 0} | settings
    return tiny_config.replace(data=data, train=tiny_config.train.replace(**settings))


def test_shards_become_rows_with_their_pictures_as_they_are_stored(tiny_config, folder):
    rows = load_split(asked(tiny_config, folder).data, "train")
    assert set(REQUIRED_COLUMNS) <= set(rows.column_names)
    assert len(rows) == COUNT
    assert rows[3]["id"] == "00000.tar/000000003"
    assert rows["caption"][:] == [caption(n) for n in range(COUNT)]
    assert rows[3]["sentences"] == ["A picture of noise.", "It is number 3 of fourteen."]
    stored = rows.cast_column("image", datasets.Image(decode=False))
    assert [row["image"]["bytes"] for row in stored] == [
        picture(n, "png" if n % 3 == 0 else "jpg") for n in range(COUNT)
    ]
    assert load_split(asked(tiny_config, folder, 4).data, "train")["id"][:] == rows["id"][:4]


@pytest.mark.parametrize("source", ["a folder", "a stream of `datasets`"])
def test_a_streamed_table_gives_the_same_rows(tiny_config, folder, tmp_path, source):
    rows = load_split(asked(tiny_config, folder).data, "train")
    stored = rows.cast_column("image", datasets.Image(decode=False))
    parts = stored.select_columns(["id", "image", "caption"]).cast_column("image", datasets.Image())
    for number in range(2):
        parts.shard(2, number, contiguous=True).to_parquet(tmp_path / f"train-{number}.parquet")
    name = str(tmp_path) if source == "a folder" else f"hub:{tmp_path}"
    again = load_split(asked(tiny_config, name).data, "train")
    assert rows_digest(again) == rows_digest(rows)


def damaged(folder):
    write_shards(folder)
    with tarfile.open(folder / "00009.tar", "w") as archive:
        add(archive, "a.jpg", picture(20))
        add(archive, "b.txt", b"A caption of nothing.")
        add(archive, "c.jpg", picture(21))
        add(archive, "c.txt", b"  ")
        add(archive, "d.jpg", picture(22))
        add(archive, "d.json", b"{")
        add(archive, "e.jpg", picture(23)[:2000])  # cut: found when it is decoded
        add(archive, "e.txt", b"A picture of noise that is cut.")
    whole = (folder / "00001.tar").read_bytes()
    cut = whole.index(picture(7)) + 100
    (folder / "00001.tar").write_bytes(whole[:cut])
    return folder


def test_what_is_wrong_is_named_and_left_out_where_that_is_asked(tiny_config, tmp_path, capsys):
    damaged(tmp_path)
    with pytest.raises(ConfigError, match=r"00001\.tar: cannot be read on after '0+7'"):
        load_split(asked(tiny_config, tmp_path).data, "train")
    rows = load_split(asked(tiny_config, tmp_path, bad_rows="skip").data, "train")
    kept = [f"00000.tar/{n:09d}" for n in range(5)] + [f"00001.tar/{n:09d}" for n in (5, 6)]
    kept += [f"00002.tar/{n:09d}" for n in range(10, 14)] + ["00009.tar/e"]
    assert rows["id"][:] == kept
    told = capsys.readouterr().out
    assert "left out 5: " in told
    for part in (
        "00001.tar: cannot be read on after '000000007'",
        "00009.tar/a: files ['.jpg']: expected a caption",
        "00009.tar/b: files ['.txt']: expected a picture",
        "00009.tar/c: picture '00009.tar/c': caption='  '",
        "00009.tar/d: its text cannot be read",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("name", "told"),
    [("", "data.folder=''"), ("nowhere", r"expected a folder with \*.tar or \*.parquet")],
)
def test_where_nothing_lies_the_layout_is_told(tiny_config, tmp_path, name, told):
    with pytest.raises(ConfigError, match=told):
        load_split(asked(tiny_config, tmp_path / name if name else "").data, "train")


def test_epochs_count_the_rows_of_a_stream(tiny_config, folder, tmp_path):
    config = asked(tiny_config, folder, epochs=3, steps=0, batch_size=4)
    rows = load_split(config.data, "train")
    updates = config.train.updates(len(rows))
    assert updates == -(-3 * COUNT // 4)
    seen = [row for batch in StepSampler(COUNT, 4, updates, 0) for _, row in batch]
    whole = 3 * COUNT
    assert sorted(seen[:whole]) == sorted([*range(COUNT)] * 3)
    train(config, rows, tmp_path / "run", device="cpu", progress=False)
    assert len(read_history(tmp_path / "run" / "history.jsonl")) == updates


@pytest.fixture(scope="module")
def undisturbed(tiny_config, folder, tmp_path_factory):
    config = asked(tiny_config, folder, batch_size=4, steps=8, checkpoint_every=2)
    run = tmp_path_factory.mktemp("run")
    model = train(config, load_split(config.data, "train"), run, device="cpu", progress=False)
    return config, model.state_dict(), [r["loss"] for r in read_history(run / "history.jsonl")]


@pytest.mark.parametrize("workers", [1, 2])
def test_weights_are_the_same_with_any_number_of_workers(undisturbed, tmp_path, workers):
    config, weights, losses = undisturbed
    config = config.replace(train=config.train.replace(loader_workers=workers))
    rows = load_split(config.data, "train")
    found = train(config, rows, tmp_path, device="cpu", progress=False).state_dict()
    assert [r["loss"] for r in read_history(tmp_path / "history.jsonl")] == losses
    assert all(torch.equal(found[name], weights[name]) for name in weights)


@contextlib.contextmanager
def started(config, folder, **environment):
    """A training, killed at the end where it still runs; what it says is in `folder`/errors.txt."""
    folder.mkdir(exist_ok=True)
    write_json(folder / "asked.json", config.to_dict())
    arguments = ["--threads", "1", "--config", folder / "asked.json", "--folder", folder / "run"]
    with (folder / "errors.txt").open("ab") as errors:
        process = WarmProcess(
            "bclip_core.train", [*arguments, "--device", "cpu"], env=os.environ | environment,
            stderr=errors.fileno(),
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_killed_run_goes_on_bit_for_bit(undisturbed, tmp_path):
    config, weights, losses = undisturbed
    run = tmp_path / "run"
    with started(config, tmp_path) as process:
        while not list_checkpoints(run):
            assert process.poll() is None, (tmp_path / "errors.txt").read_text()
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (run / "model.safetensors").exists()
    rows = load_split(config.data, "train")
    found = train(config, rows, run, device="cpu", progress=False).state_dict()
    assert [r["loss"] for r in read_history(run / "history.jsonl")] == losses
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_two_processes_share_the_rows_and_train_the_same_model(undisturbed, tmp_path):
    config, weights, losses = undisturbed
    told = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port())}  # fmt: skip
    with contextlib.ExitStack() as stack:  # torchrun itself: test_distributed.py
        ranks = [
            stack.enter_context(started(config, tmp_path, RANK=rank, LOCAL_RANK=rank, **told))
            for rank in "01"
        ]
        codes = [process.wait(300) for process in ranks]
    assert codes == [0, 0], (tmp_path / "errors.txt").read_text()[-3000:]
    theirs = [r["loss"] for r in read_history(tmp_path / "run" / "history.jsonl")]
    assert theirs == pytest.approx(losses, rel=1e-4)
    found = load_file(tmp_path / "run" / "model.safetensors")
    assert set(found) <= set(weights)
    assert max(float((found[n] - weights[n]).abs().max()) for n in found) < 1e-3


def test_a_kill_while_shards_are_read_leaves_nothing_half_made(tiny_config, tmp_path, monkeypatch):
    (tmp_path / "shards").mkdir()
    monkeypatch.setenv("BCLIP_CACHE", str(tmp_path / "cache"))
    config = asked(tiny_config, write_shards(tmp_path / "shards", 600, 50), 600)
    with started(config, tmp_path) as process:
        while not list(tmp_path.glob("cache/captions/*/pictures.arrow")) and process.poll() is None:
            time.sleep(0.001)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    rows = load_split(config.data, "train")
    assert len(rows) == 600
    assert not list((tmp_path / "cache" / "captions").glob("*partial*"))


def test_reading_shards_takes_no_memory_per_row(tmp_path):
    counts = (60, 600)
    for count in counts:  # about 150 KB each, 90 MB in all
        (tmp_path / str(count)).mkdir()
        write_shards(tmp_path / str(count), count, 300, (300, 300), 12)
    with (tmp_path / "said").open("wb") as said:
        places = [tmp_path / str(count) for count in counts]
        process = WarmProcess("tests.train.test_shards", places, stdout=said.fileno())
    assert process.wait(300) == 0
    few, many = (int(line) / 1024 for line in (tmp_path / "said").read_text().split())
    assert many - few < 20, (few, many)


if __name__ == "__main__":
    main(*sys.argv[1:])
