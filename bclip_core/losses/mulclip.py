"""MulCLIP's two fine-grained objectives (arXiv 2512.07128); its global ones are in other files.

L = L(v_cls, t_long) + 1/2 L(v_cls, t_short) + λ_W L_word + λ_S L_sub, λ = 1 (the paper's default).
There is no public code. What the paper leaves open for us is an argument with a default.
"""

from __future__ import annotations

from torch import Tensor

from bclip_core.losses.tokens import attend, grouped_contrast

TEMPERATURE = 0.07  # of the attention inside a sample; open in what we know of the paper


def word_reconstruction(
    patches: Tensor,
    words: Tensor,
    word_mask: Tensor,
    scale: Tensor | float,
    *,
    temperature: float = TEMPERATURE,
    negatives: str = "sample",
) -> Tensor:
    """L_word: what words say of a patch tells it from the sample's other patches, and the reverse.

    Each patch token is rebuilt from the words of its own caption, v̂_p = Σ_k softmax_k(⟨v_p, t_k⟩/τ)
    t_k, and each word from the patches. InfoNCE then asks a token to find its own rebuilt one among
    those of the SAME sample; both modalities and both directions are averaged. Samples give each
    other no negatives: with `negatives="batch"` (the paper's ablation) they do.

    Args:
        patches: (calibrated) patch tokens [B, P, D].
        words: (calibrated) word tokens [B, T, D].
        word_mask: which words exist, [B, T] bool.
        scale: multiplier of the InfoNCE, itself.
        temperature: τ of the attention that rebuilds.
        negatives: "sample" or "batch".

    Raises:
        ValueError: another `negatives`, or shapes that do not match.
    """
    if negatives not in ("sample", "batch"):
        raise ValueError(f"negatives={negatives!r}: expected 'sample' or 'batch'")
    all_patches = word_mask.new_ones(patches.shape[:2])
    pairs = [
        (patches, attend(patches, words, word_mask, temperature), all_patches),
        (words, attend(words, patches, None, temperature), word_mask),
    ]
    if negatives == "batch":  # one group of all tokens
        pairs = [(a.flatten(0, 1)[None], b.flatten(0, 1)[None], m.flatten()[None])
                 for a, b, m in pairs]  # fmt: skip
    by_patch, by_word = (grouped_contrast(a, b, mask, scale) for a, b, mask in pairs)
    return (by_patch + by_word) / 2


def subcaption_alignment(
    patches: Tensor,
    text: Tensor,
    mask: Tensor,
    scale: Tensor | float,
    *,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """L_sub: the patches that a sentence gathers match the sentence, against the batch.

    v̄ⁱ = Σ_p softmax_p(⟨t_subⁱ, v_p⟩/τ) v_p for sentence i of an image; symmetric InfoNCE over the
    batch between the v̄ⁱ and t_subⁱ of all images that have an i-th sentence, averaged over i.

    Args:
        patches: [B, P, D].
        text: embeddings of the sentences [B, S, D].
        mask: which sentences exist, [B, S] bool.
        scale: multiplier of the InfoNCE, itself.
        temperature: τ of the attention that gathers.
    """
    gathered = attend(text, patches, None, temperature)
    return grouped_contrast(gathered.transpose(0, 1), text.transpose(0, 1), mask.T, scale)
