"""The authors' checkpoint format: their outputs, losses and gradients, and what is refused."""

from __future__ import annotations

import argparse
import os
import pickle
from collections.abc import Iterator
from pathlib import Path, PosixPath
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from bclip_core import checkpoints
from bclip_core.backbone import SMALL_ARCHITECTURES, CheckpointError, known_architectures
from bclip_core.checkpoints import import_released
from bclip_core.checkpoints.released import released_to_open_clip
from bclip_core.config import BackboneConfig
from bclip_core.losses import beta_cal, global_contrastive
from bclip_core.model import BClip, TextBatch

GOLDEN = Path(__file__).parents[1] / "golden"
NAME = "golden"
ARCHITECTURE = (
    32,
    {"image_size": 32, "patch_size": 8, "width": 64, "layers": 3, "head_width": 16},
    {"vocab_size": 600, "width": 32, "heads": 4, "layers": 2},
)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The golden case's architecture has a name while these tests run."""
    monkeypatch.setitem(SMALL_ARCHITECTURES, NAME, ARCHITECTURE)
    known_architectures.cache_clear()
    yield
    known_architectures.cache_clear()


def released_weights() -> dict[str, Tensor]:
    weights = load_file(GOLDEN / "model_weights.safetensors")
    return {name: value for name, value in weights.items() if not name.startswith("extra.")}


def write_checkpoint(path: Path, weights: dict[str, Tensor], **entries: Any) -> Path:
    """A file as the authors' training script leaves it after an epoch on their cluster."""
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    output = PosixPath("/path/to/ckpts/12345")  # their launcher stores a path, not a text
    args = argparse.Namespace(model="CLIP_VITB16_OPENAI", beta=0.5, betas=[0.9, 0.98], gpu=None)
    args.output_dir = output
    stored = {
        "epoch": 10,
        "state_dict": {f"module.{name}": value for name, value in weights.items()},
        "optimizer": optimizer.state_dict(),
        "optimizer_conditioner": None,
        "scaler": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 7},
        "best_acc1": 0,
        "args": args,
    }
    torch.save(stored | entries, path)
    return path


@pytest.fixture
def imported(tmp_path: Path) -> BClip:
    return import_released(
        write_checkpoint(tmp_path / "checkpoint_10.pt", released_weights()), NAME
    )


def golden_texts(golden: dict[str, Tensor]) -> TextBatch:
    """Captions, sentences and phrases of the golden batch, each row by itself."""
    width = golden["text"].shape[-1]
    phrases = F.pad(golden["concepts"], (0, width - golden["concepts"].shape[-1]))
    tokens = torch.cat([golden["text"], phrases], dim=1)
    index = torch.arange(tokens.shape[0] * tokens.shape[1]).view(tokens.shape[:2])
    return TextBatch(tokens.flatten(0, 1), index, golden["out.positive_text_mask"])


def test_the_import_is_the_authors_model(imported: BClip) -> None:
    golden = load_file(GOLDEN / "model_io.safetensors")
    with torch.no_grad():
        features = imported(golden["images"], golden_texts(golden))
        patches = imported.backbone.encode_image(golden["images"])[1]
    outputs = {
        "cls_embed": features.image,
        "eos_embed": features.text[:, 0],
        "mps_embed": features.text[:, 1:3],
        "positive_text_embed": F.normalize(features.text, dim=-1),
        "positive_image_embed": features.conditioned,
        "positive_text_mask": features.mask,
        "positive_mask": features.mask[:, 1:3],
        "logit_scale": features.logit_scale,
        "logit_scale_tc": features.pooler_logit_scale,
        "dense_image": torch.cat([features.image[:, None], patches], dim=1),
    }
    for name, value in outputs.items():
        torch.testing.assert_close(value, golden[f"out.{name}"], atol=1e-5, rtol=0, msg=name)
    stored = {name.removeprefix("out.") for name in golden if name.startswith("out.")}
    assert stored == set(outputs)
    assert imported.backbone.config == BackboneConfig(
        NAME, context_length=248, quick_gelu=True, patches="value", frozen_positions=20
    )
    pooler = imported.pooler.config
    assert (pooler.heads, pooler.init) == (8, "xavier")


@pytest.mark.parametrize("form", ["ce", "bce"])
def test_losses_and_gradients_are_the_authors(imported: BClip, form: str) -> None:
    golden = load_file(GOLDEN / "model_io.safetensors")
    features = imported(golden["images"], golden_texts(golden))
    plain = global_contrastive(features.image, features.text[:, 0], features.logit_scale)
    local = beta_cal(
        features.text,
        features.conditioned,
        features.mask,
        features.pooler_logit_scale,
        form=form,
        mask_padding=False,  # as the authors
    )
    (plain + local).backward()
    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(plain, golden[f"{form}.cls_eos_loss"], **close)
    torch.testing.assert_close(local, golden[f"{form}.text_conditioned_image_loss"], **close)
    torch.testing.assert_close(plain + local, golden[f"{form}.loss"], **close)
    stored = load_file(GOLDEN / f"model_grads_{form}.safetensors")
    stored["positional_embedding"] = torch.zeros_like(stored["positional_embedding_res"])
    clip, pooler = released_to_open_clip(stored)
    expected = {f"backbone.clip.{name}": value for name, value in clip.items()}
    expected |= {f"pooler.{name}": value for name, value in pooler.items()}
    found = {name: value.grad for name, value in imported.named_parameters()}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        tolerance = 1e-6 + 1e-4 * value.abs().max().item()
        torch.testing.assert_close(found[name], value, atol=tolerance, rtol=0, msg=name)
    assert not found["backbone.clip.positional_embedding"][:20].any()


def test_an_import_is_saved_and_loaded_exactly(imported: BClip, tmp_path: Path) -> None:
    again = checkpoints.load(checkpoints.save(imported, tmp_path / "ours.safetensors"))
    assert again.backbone.config == imported.backbone.config
    assert again.pooler.config == imported.pooler.config
    for name, value in imported.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_positions_come_from_the_frozen_table_first_then_from_the_trained_one() -> None:
    weights = released_weights()
    weights["positional_embedding"] = torch.zeros(248, 32)
    weights["positional_embedding_res"] = torch.ones(248, 32)
    table = released_to_open_clip(weights)[0]["positional_embedding"]
    assert table.sum(dim=1).tolist() == [0.0] * 20 + [32.0] * 228


def test_a_model_without_pooler_or_with_77_positions_is_imported_too(tmp_path: Path) -> None:
    weights = released_weights()
    del weights["positional_embedding_res"]
    weights["positional_embedding"] = weights["positional_embedding"][:77].clone()
    weights = {n: v for n, v in weights.items() if not n.startswith("text_conditioned")}
    model = import_released(write_checkpoint(tmp_path / "a.pt", weights), NAME)
    assert model.pooler is None
    assert (model.backbone.context_length, model.backbone.frozen_positions) == (77, 0)


def vit_b_16_in_the_authors_names() -> dict[str, Tensor]:
    """Weights of ViT-B/16's shapes without their memory: every tensor is one repeated number."""
    text, vision, dim, joint = 512, 768, 49408, 512
    shapes = {
        "positional_embedding": (248, text), "positional_embedding_res": (248, text),
        "image_projection": (vision, joint), "text_projection": (text, joint), "logit_scale": (),
        "token_embedding.weight": (dim, text), "ln_final.weight": (text,), "ln_final.bias": (text,),
        "visual.cls_token": (1, 1, vision), "visual.pos_embed": (1, 197, vision),
        "visual.patch_embed.proj.weight": (vision, 3, 16, 16),
        **{f"visual.norm{n}.{p}": (vision,) for n in ("", "_pre") for p in ("weight", "bias")},
    }  # fmt: skip
    for layer in range(12):
        for prefix, width, norms in (
            (f"visual.blocks.{layer}.", vision, ("norm1", "norm2")),
            (f"transformer.resblocks.{layer}.", text, ("ln_1", "ln_2")),
        ):
            up, down = ("fc1", "fc2") if "visual" in prefix else ("c_fc", "c_proj")
            out = "proj" if "visual" in prefix else "out_proj"
            matrices = {f"mlp.{up}": (4 * width, width), f"mlp.{down}": (width, 4 * width)}
            matrices |= {f"attn.{out}": (width, width)}
            if "visual" in prefix:
                matrices |= {"attn.qkv": (3 * width, width)}
            else:
                matrices |= {f"attn.{part}_proj": (width, width) for part in "qkv"}
            for name, shape in matrices.items():
                shapes |= {f"{prefix}{name}.weight": shape, f"{prefix}{name}.bias": shape[:1]}
            for name in norms:
                shapes |= {f"{prefix}{name}.{part}": (width,) for part in ("weight", "bias")}
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


def test_the_architecture_is_found_by_the_shapes(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "b16.pt", vit_b_16_in_the_authors_names())
    assert path.stat().st_size < 1e6
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *_: None)  # no 600 MB here
        model = import_released(path)
    assert model.backbone.config.name == "ViT-B-16"
    assert (model.backbone.dim, model.backbone.context_length) == (512, 248)


# ---- refused ----


class Planted:
    """Pickles into a call that creates a file: what a prepared checkpoint would do."""

    def __init__(self, command: Any, *arguments: Any) -> None:
        self.call = (command, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("where", ["args", "best_acc1", "in the namespace", "in the state dict"])
@pytest.mark.parametrize(
    ("command", "name"), [(os.mkdir, "posix.mkdir"), (Path.touch, "Path.touch"), (eval, "eval")]
)
def test_a_checkpoint_that_holds_code_is_refused_by_name(
    tmp_path: Path, where: str, command: Any, name: str
) -> None:
    trace = tmp_path / "executed"
    argument = f"__import__('os').mkdir({str(trace)!r})" if command is eval else trace
    argument = str(argument) if command is os.mkdir else argument
    planted, weights, entries = Planted(command, argument), released_weights(), {}
    if where == "in the namespace":
        entries["args"] = argparse.Namespace(beta=planted)
    elif where == "in the state dict":
        weights["ln_final.extra"] = planted
    else:
        entries[where] = planted
    path = write_checkpoint(tmp_path / "planted.pt", weights, **entries)
    found = "getattr" if command is Path.touch else name
    with pytest.raises(CheckpointError, match=rf"planted\.pt: refused, it holds \S*{found}:"):
        import_released(path, NAME)
    assert not trace.exists()
    with path.open("rb") as file:  # the trap is real: reading it the careless way springs it
        torch.load(file, weights_only=False)
    assert trace.exists()


def test_a_bare_pickle_with_code_is_refused_too(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    path = tmp_path / "bare.pt"
    path.write_bytes(pickle.dumps(Planted(os.mkdir, str(trace)), protocol=2))
    with pytest.raises(CheckpointError, match=r"refused, it holds posix\.mkdir"):
        import_released(path, NAME)
    assert not trace.exists()


def changed(weights: dict[str, Tensor], **values: Tensor | None) -> dict[str, Tensor]:
    changes = {name.replace("__", "."): value for name, value in values.items()}
    return {n: v for n, v in (weights | changes).items() if v is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_projection": torch.zeros(64, 31)},
         r"visual\.proj: shape \[64, 31\], expected \[64, 32\]"),
        ({"visual__norm__weight": None}, r"visual\.ln_post\.weight: missing, expected \[64\]"),
        ({"visual__blocks__0__attn__gate": torch.zeros(1)},
         r"resblocks\.0\.attn\.gate: unknown, \[1\]"),
        ({"transformer__resblocks__1__attn__k_proj__weight": None},
         r"resblocks\.1\.attn\.in_proj_weight: missing.*resblocks\.1\.attn\.q_proj\.weight: unk"),
        ({"positional_embedding_res": torch.zeros(77, 32)},
         r"positional_embedding_res: unknown, \[77, 32\]"),
        ({"positional_embedding": None}, r"'positional_embedding': missing"),
        ({"text_conditioned_patches_block__ln_2__bias": torch.zeros(3)},
         r"text_conditioned_patches_block\.\*: ln_2\.bias: shape \[3\], expected \[32\]"),
        ({"text_conditioned_patches_block__ln_2__bias": None}, r"ln_2\.bias: missing"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_named_with_both_shapes(
    tmp_path: Path, changes: dict[str, Tensor | None], message: str
) -> None:
    path = write_checkpoint(tmp_path / "wrong.pt", changed(released_weights(), **changes))
    with pytest.raises(CheckpointError, match=rf"(?s)checkpoint .*wrong\.pt.*{message}"):
        import_released(path, NAME)


def test_shapes_without_a_name_are_shown_beside_the_closest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(SMALL_ARCHITECTURES, NAME)
    known_architectures.cache_clear()
    path = write_checkpoint(tmp_path / "odd.pt", released_weights())
    with pytest.raises(CheckpointError, match="no known archi.*scene-tiny.*embed_dim=32, not"):
        import_released(path)


def test_other_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pt: no such file"):
        import_released(tmp_path / "none.pt")
    path = tmp_path / "other.pt"
    for content in (b"", b"not a checkpoint", b"\x80\x02garbage"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"other\.pt: damaged or no torch file"):
            import_released(path)
    whole = write_checkpoint(path, released_weights()).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"other\.pt: damaged or no torch file"):
        import_released(path)
    for stored, message in (
        ([1, 2], "a value of type list: expected a state dict"),
        ({"state_dict": {}}, "expected a state dict"),
        ({"a": 3}, "'a' is a value of type int: expected names and tensors"),
        ({"a": torch.zeros(1)}, r"no 'visual\.cls_token'.*import_open_clip reads"),
    ):
        torch.save(stored, path)
        with pytest.raises(CheckpointError, match=message):
            import_released(path)
