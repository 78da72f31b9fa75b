"""Up to a hub and down again with the real client; and what goes wrong there, in one line."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelHubMixin

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints import (
    HubModel,
    build_model,
    from_pretrained,
    open_model,
    save_pretrained,
)
from bclip_core.checkpoints.hub import is_name, told
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.records.files import REPOSITORY
from tests.checkpoints import relatives
from tests.checkpoints.small_hub import small_hub

FACTS = {
    "method": "beta-clip-ce",
    "data": "scenes, 4,000 pictures",
    "protocol": "global retrieval, 1,000 pictures",
    "metrics": {"text to image R@1": 88.25},
    "licence": "mit",
}

# The client reads its address once, when it is imported; so it runs in a process of its own.
CLIENT = """
import json, sys
from bclip_core import checkpoints
from bclip_core.checkpoints import from_pretrained, open_model, push_to_hub
model = open_model(sys.argv[1])
facts = json.loads(sys.argv[2])
told = {}
def tell(what, act):
    try:
        told[what] = act()
    except checkpoints.CheckpointError as error:
        told[what] = "refused: " + str(error)
def same(found):
    pairs = zip(found.state_dict().items(), model.state_dict().items(), strict=True)
    return all(a == b and bool((x == y).all()) for (a, x), (b, y) in pairs)
tell("push", lambda: push_to_hub(model, "me/mine", facts, token="hf_nothing"))
tell("pull", lambda: same(from_pretrained("me/mine")))
tell("open", lambda: same(open_model("me/mine@main")))
tell("missing", lambda: same(open_model("me/other")))
tell("gated", lambda: same(open_model("them/gated")))
tell("private", lambda: same(open_model("them/private")))
tell("revision", lambda: same(from_pretrained("me/mine", revision="v9")))
tell("elsewhere", lambda: push_to_hub(model, "you/yours", token="hf_nothing"))
tell("name", lambda: push_to_hub(model, "a b", token="hf_nothing"))
# the same by the methods that the hub's users know
Hub = checkpoints.HubModel
tell("push method", lambda: model.push_to_hub("me/again", model_card_kwargs=facts, token="hf_no"))
tell("pull method", lambda: same(Hub.from_pretrained("me/again")))
tell("cached", lambda: same(Hub.from_pretrained("me/again", local_files_only=True)))
tell("gated method", lambda: Hub.from_pretrained("them/gated"))
tell("private method", lambda: Hub.from_pretrained("them/private"))
tell("revision method", lambda: Hub.from_pretrained("me/again", revision="v9"))
tell("elsewhere method", lambda: model.push_to_hub("you/yours", token="hf_no"))
tell("facts", lambda: model.push_to_hub("me/third", model_card_kwargs={"score": 3}, token="hf_no"))
print(json.dumps(told))
"""


def run_client(folder: Path, address: str) -> dict[str, object]:
    environment = {
        **os.environ, "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    command = [sys.executable, "-c", CLIENT, str(folder / "start"), json.dumps(FACTS)]
    done = subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def start(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = BackboneConfig("vit-d8-v16x1h2m32p8s16-t16x1h2m32n49408", context_length=16)
    save_pretrained(build_model(config, PoolerConfig()), tmp_path / "start")
    return tmp_path


def test_up_and_down_again(start: Path) -> None:
    with small_hub() as hub:
        told = run_client(start, hub.address)
        files, again = hub.models["me/mine"], hub.models["me/again"]
        assert hub.made["me/mine"]["visibility"] == "private"
        assert hub.made.keys() == {"me/mine", "me/again"}
    assert str(told["push"]).endswith("1")
    assert str(told["push method"]).endswith("1")
    worked = ("pull", "open", "pull method", "cached")
    assert [told[what] for what in worked] == [True] * len(worked), told
    assert again == files
    assert {"README.md", "config.json", "model.safetensors"} <= files.keys()
    assert b"text to image R@1 | 88.25" in files["README.md"]
    expected = {
        "missing": "hub model 'me/other': no such file or folder here, and no such model there, or",
        "revision": "hub model 'me/mine': no revision 'v9'",
        "elsewhere": "hub model 'you/yours': the hub refused: ",
        "name": "hub model 'a b': ",
        "gated": "hub model 'them/gated': access has to be asked for on its page",
        "private": "hub model 'them/private': no such file or folder here, and no such model "
        "there, or a private one",
        "facts": "facts ['score']: expected of method, data",
    }
    expected |= {f"{what} method": expected[what] for what in ("gated", "private", "elsewhere")}
    expected["revision method"] = "hub model 'me/again': no revision 'v9'"
    for what, message in expected.items():
        assert str(told[what]).startswith(f"refused: {message}"), told[what]
        assert "\n" not in str(told[what])


def test_no_network_is_said(start: Path) -> None:
    told = run_client(start, "http://127.0.0.1:9")
    for what in ("push", "pull", "open", "missing", "revision", "push method", "pull method"):
        assert "and the hub cannot be reached: " in str(told[what]), told[what]
        assert "\n" not in str(told[what])


@pytest.mark.parametrize("name", ["fgclip", "flair"])
def test_a_folder_keeps_everything(tmp_path: Path, name: str) -> None:
    model = relatives.open_golden(name)
    folder = save_pretrained(model, tmp_path / "kept", FACTS)
    again = from_pretrained(folder).eval()
    assert again.describe() == model.describe()
    before, after = relatives.computed(name, model), relatives.computed(name, again)
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert open_model(folder).backbone.config == model.backbone.config
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: bclip\nlicense: mit\n")
    assert f"- origin: {model.origin}\n" in card
    assert "- data: scenes, 4,000 pictures\n" in card


def test_a_model_has_the_methods_of_the_hub_and_stays_a_model(tmp_path: Path) -> None:
    model = relatives.open_golden("fgclip")
    assert isinstance(model, HubModel)
    assert isinstance(model, ModelHubMixin)
    assert model.save_pretrained(tmp_path / "kept") is None
    page = tmp_path / "kept" / "README.md"
    page.write_text("mine")
    model.save_pretrained(tmp_path / "kept")
    assert page.read_text() == "mine", "a README is replaced where there are facts alone"
    model.save_pretrained(tmp_path / "kept", model_card_kwargs=FACTS)
    assert "- data: scenes, 4,000 pictures\n" in page.read_text()
    again = HubModel.from_pretrained(tmp_path / "kept").eval()
    copied = copy.deepcopy(again)
    before = relatives.computed("fgclip", model)
    for other in (again, copied):
        after = relatives.computed("fgclip", other)
        assert all(torch.equal(after[key], value) for key, value in before.items())
        assert other.describe() == model.describe()
    shared = HubModel(build_model(BackboneConfig("scene-tiny"), None).eval())
    assert not shared.training
    assert shared.describe()["origin"] == "bclip"


def test_unknown_facts_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"facts \['score'\]: expected of method, data"):
        save_pretrained(relatives.open_golden("flair"), tmp_path / "kept", {"score": 3})
    assert not (tmp_path / "kept").exists()


def test_a_cache_that_takes_no_more_is_not_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    (tmp_path / "models--me--mine").write_text("in the place of a folder")
    with pytest.raises(CheckpointError, match="hub model 'me/mine': .* cannot be kept or read her"):
        with told("me/mine", ""):
            (tmp_path / "models--me--mine" / "refs").mkdir()
    with pytest.raises(CheckpointError, match=r"No space left on device; see \$HF_HOME"):
        with told("me/mine", ""):
            Path("/dev/full").write_text("x")
    with pytest.raises(CheckpointError, match="the hub cannot be reached: .Errno 111. connect"):
        with told("me/mine", ""):
            raise ConnectionRefusedError(111, "connection refused")


def test_names_are_told_from_paths() -> None:
    assert is_name("me/mine")
    assert is_name("me/mine@refs/pr/3")
    assert not any(map(is_name, ("openai", "./a", "../a/b", "/a/b", "a/b/c", "me/mine ", "")))
