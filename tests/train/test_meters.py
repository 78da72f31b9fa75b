"""Model FLOPs against those that PyTorch counts while a step runs."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bclip_core.backbone import Tokenizer
from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.data.batches import collate_texts
from bclip_core.train import train
from bclip_core.train.meters import PEAK_FLOPS, known_peak, peak_flops, step_flops
from bclip_core.train.resume import read_history

TEXTS = [["A red circle on the left of a blue square.", f"a {word} star"] for word in "abcdefgh"]


@pytest.mark.parametrize("pooler", [None, PoolerConfig()])
def test_model_flops_are_those_of_the_step_but_for_its_short_cuts(pooler):
    model = build_model(BackboneConfig("scene-small"), pooler)
    texts, images = collate_texts(TEXTS, Tokenizer()), torch.randn(8, 3, 64, 64)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        features = model(images, texts)
        parts = [features.image, features.text, features.conditioned]
        torch.stack([part.square().sum() for part in parts if part is not None]).sum().backward()
    # the last block attends for one token only, and padding is cut in groups: a few per cent
    assert step_flops(model, 8, texts) == pytest.approx(counted.get_total_flops(), rel=0.1)


def test_twice_the_batch_needs_twice_the_flops():
    model = build_model(BackboneConfig("scene-tiny"), PoolerConfig())
    texts = collate_texts(TEXTS[:1], Tokenizer())
    double = texts._replace(
        tokens=texts.tokens.repeat(2, 1),
        index=torch.cat([texts.index, texts.index + len(texts.tokens)]),
        mask=texts.mask.repeat(2, 1),
    )
    assert step_flops(model, 2, double) == 2 * step_flops(model, 1, texts)


def test_every_update_records_its_arithmetic_speed(tiny_config, tiny_scenes, tmp_path):
    config = tiny_config.replace(train=tiny_config.train.replace(steps=2))
    train(config, tiny_scenes, tmp_path, device="cpu", progress=False)
    history = read_history(tmp_path / "history.jsonl")
    assert all(record["teraflops_per_second"] > 0 for record in history)
    assert peak_flops(torch.device("cpu")) is None
    assert all("model_flops_utilisation" not in record for record in history)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("NVIDIA H200", "H200"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40", None),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_the_peak_of_a_gpu_is_known_by_its_whole_name(name, known):
    assert known_peak(name) == (PEAK_FLOPS[known] if known else None)
