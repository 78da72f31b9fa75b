"""β-CAL: the authors' numbers, the definition pair by pair, and what must not change it."""

import functools
import math
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bclip_core.losses import beta_cal, beta_cal_targets, blocks, global_contrastive
from tests.losses.reference import slow_beta_cal

GOLDEN = Path(__file__).parent.parent / "golden"
FORMS = ("ce", "bce")
load_golden = functools.cache(load_file)
few = settings(derandomize=True, deadline=None, max_examples=15)


class Problem(NamedTuple):
    text: Tensor
    image: Tensor
    mask: Tensor
    duplicates: Tensor

    @property
    def args(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.text, self.image, self.mask

    def with_gradients(self) -> "Problem":
        text, image = (x.detach().clone().requires_grad_() for x in (self.text, self.image))
        return self._replace(text=text, image=image)


def make_problem(seed: int, images: int = 3, texts: int = 4, width: int = 3) -> Problem:
    """Random embeddings and mask; the first image is full, a later one may be empty."""
    generator = torch.Generator().manual_seed(seed)
    text, image = (
        torch.randn(images, texts, width, generator=generator, dtype=torch.float64)
        for _ in range(2)
    )
    mask = torch.rand(images, texts, generator=generator) < 0.6
    mask[0] = True
    duplicates = torch.randint(-8, -3, (images, texts), generator=generator)
    return Problem(text, image, mask, duplicates)


problems = st.builds(make_problem, st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 4))
forms, betas = st.sampled_from(FORMS), st.sampled_from([0.0, 0.3, 1.0])
scales = st.sampled_from([1.0, 1 / 0.07, 100.0])


def value_and_gradients(problem: Problem, scale: float, **options) -> list[Tensor]:
    problem = problem.with_gradients()
    multiplier = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    loss = beta_cal(*problem.args, multiplier, **options)
    loss.backward()
    return [loss.detach(), problem.text.grad, problem.image.grad, multiplier.grad]


def assert_same(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-12) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


# ---- the authors' numbers

CASES = sorted(
    key.removesuffix("/loss")
    for key in load_golden(GOLDEN / "losses_bcal_f64.safetensors")
    if key.endswith("/loss")
)


def test_golden_cases_are_complete():
    assert len(CASES) == 96  # 3 modes × 4 masks × 2 scales × 4 β


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_authors_numbers(precision, case):
    golden = load_golden(GOLDEN / f"losses_bcal_{precision}.safetensors")
    mode, mask_name, scale, beta = case.split("/")
    suffix = "_pad2" if mask_name == "pad2" else ""
    text = golden["text_embed" + suffix].clone().requires_grad_()
    image = golden["image_embed" + suffix].clone().requires_grad_()
    mask = golden["mask_" + mask_name.removesuffix("2")]
    multiplier = torch.tensor(float(scale[1:]), dtype=text.dtype, requires_grad=True)
    # ce_reduced takes padded columns out of the softmax; ce and bce are the authors' two forms
    loss = beta_cal(
        text,
        image,
        mask,
        multiplier,
        beta=float(beta[1:]),
        form="bce" if mode == "bce" else "ce",
        mask_padding=mode == "ce_reduced" or mask_name == "all",
    )
    loss.backward()
    exact = precision == "f64"
    tolerance = {"atol": 1e-12, "rtol": 0} if exact else {"atol": 1e-5, "rtol": 1e-6}
    torch.testing.assert_close(loss.detach(), golden[f"{case}/loss"], **tolerance)
    for name, tensor in (("text", text), ("image", image), ("scale", multiplier)):
        expected = golden[f"{case}/grad_{name}"]
        atol = 1e-12 if exact else 1e-4 * float(expected.abs().max()) + 1e-6
        torch.testing.assert_close(tensor.grad, expected, atol=atol, rtol=0)


# ---- the definition


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("mask_padding", [True, False])
@pytest.mark.parametrize("form", FORMS)
@settings(few, max_examples=5)
@given(problem=problems, beta=betas, scale=scales)
def test_definition_pair_by_pair(form, mask_padding, ignore, problem, beta, scale):
    duplicates = problem.duplicates if ignore else None
    options = {"beta": beta, "form": form, "mask_padding": mask_padding, "duplicates": duplicates}
    found = value_and_gradients(problem, scale, chunk_size=3, **options)
    slow = problem.with_gradients()
    multiplier = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    expected = slow_beta_cal(
        *slow.args, multiplier, beta, form, mask_padding=mask_padding, duplicates=duplicates
    )
    expected.backward()
    assert_same(found, [expected.detach(), slow.text.grad, slow.image.grad, multiplier.grad], 1e-10)


@few
@given(problems, forms, betas)
def test_target_matrices(problem, form, beta):
    targets, weights = beta_cal_targets(problem.mask, beta, form)
    text, image = (
        torch.nn.functional.normalize(x[problem.mask], dim=1) for x in (problem.text, problem.image)
    )
    logits = 5.0 * image @ text.T
    if form == "ce":
        expected = -(targets * (logits.log_softmax(1) + logits.log_softmax(0))).sum(1).mean() / 2
    else:
        # softplus(s) - s is softplus(-s); PyTorch's own is not exact above 20, these stay below
        positive, negative = (torch.nn.functional.softplus(x) for x in (-logits, logits))
        expected = (weights * (targets * positive + (1 - targets) * negative)).mean()
    found = beta_cal(*problem.args, 5.0, beta=beta, form=form)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("mask_padding", [True, False])
@pytest.mark.parametrize("scale", [4.0, 70.0])
@pytest.mark.parametrize("form", FORMS)
def test_gradcheck(form, scale, mask_padding, ignore):
    problem = make_problem(3, images=2, texts=3).with_gradients()
    duplicates = problem.duplicates if ignore else None

    def loss(text: Tensor, image: Tensor, multiplier: Tensor) -> Tensor:
        options = {"form": form, "mask_padding": mask_padding, "duplicates": duplicates}
        return beta_cal(text, image, problem.mask, multiplier, chunk_size=2, **options)

    multiplier = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (problem.text, problem.image, multiplier))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_equal_similarities_give_closed_forms(beta):
    mask = torch.tensor([[True] * 4, [True, False, True, False], [False] * 4])
    ones = torch.ones(3, 4, 5, dtype=torch.float64)
    found = beta_cal(ones, ones, mask, 3.0, beta=beta, form="ce")
    assert float(found) == pytest.approx(math.log(6), abs=1e-12)
    inside, across = 4**2 + 2**2, 6**2 - 4**2 - 2**2
    positive, negative = math.log1p(math.exp(-3)), math.log1p(math.exp(3))
    by_hand = ((6 + beta * (inside - 6)) * positive + across * negative) / 6**2
    found = beta_cal(ones, ones, mask, 3.0, beta=beta, form="bce")
    assert float(found) == pytest.approx(by_hand, abs=1e-12)


def test_one_text_per_image_is_the_global_loss():
    problem = make_problem(5, images=6, texts=1)
    every = torch.ones(6, 1, dtype=torch.bool)
    expected = global_contrastive(problem.image[:, 0], problem.text[:, 0], 20.0)
    for beta in (0.0, 0.7):
        found = beta_cal(problem.text, problem.image, every, 20.0, beta=beta)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_forms_differ_at_beta_zero():
    """Two texts of one image; only the similarity of image 2 to text 1 is changed."""
    text = torch.eye(3, dtype=torch.float64)[None, :2]
    far, near = (
        torch.tensor([[[1, 0, 0], second]], dtype=torch.float64)
        for second in ([0, 0.6, 0.8], [0.8, 0.6, 0])
    )
    mask = torch.ones(1, 2, dtype=torch.bool)
    by_form = {
        form: [float(beta_cal(text, x, mask, 5.0, beta=0.0, form=form)) for x in (far, near)]
        for form in FORMS
    }
    assert by_form["ce"][1] > by_form["ce"][0] + 0.3  # CE: a negative
    assert by_form["bce"][1] == by_form["bce"][0]  # BCE: ignored


# ---- what must not change it


@few
@given(problems, forms, scales, st.booleans())
def test_chunks_kept_blocks_and_shift_change_nothing(problem, form, scale, ignore):
    options = {"form": form, "duplicates": problem.duplicates if ignore else None}
    expected = value_and_gradients(problem, scale, **options)
    for chunk_size in (1, 2, 5, 10_000):
        for kept, largest_exponent in ((0, 600.0), (20, 600.0), (0, 0.0), (20, 0.0)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(blocks, "_KEPT_ELEMENTS", kept)
                patch.setattr(blocks, "_LARGEST_EXPONENT", largest_exponent)
                found = value_and_gradients(problem, scale, chunk_size=chunk_size, **options)
            assert_same(found, expected)


@few
@given(problems, forms, betas, scales, st.sampled_from([1.0, 1e30, math.inf, math.nan]))
def test_padding_changes_nothing(problem, form, beta, scale, garbage):
    options = {"beta": beta, "form": form}
    loss, text_grad, image_grad, scale_grad = value_and_gradients(problem, scale, **options)
    images, texts, _ = problem.text.shape
    text, image = (x.new_full((images + 1, texts + 2, x.shape[2]), garbage) for x in problem[:2])
    mask = torch.zeros(images + 1, texts + 2, dtype=torch.bool)
    for padded, original in zip((text, image, mask), problem.args, strict=True):
        padded[:images, :texts][problem.mask] = original[problem.mask]
    padded = value_and_gradients(Problem(text, image, mask, None), scale, **options)
    expected = [loss, text_grad[problem.mask], image_grad[problem.mask], scale_grad]
    assert_same([padded[0], padded[1][mask], padded[2][mask], padded[3]], expected)
    assert not padded[1][~mask].any()
    assert not padded[2][~mask].any()


def test_without_masking_padding_changes_ce_and_thins_bce():
    problem = make_problem(1)
    louder = problem._replace(text=torch.where(problem.mask[..., None], problem.text, 9.0))
    padded = {"mask_padding": False}
    assert beta_cal(*problem.args, 9.0, **padded) != beta_cal(*louder.args, 9.0, **padded)
    share = problem.mask.sum().double() ** 2 / problem.mask.numel() ** 2
    bce = [beta_cal(*p.args, 9.0, form="bce", **padded) for p in (problem, louder)]
    assert bce[0] == bce[1]
    full = beta_cal(*problem.args, 9.0, form="bce")
    torch.testing.assert_close(bce[0], full * share, rtol=1e-12, atol=0)


@few
@given(problems, forms, betas, st.integers(0, 10_000))
def test_order_of_images_and_texts_changes_nothing(problem, form, beta, seed):
    generator = torch.Generator().manual_seed(seed)
    images, texts = problem.mask.shape
    by_image = torch.randperm(images, generator=generator)
    by_text = torch.randperm(texts, generator=generator)
    moved = Problem(*(x[by_image][:, by_text] for x in problem))
    loss, text, image, scale = value_and_gradients(problem, 9.0, beta=beta, form=form)
    expected = [loss, text[by_image][:, by_text], image[by_image][:, by_text], scale]
    assert_same(value_and_gradients(moved, 9.0, beta=beta, form=form), expected)


@few
@given(problems, forms, scales, st.booleans())
def test_image_and_text_have_equal_roles(problem, form, scale, mask_padding):
    options = {"form": form, "mask_padding": mask_padding}
    loss, text, image, by_scale = value_and_gradients(problem, scale, **options)
    swapped = problem._replace(text=problem.image, image=problem.text)
    assert_same(value_and_gradients(swapped, scale, **options), [loss, image, text, by_scale])


def test_unique_ids_are_no_duplicates_and_equal_ids_leave_positives():
    problem = make_problem(2, images=3, texts=3)
    alone = torch.arange(9).view(3, 3)
    for form in FORMS:
        found = beta_cal(*problem.args, 9.0, form=form, duplicates=alone)
        torch.testing.assert_close(found, beta_cal(*problem.args, 9.0, form=form))
        all_equal = value_and_gradients(problem, 9.0, form=form, duplicates=torch.zeros_like(alone))
        assert all(x.isfinite().all() for x in all_equal)


# ---- dtypes, graphs, memory


def half_and_exact(problem: Problem, dtype: torch.dtype, form: str) -> tuple[list, list]:
    """Value and gradients of the problem in that dtype, and of the same numbers in float64."""
    half = problem._replace(text=problem.text.to(dtype), image=problem.image.to(dtype))
    double = half._replace(text=half.text.double(), image=half.image.double())
    found = half.with_gradients()
    multiplier = torch.tensor(50.0, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = beta_cal(*found.args, multiplier, form=form)
    loss.backward()
    assert loss.dtype == multiplier.grad.dtype == torch.float32
    assert found.text.grad.dtype == found.image.grad.dtype == dtype
    values = [loss.detach(), found.text.grad, found.image.grad, multiplier.grad]
    return [x.double() for x in values], value_and_gradients(double, 50.0, form=form)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("form", FORMS)
def test_half_precision_is_computed_in_float32(form, dtype, monkeypatch):
    monkeypatch.setattr(blocks, "_multiplies_bfloat16", lambda device: False)
    found, exact = half_and_exact(make_problem(4), dtype, form)
    torch.testing.assert_close(found[0], exact[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[3], exact[3], rtol=1e-4, atol=1e-5)
    for gradient, expected in zip(found[1:3], exact[1:3], strict=True):
        step = torch.finfo(dtype).eps * float(expected.abs().max())
        torch.testing.assert_close(gradient, expected, rtol=0, atol=step)


@pytest.mark.parametrize("form", FORMS)
def test_bfloat16_products_change_the_gradient_as_little_as_its_rounding(form, monkeypatch):
    monkeypatch.setattr(blocks, "_SLAB", 50)  # two full ones and a rest
    problem = make_problem(11, images=30, texts=6, width=32)
    errors = {}
    for used in (True, False):
        monkeypatch.setattr(blocks, "_multiplies_bfloat16", lambda device, used=used: used)
        found, exact = half_and_exact(problem, torch.bfloat16, form)
        torch.testing.assert_close(found[0], exact[0], rtol=1e-5, atol=1e-5)  # value: no matter
        errors[used] = [
            float((a - b).norm() / b.norm()) for a, b in zip(found[1:], exact[1:], strict=True)
        ]
    for rounded, alone in zip(errors[True][:2], errors[False][:2], strict=True):
        assert alone < rounded < 4 * alone < 2**-7
    assert errors[True][2] < 2**-7


@pytest.mark.parametrize("scale", [100.0, 1000.0, -100.0, 0.0])
@pytest.mark.parametrize("form", FORMS)
def test_extreme_logits_stay_exact(form, scale):
    problem = make_problem(6)
    largest = torch.finfo(torch.float16).max
    text, image = (x.sign().mul(largest).half() for x in problem[:2])
    found = Problem(text, image, *problem[2:]).with_gradients()
    loss = beta_cal(*found.args, scale, form=form)
    loss.backward()
    expected = slow_beta_cal(text, image, problem.mask, scale, 0.5, form)
    torch.testing.assert_close(loss.detach().double(), expected, rtol=1e-5, atol=1e-5)
    assert found.text.grad.isfinite().all()
    assert found.image.grad.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_part_of_a_bigger_graph(form):
    problem = make_problem(7).with_gradients()
    weight = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)

    def total() -> Tensor:
        first = beta_cal(*problem.args, weight.exp(), form=form)
        second = beta_cal(problem.image * 2, problem.text + 1, problem.mask, 9.0, form=form)
        return first**2 + 3 * second + problem.text.sum()

    assert torch.autograd.gradcheck(lambda *_: total(), (problem.text, problem.image, weight))
    loss = total()
    once = torch.autograd.grad(loss, problem.text, retain_graph=True)
    assert_same(torch.autograd.grad(loss, problem.text), once, 0)


def test_only_the_scale_learns_and_no_gradient_at_all():
    problem = make_problem(8)
    for shape in ((), (1,)):
        multiplier = torch.full(shape, 9.0, dtype=torch.float64, requires_grad=True)
        loss = beta_cal(*problem.args, multiplier)
        loss.backward()
        assert multiplier.grad.shape == shape
        torch.testing.assert_close(multiplier.grad.sum(), value_and_gradients(problem, 9.0)[3])
        with torch.no_grad():
            assert beta_cal(*problem.args, multiplier) == loss.detach()
    assert not beta_cal(*problem.args, 9.0).requires_grad


@pytest.mark.parametrize("form", FORMS)
def test_runs_agree_to_the_bit(form):
    problem = make_problem(9, images=20, texts=6, width=16)
    single = problem._replace(text=problem.text.float(), image=problem.image.float())
    first, second = (value_and_gradients(single, 14.0, form=form, chunk_size=32) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_kept_blocks_are_computed_once(monkeypatch):
    monkeypatch.setattr(blocks, "_KEPT_ELEMENTS", 3 * 2 * 10)
    rows = torch.eye(10)
    pairs = blocks.Pairs(
        mask=torch.ones(5, 2, dtype=torch.bool),
        index=torch.arange(10),
        beta=0.5,
        normaliser=100,
        chunk_size=2,
        groups=None,
        with_slopes=True,
    )
    logits = blocks.Logits(rows, rows, 2.0, pairs, keep=True)
    assert [logits[block][1] for block in logits.blocks] == [True] * 5
    for block in reversed(logits.blocks):
        values, new = logits[block]
        assert new == (block.start < 4)
        assert torch.equal(values, 2 * rows[block])


class LargestTensor(TorchDispatchMode):
    """Remembers how many elements the largest result of any operation had."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


@pytest.mark.parametrize("form", FORMS)
def test_no_matrix_of_all_pairs_is_ever_built(form, monkeypatch):
    monkeypatch.setattr(blocks, "_KEPT_ELEMENTS", 0)
    problem = make_problem(10, images=16, texts=8, width=4).with_gradients()
    rows = int(problem.mask.sum())
    with LargestTensor() as largest:
        beta_cal(
            *problem.args, 9.0, form=form, chunk_size=8, duplicates=problem.duplicates
        ).backward()
    assert 8 * rows <= largest.elements <= rows**2 // 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta": 1.5}, r"beta=1.5: expected a number in \[0, 1\]"),
        ({"beta": math.nan}, r"beta=nan: expected a number in \[0, 1\]"),
        ({"form": "sum"}, "form='sum': expected one of ce, bce"),
        ({"across_ranks": True}, "across_ranks=True: expected an initialised torch.distributed"),
        ({"chunk_size": 0}, "chunk_size=0: expected None or a number of rows >= 1"),
        ({"text": torch.ones(3, 4)}, r"text of shape \[3, 4\]: expected \[B, K, D\]"),
        (
            {"image": torch.ones(3, 4, 2)},
            r"image of shape \[3, 4, 2\]: expected text's \[3, 4, 3\]",
        ),
        (
            {"mask": torch.ones(3, 5, dtype=torch.bool)},
            r"mask of shape \[3, 5\].*\[B, K\] = \[3, 4\]",
        ),
        ({"mask": torch.ones(3, 4)}, "mask of dtype torch.float32: expected torch.bool"),
        (
            {"mask": torch.zeros(3, 4, dtype=torch.bool)},
            r"mask of shape \[3, 4\] is False everywhere",
        ),
        ({"logit_scale": torch.ones(2)}, r"logit_scale of shape \[2\]: expected one number"),
        ({"normaliser": "rows"}, "normaliser='rows': expected 'pairs' with form='ce'"),
        ({"bias": -5.0}, r"bias=-5.0: expected 0.0 with form='ce'"),
        (
            {"form": "bce", "normaliser": "texts"},
            "normaliser='texts': expected one of pairs, rows, positives",
        ),
        (
            {"form": "bce", "bias": torch.ones(2)},
            r"bias of shape \[2\]: expected one number",
        ),
        ({"duplicates": torch.ones(3, 5).long()}, r"duplicates of shape \[3, 5\]"),
        ({"duplicates": torch.ones(3, 4)}, "duplicates of dtype torch.float32"),
    ],
)
def test_bad_arguments_are_named(change, message):
    problem = make_problem(0)
    good = {"text": problem.text, "image": problem.image, "mask": problem.mask, "logit_scale": 9.0}
    for mask_padding in (True, False):
        with pytest.raises(ValueError, match=message):
            beta_cal(**{**good, "mask_padding": mask_padding, **change})
