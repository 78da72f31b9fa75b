"""The rooms keep their order, the core stands alone, and no run trains again for a moved file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from bclip_core.config import RunConfig
from bclip_core.records import REPOSITORY
from bclip_core.train import find

KEYS = json.loads((Path(__file__).parent / "run_keys.json").read_text(encoding="utf-8"))
ROOMS = 15


def test_rooms_import_only_rooms_below_them(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    assert lint_imports(no_cache=True) == 0


def test_the_root_holds_the_rooms_alone():
    names = {path.name for path in (REPOSITORY / "bclip_core").iterdir()}
    rooms = names - {"__init__.py", "__pycache__", "py.typed", "README.md"}
    assert len(rooms) == ROOMS, sorted(rooms)


CORE = """
import sys
import torch
import bclip_core.model
from bclip_core import losses, poolers
from bclip_core.config import PoolerConfig

heavy = {"datasets", "pyarrow", "pandas", "accelerate", "matplotlib", "ipywidgets"}
heavy &= set(sys.modules)
assert not heavy, heavy
others = {name.split(".")[1] for name in sys.modules if name.startswith("bclip_core.")}
assert others <= {"records", "config", "losses", "backbone", "poolers", "model"}, others
torch.manual_seed(0)
patches, text = torch.randn(3, 9, 16), torch.randn(3, 4, 16)
mask = torch.ones(3, 4, dtype=torch.bool)
for kind in poolers.POOLERS:
    pooler = poolers.build_pooler(16, PoolerConfig(8, "identity", kind))
    pooled, weights = pooler(patches, text, True)
    assert pooled.shape == text.shape and weights.shape[-1] == 9
    for form in ("ce", "bce"):
        assert losses.beta_cal(text, pooled, mask, 10.0, form=form).isfinite()
assert losses.global_contrastive(patches[:, 0], text[:, 0], 10.0).isfinite()
"""


def test_the_core_needs_torch_and_open_clip_alone():
    done = subprocess.run(
        [sys.executable, "-c", CORE], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kept", KEYS, ids=lambda kept: kept["key"])
def test_runs_keep_the_keys_that_they_had_before_the_rooms(kept):
    assert find(RunConfig.from_dict(kept["config"])).folder.name == kept["key"]
