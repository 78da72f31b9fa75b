"""Experiments on photographs: what the papers did, number by number, and a minute's look at it.

Of β-CLIP the authors' scripts are the source (github.com/fzohra/B-CLIP at a5d19a4: `train_CE.sh`,
`submitit_text_1+5+30_global+bcal_CE_beta_0.5.sh`, `main_clip_ft.py`). MulCLIP (arXiv 2512.07128)
has published no code; what its page leaves open is named in `MULCLIP_OPEN`.
"""

from __future__ import annotations

from bclip_core.config.run import BackboneConfig, DataConfig, PoolerConfig, RunConfig, TextConfig
from bclip_core.config.training import TrainConfig

BETA_CLIP_OPEN = """\
β-CLIP's recipe, as its authors' scripts for ViT-B/16 have it: 64 images a GPU on 4 GPUs.
Where ours differs and no setting says so: the cosine ends at its final rate (theirs one update
before it); all ranks share one order of the rows; batches are gathered for β-CAL, too; padded
columns are masked in the cross-entropy form (--loss.no-mask-padding: as theirs)."""
L14_OPEN = f"""{BETA_CLIP_OPEN}
For ViT-L/14 the authors' code builds the model (width 768, a pooler of 8 heads), but no script or
checkpoint is published. Open are its batch a GPU, number of GPUs, learning rates, warm-up and
epochs: they are those of ViT-B/16 here."""
MULCLIP_OPEN = """\
MulCLIP on DOCCI, as far as its page (arXiv 2512.07128) tells: OpenAI's ViT-B/16, 248 positions
stretched as Long-CLIP does, weights of the terms (summary 1/2, λ_W = λ_S = 1), DOCCI's train split.
Open, and set here: learning rates, their course and warm-up, weight decay, AdamW's moments, batch,
epochs, precision, crop and frozen positions, as of β-CLIP's recipe on one GPU with 64 images an
update; how many sub-captions a step takes (5 here); what DOCCI's short caption is (its first
sentence here); the temperature of the attention inside a sample; whether sub-captions gather all
patches or calibrated ones; ratio and scale of the calibrated tokens (as FineLIP's)."""


def openai_backbone(name: str) -> BackboneConfig:
    """OpenAI's weights with 248 positions, of which the first 20 stay as they are."""
    return BackboneConfig(name, pretrained="openai", context_length=248, frozen_positions=20)


_TRAIN = TrainConfig(
    steps=0,
    epochs=10,
    batch_size=256,  # 64 a GPU, 4 GPUs
    accumulation=8,
    lr=1e-5,
    final_lr_fraction=0.01,  # to 1e-7
    pooler_lr=1e-3,
    pooler_final_lr_fraction=0.1,  # to 1e-4
    warmup_steps=0,
    warmup_epochs=0.01,
    warmup_lr=1e-9,
    pooler_warmup=False,
    weight_decay=0.01,
    adam_betas=(0.9, 0.98),
    clip_norm=0.0,
    precision="fp16",
    checkpoint_every=200,
    keep_epochs=(5, 10),
    loader_workers=8,
)
PAPER_B16 = RunConfig(
    "beta-clip-ce",
    openai_backbone("ViT-B-16"),
    PoolerConfig(heads=8, init="xavier"),
    texts=TextConfig(sentences=5, phrases=30, phrase_tokens=30),  # K = 36
    data=DataConfig(
        "sharegpt4v", image_size=224, train=1_246_000, crop=(0.5, 1.0), bad_rows="skip"
    ),  # all rows: the list has fewer
    train=_TRAIN,
)
PAPER_L14 = PAPER_B16.replace(backbone=openai_backbone("ViT-L-14"))
MULCLIP_DOCCI = PAPER_B16.replace(
    method="mulclip",
    texts=TextConfig(sentences=5, phrases=0),
    data=DataConfig("docci", image_size=224, train=9647, test=5000, crop=(0.5, 1.0)),
    train=_TRAIN.replace(batch_size=64, accumulation=1, keep_epochs=()),
)
PHOTOS_SMOKE = PAPER_B16.replace(
    backbone=BackboneConfig("ViT-B-16", context_length=248),
    texts=TextConfig(sentences=5, phrases=6, phrase_tokens=30),  # K = 12
    data=DataConfig(
        "photographs", image_size=224, train=16, validation=16, test=16, crop=(0.5, 1.0)
    ),
    train=_TRAIN.replace(
        steps=3, epochs=0, batch_size=4, accumulation=1, warmup_steps=1, warmup_epochs=0.0,
        warmup_lr=0.0, precision="fp32", checkpoint_every=0, keep_epochs=(), loader_workers=0,
    ),
)  # fmt: skip
SMOKE_NOTE = """\
Three updates of a ViT-B/16 on the sample photographs: it shows that everything runs on pictures,
and measures nothing. Its weights are random; --backbone.pretrained names others, and with them
--backbone.frozen-positions 20 is the papers' setting."""
