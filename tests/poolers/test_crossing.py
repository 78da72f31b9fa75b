"""Texts pooled with other images: which pairs, which values, and how little memory."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from bclip_core.poolers import TextConditionedPooler, cross_alike, cross_images, crossing

B, K, P, D = 5, 3, 7, 16


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    pooler = TextConditionedPooler(D, heads=4, init="xavier").double()
    patches, text = torch.randn(B, P, D).double(), torch.randn(B, K, D).double()
    mask = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1]]).bool()
    return pooler, patches, text, mask


def every_pair(pooler, patches, text):
    """Conditioned embedding of every image under every text, one pair at a time: [B, K, B, D]."""
    rows = [[[pooler(patches[i : i + 1], text[b : b + 1, k : k + 1])[0][0, 0] for i in range(B)]
             for k in range(K)] for b in range(B)]  # fmt: skip
    return torch.stack([torch.stack([torch.stack(images) for images in texts]) for texts in rows])


@torch.no_grad()
@pytest.mark.parametrize("at_a_time", [1, 3, 8])
def test_all_others_are_every_pair_but_the_own(case, at_a_time, monkeypatch):
    monkeypatch.setattr(crossing, "SHIFTS_AT_A_TIME", at_a_time)
    pooler, patches, text, mask = case
    pairs = every_pair(pooler, patches, text)
    cosines = F.cosine_similarity(pairs, text[:, :, None], dim=-1)
    found, mean = cross_images(pooler, patches, text, mask, seed=3, reference=True)
    assert found.shape == (B, K, B - 1)
    for b in range(B):
        others = [i for i in range(B) if i != b]
        torch.testing.assert_close(found[b].sort(-1)[0], cosines[b][:, others].sort(-1)[0])
        torch.testing.assert_close(mean[b], pairs[b][:, others].mean(1))


@torch.no_grad()
def test_a_sample_shares_its_shifts_and_depends_on_the_seed_alone(case):
    pooler, patches, text, mask = case
    cosines = F.cosine_similarity(every_pair(pooler, patches, text), text[:, :, None], dim=-1)
    found, mean = cross_images(pooler, patches, text, mask, seed=7, count=2)
    assert mean is None
    shifts = [
        [s for s in range(1, B) if torch.isclose(found[0, 0, m], cosines[0, 0, s])][0]
        for m in range(2)
    ]
    assert len(set(shifts)) == 2
    for b in range(B):
        for m, shift in enumerate(shifts):
            torch.testing.assert_close(found[b, :, m], cosines[b, :, (b + shift) % B])
    again, _ = cross_images(pooler, patches, text, mask, seed=7, count=2)
    assert torch.equal(found, again)
    seeds = [cross_images(pooler, patches, text, mask, seed=s, count=2)[0] for s in range(8)]
    assert len({round(float(values[0, 0, 0]), 12) for values in seeds}) > 1


@torch.no_grad()
def test_one_text_is_one_that_exists(case):
    pooler, patches, text, mask = case
    whole, _ = cross_images(pooler, patches, text, mask, seed=0)
    drawn = set()
    for seed in range(30):
        found, _ = cross_images(pooler, patches, text, mask, seed=seed, one_text=True)
        assert found.shape == (B, 1, B - 1)
        for b in range(B):
            (k,) = (k for k in range(K) if torch.allclose(found[b, 0].sort()[0],
                                                          whole[b, k].sort()[0]))  # fmt: skip
            assert mask[b, k]
            drawn.add((b, k))
    assert drawn == {(b, k) for b, k in mask.nonzero().tolist()}


@pytest.mark.parametrize("at_a_time", [2, 8])
def test_gradients_are_those_of_every_pair(case, at_a_time, monkeypatch):
    monkeypatch.setattr(crossing, "SHIFTS_AT_A_TIME", at_a_time)
    pooler, *inputs, mask = case
    results = []
    for way in ("fast", "slow"):
        patches, text = (x.clone().requires_grad_() for x in inputs)
        if way == "fast":
            cosines = cross_images(pooler, patches, text, mask, seed=0)[0]
        else:
            whole = F.cosine_similarity(every_pair(pooler, patches, text), text[:, :, None], dim=-1)
            others = [[i for i in range(B) if i != b] for b in range(B)]
            cosines = torch.stack([whole[b][:, others[b]] for b in range(B)])
        results.append(
            torch.autograd.grad(cosines.exp().sum(), [patches, text, pooler.ln_2.weight])
        )
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow)


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, torch.Tensor) and value.untyped_storage().nbytes():
                self.elements = max(
                    self.elements, value.untyped_storage().nbytes() // value.element_size()
                )
        return result


def test_no_tensor_has_patches_for_every_pair():
    images, texts, places, dim, others = 12, 10, 64, 32, 11
    pooler = TextConditionedPooler(dim, heads=4)
    patches, text = torch.randn(images, places, dim), torch.randn(images, texts, dim)
    mask = torch.ones(images, texts, dtype=torch.bool)
    with Largest() as seen:
        cosines, _ = cross_images(pooler, patches, text, mask, seed=0, count=others)
        cosines.sum().backward()
    pairs = images * texts * others
    hidden = images * texts * crossing.SHIFTS_AT_A_TIME * 4 * dim
    assert seen.elements <= hidden
    assert seen.elements < pairs * places * dim / 10


def test_a_batch_of_one_image_is_refused(case):
    pooler, patches, text, mask = case
    with pytest.raises(ValueError, match="batch of 1 image has no other image"):
        cross_images(pooler, patches[:1], text[:1], mask[:1], seed=0)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_images_that_have_the_text_themselves_are_found(count):
    images, texts = 6, 4
    generator = torch.Generator().manual_seed(0)
    identity = torch.randint(5, (images, texts), generator=generator)
    mask = torch.rand(images, texts, generator=generator) < 0.7
    found = cross_alike(identity, mask, seed=4, count=count)
    pooler = Remembering()
    patches = torch.arange(images, dtype=torch.float)[:, None, None].expand(images, 2, 1)
    text = torch.arange(images * texts, dtype=torch.float).view(images, texts, 1)
    cross_images(pooler, patches, text, mask, seed=4, count=count)
    met = {
        int(number): [image for image, numbers in pooler.met if number in numbers]
        for number in text.flatten()
    }
    assert found.shape == (images, texts, count or images - 1)
    for b in range(images):
        for k in range(texts):
            others = met[b * texts + k]
            alike = [bool((identity[m][mask[m]] == identity[b, k]).any()) for m in others]
            assert sorted(found[b, k].tolist()) == sorted(alike)
            assert b not in others


class Remembering(torch.nn.Module):
    """A pooler that notes which image was asked with which texts."""

    def __init__(self):
        super().__init__()
        self.met = []

    def forward(self, patches, text):
        for image, numbers in zip(patches[:, 0, 0].tolist(), text[..., 0].tolist(), strict=True):
            self.met.append((int(image), numbers))
        return text, None
