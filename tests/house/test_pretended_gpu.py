"""What runs on a CPU would find its tensors on one device on a GPU too (see `pretended_gpu`)."""

import contextlib

import pytest
import torch

from bclip_core.backbone import Tokenizer
from bclip_core.data.batches import ImageTextDataset, StepSampler, make_loader
from bclip_core.data.images import decode_images, normalise_images
from bclip_core.evaluation.maps import picture_maps
from bclip_core.evaluation.protocols import scenes
from bclip_core.losses import beta_cal
from bclip_core.losses.blocks import Logits, Pairs
from bclip_core.model import METHODS
from bclip_core.studies.leak.measure import measure_leak
from bclip_core.studies.mulclip.maps import scene_levels
from bclip_core.studies.relatives.late_retrieval import late_retrieval
from bclip_core.train import create_model
from bclip_core.train.gradient_cache import backward_in_chunks, encode_in_chunks
from tests.house.pretended_gpu import GPU, Pretended, move, pretended_gpu

TRAINED = [name for name, method in METHODS.items() if method.terms]


# ---- the pretence


def test_two_devices_in_one_operation_are_refused_as_cuda_refuses_them():
    rows, numbers = torch.ones(3, 4), torch.arange(4)
    with pretended_gpu():
        there = rows.to(GPU)
        assert (there.device, there.new_zeros(2).device, (there @ there.T).device) == (GPU,) * 3
        assert torch.arange(4, device=there.device).device == GPU
        for mixed in (
            lambda: there + numbers,
            lambda: there.masked_fill_(rows > 0, 0.0),
            lambda: torch.cat([there, rows]),
            lambda: torch.nn.functional.linear(there, rows),
            lambda: rows[torch.arange(2, device=GPU)],
            lambda: there.index_put_((numbers[:2],), rows[:2]),
        ):
            with pytest.raises(RuntimeError, match="GPU tensors with CPU tensors of"):
                mixed()
        # what CUDA permits
        assert (there + torch.tensor(2.0)).device == GPU
        assert there[numbers[:2]].device == GPU
        assert there.cpu().add(rows).device.type == "cpu"
        rows.copy_(there * 2)
    assert rows.tolist() == [[2.0] * 4] * 3


def test_views_and_writes_reach_what_is_held():
    with pretended_gpu():
        whole = torch.zeros(2, 3, device=GPU)
        row = whole[1]
        assert row.add_(1) is row
        sums = torch.zeros(2, 2, device=GPU)
        torch.sum(whole, 1, out=sums[:, 0])
    assert isinstance(whole, Pretended)
    assert whole.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert sums.tolist() == [[0, 0], [3, 0]]


# ---- training


def step(config, scenes, on_gpu: bool, cached: int = 0) -> dict[str, torch.Tensor]:
    """Loss and gradients of a method's first step, on the CPU or as if on a GPU."""
    method = METHODS[config.method]
    data = ImageTextDataset(scenes, method.texts(config.texts), config.data.image_size)
    batch = next(iter(make_loader(data, StepSampler(len(data), 6, 1, 0), Tokenizer(248))))
    torch.manual_seed(0)
    model = create_model(config)
    with pretended_gpu() if on_gpu else contextlib.nullcontext():
        device = GPU if on_gpu else torch.device("cpu")
        if on_gpu:
            move(model)
        given = normalise_images(batch.images.to(device)), batch.texts.to(device)
        features = encode_in_chunks(model, *given, cached) if cached else model(*given)
        loss = torch.stack(list(method.loss_terms(features, config.loss).values())).sum()
        loss.backward()
        if cached:
            backward_in_chunks(model, *given, cached, features)
        found = {name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None}
        model.clamp_scales()
        return found | {"loss": loss.detach().cpu()}


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_of_every_method_stays_on_its_device(name, tiny_config, tiny_scenes):
    config = tiny_config.replace(method=name)
    expected, found = (step(config, tiny_scenes, on_gpu) for on_gpu in (False, True))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_gradient_caching_stays_on_its_device(tiny_config, tiny_scenes):
    expected, found = (step(tiny_config, tiny_scenes, on_gpu, cached=4) for on_gpu in (False, True))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("options", [{"mask_padding": False}, {"ids": True}, {"half": True}])
@pytest.mark.parametrize("form", ["ce", "bce"])
@pytest.mark.parametrize("scale", [14.0, 100.0])
def test_every_way_through_beta_cal_stays_on_its_device(form, options, scale):
    generator = torch.Generator().manual_seed(0)
    text, image = (torch.randn(3, 4, 8, generator=generator) for _ in range(2))
    mask = torch.rand(3, 4, generator=generator) < 0.7
    ids = torch.randint(5, (3, 4), generator=generator) if options.get("ids") else None
    if options.get("half"):
        text, image = text.bfloat16(), image.bfloat16()

    def loss(device):
        given = [x.clone().to(device) for x in (text, image, mask)]
        given[0].requires_grad_()
        value = beta_cal(*given, scale, form=form, chunk_size=5,
                         duplicates=None if ids is None else ids.to(device),
                         mask_padding=options.get("mask_padding", True))  # fmt: skip
        value.backward()
        return value.detach().cpu(), given[0].grad.cpu()

    expected = loss(torch.device("cpu"))
    with pretended_gpu():
        found = loss(GPU)
    # the pretended GPU multiplies bfloat16; this CPU may not
    tolerance = 2**-6 if options.get("half") else 1e-6
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=1e-3 * tolerance)


def test_blocks_of_logits_are_larger_on_a_gpu():
    rows = torch.randn(3000, 2)
    pairs = Pairs(
        mask=torch.ones(1000, 3, dtype=torch.bool), index=torch.arange(3000), beta=0.5,
        normaliser=3000**2, chunk_size=None, groups=None, with_slopes=False,
    )  # fmt: skip
    with pretended_gpu():
        there = rows.to(GPU)
        on_gpu = Logits(there, there, 1.0, pairs).blocks
    assert len(on_gpu) < len(Logits(rows, rows, 1.0, pairs).blocks)
    assert [block.stop for block in on_gpu][-1] == 3000


# ---- what is measured and drawn


@pytest.fixture
def there(tiny_config):
    """A model of a method as if on a GPU, and the same on the CPU."""

    def made(name):
        pair = []
        for on_gpu in (True, False):
            torch.manual_seed(0)
            model = create_model(tiny_config.replace(method=name)).eval()
            pair.append(move(model) if on_gpu else model)
        return pair

    return made


@pytest.mark.parametrize("measure", [scenes.evaluate, measure_leak, late_retrieval])
def test_measurements_of_a_model_on_a_gpu(measure, there, held_out_scenes):
    with pretended_gpu():
        on_gpu, on_cpu = there("beta-clip-ce")
        found = measure(on_gpu, held_out_scenes)
    expected = measure(on_cpu, held_out_scenes)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-3), name


def test_maps_of_a_model_on_a_gpu(there, held_out_scenes):
    pixels, _ = decode_images(held_out_scenes, 64)
    rows = [held_out_scenes[number] for number in range(3)]
    with pretended_gpu():
        on_gpu, on_cpu = there("beta-clip-ce")
        found = picture_maps(on_gpu, pixels[0], ["a red circle", "a star"])
        levels_there = scene_levels(there("mulclip")[0], rows)
    expected = picture_maps(on_cpu, pixels[0], ["a red circle", "a star"])
    for one, other in ((found.attention, expected.attention), (found.cosine, expected.cosine),
                       (found.score, expected.score)):  # fmt: skip
        assert one.device.type == "cpu"
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    levels = scene_levels(there("mulclip")[1], rows)
    assert levels_there.word_tokens == levels.word_tokens
    assert levels_there.word_peaks == pytest.approx(levels.word_peaks, rel=1e-4)
    assert levels_there.patch_words == pytest.approx(levels.patch_words, abs=1e-5)
    assert levels_there.long == pytest.approx(levels.long, abs=1e-5)
