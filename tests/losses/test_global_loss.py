"""The global loss against the authors' numbers and the definition."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bclip_core.losses import global_contrastive
from tests.losses.reference import slow_global_contrastive

GOLDEN = Path(__file__).parent.parent / "golden"


def random_pair(count: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(count)
    return tuple(torch.randn(count, 5, generator=generator, dtype=dtype) for _ in range(2))


@pytest.mark.parametrize("scale", ["14.2857", "100"])
@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_authors_numbers(precision, scale):
    golden = load_file(GOLDEN / f"losses_global_{precision}.safetensors")
    image, text = (golden[name].requires_grad_() for name in ("cls_embed", "eos_embed"))
    multiplier = torch.tensor(float(scale), dtype=image.dtype, requires_grad=True)
    loss = global_contrastive(image, text, multiplier)
    loss.backward()
    exact = precision == "f64"
    tolerance = {"atol": 1e-12, "rtol": 0} if exact else {"atol": 1e-5, "rtol": 1e-6}
    torch.testing.assert_close(loss.detach(), golden[f"s{scale}/loss"], **tolerance)
    for name, tensor in (("cls", image), ("eos", text), ("scale", multiplier)):
        expected = golden[f"s{scale}/grad_{name}"]
        atol = 1e-12 if exact else 1e-4 * float(expected.abs().max()) + 1e-6
        torch.testing.assert_close(tensor.grad, expected, atol=atol, rtol=0)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_definition_and_gradient(count):
    image, text = random_pair(count)
    found = global_contrastive(image, text, 14.3)
    torch.testing.assert_close(
        found, slow_global_contrastive(image, text, 14.3), rtol=1e-12, atol=1e-12
    )
    inputs = (image.requires_grad_(), text.requires_grad_(), torch.tensor(3.0).double())
    assert torch.autograd.gradcheck(global_contrastive, inputs)


def test_symmetric_and_indifferent_to_order_and_length():
    image, text = random_pair(6)
    loss = global_contrastive(image, text, 20.0)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    lengths = torch.arange(1.0, 7.0, dtype=torch.float64)[:, None]
    for same in (
        global_contrastive(text, image, 20.0),
        global_contrastive(image[order], text[order], 20.0),
        global_contrastive(image * lengths, text / lengths, 20.0),
    ):
        torch.testing.assert_close(same, loss, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    image, text = (x.to(dtype).requires_grad_() for x in random_pair(6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = global_contrastive(image, text, torch.tensor(100.0))
    loss.backward()
    exact = global_contrastive(image.detach().double(), text.detach().double(), 100.0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.detach().double(), exact, rtol=1e-5, atol=1e-5)
    assert image.grad.dtype == text.grad.dtype == dtype


@pytest.mark.parametrize(
    ("image", "text", "scale", "message"),
    [
        (torch.ones(2, 3), torch.ones(3, 3), 1.0, r"text of shape \[3, 3\]: expected.*\[2, 3\]"),
        (torch.ones(3), torch.ones(3), 1.0, r"image of shape \[3\]: expected \[B, D\]"),
        (torch.ones(0, 3), torch.ones(0, 3), 1.0, r"image of shape \[0, 3\].*B >= 1"),
        (torch.ones(2, 3), torch.ones(2, 3), torch.ones(2), r"logit_scale of shape \[2\]"),
    ],
)
def test_bad_arguments_are_named(image, text, scale, message):
    with pytest.raises(ValueError, match=message):
        global_contrastive(image, text, scale)
