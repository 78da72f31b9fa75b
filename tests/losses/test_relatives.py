"""MulCLIP's objectives and those of its relatives: slow loops, closed forms, padding, gradients."""

import math

import pytest
import torch

from bclip_core.losses import (
    attend,
    cross_conditioned,
    global_contrastive,
    grouped_contrast,
    late_interaction_contrastive,
    multi_positive,
    principal_features,
    sigmoid_contrastive,
    subcaption_alignment,
    text_conditioned_sigmoid,
    unit_cosine,
    word_reconstruction,
)
from tests.losses.reference import dot, log_softmax, slow_global_contrastive, softplus, unit

B, K, P, L, D, M = 3, 4, 5, 6, 8, 2
SCALE, BIAS, TAU = 3.0, -1.5, 0.3


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


IMAGE, TEXT, PATCHES, WORDS = (
    draw(B, D),
    draw(B, K, D, seed=1),
    draw(B, P, D, seed=2),
    draw(B, L, D, seed=3),
)
MASK = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
WORD_MASK = torch.tensor([[0, 1, 1, 1, 0, 0], [0, 1, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0]]).bool()
OWN = torch.tanh(draw(B, K, seed=4))
OTHERS = torch.tanh(draw(B, K, M, seed=5))


def slow_attend(query, tokens):
    logits = [dot(unit(query), unit(token)) / TAU for token in tokens]
    return sum(torch.exp(log_softmax(logits, p)) * unit(t) for p, t in enumerate(tokens))


def slow_symmetric(first, second, scale):
    """InfoNCE of matched lists, both ways, averaged over the rows."""
    return slow_global_contrastive(torch.stack(first), torch.stack(second), scale)


def slow_words(negatives="sample"):
    patch_pairs, word_pairs = [], []
    for b in range(B):
        words = [WORDS[b, k] for k in range(L) if WORD_MASK[b, k]]
        patches = list(PATCHES[b])
        patch_pairs.append(([slow_attend(v, words) for v in patches], patches))
        word_pairs.append(([slow_attend(t, patches) for t in words], words))
    total = 0.0
    for pairs in (patch_pairs, word_pairs):
        if negatives == "batch":
            pairs = [tuple(sum(lists, []) for lists in zip(*pairs, strict=True))]
        total += sum(slow_symmetric(own, made, SCALE) for made, own in pairs) / len(pairs) / 2
    return total


def slow_subcaptions():
    per_slot = []
    for k in range(K):
        rows = [b for b in range(B) if MASK[b, k]]
        if rows:
            gathered = [slow_attend(TEXT[b, k], list(PATCHES[b])) for b in rows]
            per_slot.append(slow_symmetric(gathered, [TEXT[b, k] for b in rows], SCALE))
    return sum(per_slot) / len(per_slot)


def valid():
    return [(b, k) for b in range(B) for k in range(K) if MASK[b, k]]


def slow_sigmoid():
    total = 0.0
    for i in range(B):
        for pair in valid():
            logit = SCALE * dot(unit(IMAGE[i]), unit(TEXT[pair])) + BIAS
            total += softplus(-logit if pair[0] == i else logit)
    return total / len(valid())


def slow_multi_positive():
    total = 0.0
    for b, k in valid():
        row = [SCALE * dot(unit(IMAGE[b]), unit(TEXT[pair])) for pair in valid()]
        column = [SCALE * dot(unit(IMAGE[i]), unit(TEXT[b, k])) for i in range(B)]
        own = log_softmax(row, valid().index((b, k))) + log_softmax(column, b)
        total -= own / (2 * B * int(MASK[b].sum()))
    return total


def slow_flair():
    total = 0.0
    for b in range(B):
        positive = sum(softplus(-(SCALE * OWN[b, k] + BIAS)) for k in range(K) if MASK[b, k])
        negative = sum(softplus(SCALE * OTHERS[b, 0, m] + BIAS) for m in range(M))
        total += (positive + negative) / (int(MASK[b].sum()) + M)
    return total


def slow_cross(form):
    total = 0.0
    for pair in valid():
        logits = [SCALE * s for s in (OWN[pair], *OTHERS[pair])]
        if form == "ce":
            total -= log_softmax(logits, 0)
        else:
            negatives = sum(softplus(logit + BIAS) for logit in logits[1:])
            total += (softplus(-(logits[0] + BIAS)) + negatives) / (1 + M)
    return total / len(valid())


def slow_late_interaction():
    words = [[WORDS[t, k] for k in range(L) if WORD_MASK[t, k]] for t in range(B)]
    cosine = {(i, t): [[dot(unit(v), unit(w)) for w in words[t]] for v in PATCHES[i]]
              for i in range(B) for t in range(B)}  # fmt: skip
    to_text = {pair: sum(max(row) for row in rows) / P for pair, rows in cosine.items()}
    to_image = {
        pair: sum(max(column) for column in zip(*rows, strict=True)) / len(rows[0])
        for pair, rows in cosine.items()
    }
    total = 0.0
    for b in range(B):
        total -= log_softmax([SCALE * to_text[b, t] for t in range(B)], b)
        total -= log_softmax([SCALE * to_image[i, b] for i in range(B)], b)
    return total / (2 * B)


CASES = {  # name: (loss of the module, of its differentiable inputs; inputs; the slow loop)
    "words": (
        lambda p, w: word_reconstruction(p, w, WORD_MASK, SCALE, temperature=TAU),
        (PATCHES, WORDS), slow_words,
    ),
    "words, batch": (
        lambda p, w: word_reconstruction(
            p, w, WORD_MASK, SCALE, temperature=TAU, negatives="batch"
        ),
        (PATCHES, WORDS), lambda: slow_words("batch"),
    ),
    "sub-captions": (
        lambda p, t: subcaption_alignment(p, t, MASK, SCALE, temperature=TAU),
        (PATCHES, TEXT), slow_subcaptions,
    ),
    "sigmoid": (
        lambda i, t: sigmoid_contrastive(i, t, MASK, SCALE, BIAS), (IMAGE, TEXT), slow_sigmoid
    ),
    "multi-positive": (
        lambda i, t: multi_positive(i, t, MASK, SCALE), (IMAGE, TEXT), slow_multi_positive
    ),
    "flair": (
        lambda own, others: text_conditioned_sigmoid(own, others[:, 0], MASK, SCALE, BIAS),
        (OWN, OTHERS), slow_flair,
    ),
    "cross, ce": (
        lambda own, others: cross_conditioned(own, others, MASK, SCALE),
        (OWN, OTHERS), lambda: slow_cross("ce"),
    ),
    "cross, bce": (
        lambda own, others: cross_conditioned(own, others, MASK, SCALE, form="bce", bias=BIAS),
        (OWN, OTHERS), lambda: slow_cross("bce"),
    ),
    "late interaction": (
        lambda p, w: late_interaction_contrastive(p, w, WORD_MASK, SCALE),
        (PATCHES, WORDS), slow_late_interaction,
    ),
}  # fmt: skip
ABSENT = {  # of which inputs, what a mask says is not there
    "words": (None, ~WORD_MASK), "words, batch": (None, ~WORD_MASK), "sub-captions": (None, ~MASK),
    "sigmoid": (None, ~MASK), "multi-positive": (None, ~MASK), "flair": (~MASK, None),
    "cross, ce": (~MASK, ~MASK), "cross, bce": (~MASK, ~MASK),
    "late interaction": (None, ~WORD_MASK),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_loss_is_its_definition_pair_by_pair(name):
    loss, inputs, slow = CASES[name]
    torch.testing.assert_close(loss(*inputs), torch.as_tensor(slow()), atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_there_changes_neither_loss_nor_gradient(name):
    loss, inputs, _ = CASES[name]
    results = []
    for fill in (0.0, 7.0):
        given = [x.clone() for x in inputs]
        for x, absent in zip(given, ABSENT[name], strict=True):
            if absent is not None:
                x[absent] = fill
            x.requires_grad_()
        value = loss(*given)
        value.backward()
        for x, absent in zip(given, ABSENT[name], strict=True):
            assert absent is None or (x.grad[absent] == 0).all()
        results.append((value.detach(), *(x.grad for x in given)))
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("name", [name for name in CASES if name != "late interaction"])
def test_gradients_are_exact(name):
    loss, inputs, _ = CASES[name]
    assert torch.autograd.gradcheck(loss, [x.clone().requires_grad_() for x in inputs])


def test_gradients_of_late_interaction_are_those_of_the_chosen_pairs():
    given = [PATCHES.clone().requires_grad_(), WORDS.clone().requires_grad_()]
    late_interaction_contrastive(*given, WORD_MASK, SCALE).backward()
    for x in given:
        step = torch.zeros_like(x)
        step[0, 1, 2] = 1e-3
        values = [
            CASES["late interaction"][0](*(y.detach() + sign * step if y is x else y.detach()
                                           for y in given)) for sign in (1, -1)
        ]  # fmt: skip
        slope = (values[0] - values[1]) / 2e-3
        assert slope.item() == pytest.approx(x.grad[0, 1, 2].item(), abs=2e-3)


def test_one_text_per_image_is_the_ordinary_loss():
    caption, one = TEXT[:, :1], torch.ones(B, 1, dtype=torch.bool)
    expected = global_contrastive(IMAGE, caption[:, 0], SCALE)
    torch.testing.assert_close(multi_positive(IMAGE, caption, one, SCALE), expected)
    grouped = grouped_contrast(IMAGE[None], caption[:, 0][None], one.T, SCALE)
    torch.testing.assert_close(grouped, expected)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_closed_forms_where_nothing_can_be_told_apart(count):
    rows, one = torch.ones(2, count, D).double(), torch.ones(2, count, dtype=torch.bool)
    texts = math.log(count)
    assert grouped_contrast(rows, rows, one, SCALE).item() == pytest.approx(texts)
    assert word_reconstruction(rows, rows, one, SCALE).item() == pytest.approx(texts)
    images = math.log(2)
    assert subcaption_alignment(rows, rows, one, SCALE).item() == pytest.approx(images)
    same = multi_positive(rows[:, 0], rows, one, SCALE).item()
    assert same == pytest.approx((math.log(2 * count) + images) / 2)
    found = late_interaction_contrastive(rows, rows, one, SCALE).item()
    assert found == pytest.approx(images, abs=1e-6)
    alike, others = torch.full((2, count), 0.3), torch.full((2, count, 4), 0.3)
    assert cross_conditioned(alike, others, one, SCALE).item() == pytest.approx(math.log(5))
    even = cross_conditioned(0 * alike, 0 * others, one, SCALE, form="bce").item()
    assert even == pytest.approx(math.log(2))
    no, yes = (math.log1p(math.exp(sign * (SCALE + BIAS))) for sign in (1, -1))
    sigmoid = sigmoid_contrastive(rows[:, 0], rows, one, SCALE, BIAS).item()
    assert sigmoid == pytest.approx(no + yes)
    local = text_conditioned_sigmoid(
        torch.ones(2, count), torch.ones(2, 3), one, SCALE, BIAS
    ).item()
    assert local == pytest.approx(2 * (count * yes + 3 * no) / (count + 3), rel=1e-5)


@pytest.mark.parametrize("form", ["ce", "bce"])
def test_images_that_have_the_text_themselves_are_no_negatives(form):
    ignore = torch.rand(OTHERS.shape, generator=torch.Generator().manual_seed(1)) < 0.4
    ignore[0, 0] = True  # a text that every other image has
    found = cross_conditioned(OWN, OTHERS, MASK, SCALE, form=form, bias=BIAS, ignore=ignore)
    losses = []
    for b, k in MASK.nonzero().tolist():
        others = [o for o, out in zip(OTHERS[b, k], ignore[b, k], strict=True) if not out]
        own, left = OWN[b : b + 1, k : k + 1], torch.tensor(others).view(1, 1, -1)
        one = torch.ones(1, 1, dtype=torch.bool)
        losses.append(cross_conditioned(own, left, one, SCALE, form=form, bias=BIAS))
    torch.testing.assert_close(found, torch.stack(losses).mean())
    none = cross_conditioned(
        OWN, OTHERS, MASK, SCALE, form=form, bias=BIAS, ignore=torch.zeros_like(ignore)
    )
    plain = cross_conditioned(OWN, OTHERS, MASK, SCALE, form=form, bias=BIAS)
    torch.testing.assert_close(none, plain)
    torch.autograd.gradcheck(
        lambda own, others: cross_conditioned(
            own, others, MASK, SCALE, form=form, bias=BIAS, ignore=ignore
        ),
        (OWN.clone().requires_grad_(), OTHERS.clone().requires_grad_()),
    )


def test_perfect_pairs_cost_nothing_at_a_large_scale():
    apart, one = torch.eye(D).double()[:4], torch.ones(4, 1, dtype=torch.bool)
    assert multi_positive(apart, apart[:, None], one, 100.0).item() < 1e-9
    assert sigmoid_contrastive(apart, apart[:, None], one, 200.0, -100.0).item() < 1e-9
    assert grouped_contrast(apart[None], apart[None], one.T, 100.0).item() < 1e-9
    own, others = torch.ones(4, 1), torch.zeros(4, 1, 3)
    assert cross_conditioned(own, others, one, 100.0).item() < 1e-9


def test_attention_is_an_average_that_sharpens_with_the_temperature():
    made = attend(WORDS, PATCHES, None, 1e-4)
    cosines = (
        torch.nn.functional.normalize(WORDS, dim=-1)
        @ torch.nn.functional.normalize(PATCHES, dim=-1).mT
    )
    nearest = torch.stack([PATCHES[b][cosines[b].argmax(-1)] for b in range(B)])
    torch.testing.assert_close(made, torch.nn.functional.normalize(nearest, dim=-1))
    mean = torch.nn.functional.normalize(PATCHES, dim=-1).mean(1, keepdim=True)
    torch.testing.assert_close(attend(WORDS, PATCHES, None, 1e6), mean.expand(B, L, D),
                               atol=1e-5, rtol=0)  # fmt: skip


def test_a_group_without_rows_gives_nothing_and_does_not_count():
    empty = torch.cat([torch.ones(1, 3), torch.zeros(1, 3)]).bool()
    rows = draw(2, 3, D)
    made = draw(2, 3, D, seed=9)
    alone = grouped_contrast(rows[:1], made[:1], empty[:1], SCALE)
    torch.testing.assert_close(grouped_contrast(rows, made, empty, SCALE), alone)
    given = rows.clone().requires_grad_()
    grouped_contrast(given, made, torch.zeros(2, 3).bool(), SCALE).backward()
    assert (given.grad == 0).all()


def test_principal_components_keep_the_mean_and_then_everything():
    image = draw(6, D)
    rows = torch.nn.functional.normalize(image, dim=1)
    torch.testing.assert_close(principal_features(image, D), rows)
    torch.testing.assert_close(principal_features(image, 99), rows)
    errors = [(principal_features(image, n) - rows).square().sum().item() for n in range(1, 6)]
    assert errors == sorted(errors, reverse=True)
    torch.testing.assert_close(principal_features(image, 1).mean(0), rows.mean(0))
    values, vectors = torch.linalg.eigh((rows - rows.mean(0)).T @ (rows - rows.mean(0)))
    assert errors[1] == pytest.approx(values[:-2].sum().item())
    kept = vectors[:, -2:]
    torch.testing.assert_close(
        principal_features(image, 2), rows.mean(0) + (rows - rows.mean(0)) @ kept @ kept.T
    )


def test_principal_features_of_few_images_do_not_hang_on_rounding():
    """Directions of a batch that spans fewer than are kept: its own alone."""
    image = draw(6, 16).float()
    gradients = []
    for factor in (1.0, 1 + 1e-6):
        given = (image * factor).requires_grad_()
        (principal_features(given, 32) * draw(6, 16, seed=8).float()).sum().backward()
        gradients.append(given.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_principal_components_are_constants_to_the_gradient():
    image = draw(6, D).requires_grad_()
    cotangent = draw(6, D, seed=8)
    (principal_features(image, 2) * cotangent).sum().backward()
    rows = torch.nn.functional.normalize(image.detach(), dim=1)
    _, _, directions = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    kept = directions[:2].T @ directions[:2]
    again = image.detach().clone().requires_grad_()
    unit_rows = torch.nn.functional.normalize(again, dim=1)
    mean = unit_rows.mean(0)
    ((mean + (unit_rows - mean) @ kept) * cotangent).sum().backward()
    torch.testing.assert_close(image.grad, again.grad)


def test_half_precision_is_computed_in_float32():
    for loss, inputs, _ in CASES.values():
        assert loss(*(x.to(torch.bfloat16) for x in inputs)).dtype == torch.float32
    assert unit_cosine(TEXT.half(), TEXT.half()).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: multi_positive(IMAGE, TEXT[:2], MASK, 1.0), r"expected \[B, D\], \[B, K, D\]"),
        (lambda: sigmoid_contrastive(IMAGE, IMAGE, MASK, 1.0, 0.0), r"expected \[B, D\]"),
        (lambda: grouped_contrast(TEXT, TEXT, MASK.T, 1.0), r"twice \[G, T, D\] and \[G, T\]"),
        (lambda: cross_conditioned(OWN, OWN, MASK, 1.0, form="mse"), "form='mse': expected 'ce'"),
        (lambda: cross_conditioned(OWN, OTHERS.mT, MASK, 1.0), r"expected \[B, K\], \[B, K, M\]"),
        (lambda: cross_conditioned(OWN, OTHERS, MASK, 1.0, ignore=MASK), r"ignore \[3, 4\]: "),
        (lambda: word_reconstruction(PATCHES, WORDS, WORD_MASK, 1.0, negatives="all"),
         "negatives='all': expected 'sample' or 'batch'"),
        (lambda: late_interaction_contrastive(PATCHES, WORDS[:2], WORD_MASK, 1.0), "B, L, D"),
        (lambda: principal_features(IMAGE, 0), r"components=0: expected \[B, D\] and >= 1"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
