"""Records of the data sets whose question is an object: its description, or its class."""

from __future__ import annotations

from types import MappingProxyType as Fixed

from bclip_core.data.real.record import NOT_CHECKED, Benchmark, Hub

_TEST = Fixed({"test": "test"})

OBJECTS = (
    Benchmark(
        name="fgovd",
        task="regions",
        title="FG-OVD",
        source="https://github.com/lorebianchi98/FG-OVD",
        licence="website CC BY-SA 4.0; data not checked",
        size=f"{NOT_CHECKED}; photos: COCO's train2017 and val2017",
        splits=Fixed({"hard": 3545, "medium": 2968, "easy": 1299, "trivial": 3545}),
        folder="fgovd",
        layout="h_attributes_llava.jsonl  or 1_attributes.json    (hard)\n"
        "m_attributes_llava.jsonl  or 2_attributes.json    (medium)\n"
        "e_attributes_llava.jsonl  or 3_attributes.json    (easy)\n"
        "shuffle_negatives_llava.jsonl or shuffle_negatives.json (trivial)\n"
        "../coco/train2017/*.jpg, ../coco/val2017/*.jpg",
        example='{"img_path": "val2017/000000000139.jpg", "bbox": [0, 0, 10, 10], '
        '"pos_expression": ["A red bus."], "neg_expression": ["A blue bus."], '
        '"width": 640, "height": 426, "sent_id": 1}',
        note="Four items of medium have the true expression among the false ones: always a tie, "
        "so a miss; 2,964 of 2,968 is the best possible.",
    ),
    Benchmark(
        name="imagenet-v2",
        task="classes",
        title="ImageNet-V2, matched frequency",
        source="https://huggingface.co/datasets/vaishaal/ImageNetV2",
        licence="MIT",
        size="1.3 GB",
        splits=Fixed({"test": 10000}),
        folder="imagenetv2-matched-frequency-format-val",
        layout="0/*.jpeg ... 999/*.jpeg    (folders are numbers of ImageNet's classes)",
        note="Its class names are ImageNet's: open_clip.IMAGENET_CLASSNAMES[label]. Its hub has "
        "the archive alone, which `datasets` does not read.",
    ),
    Benchmark(
        name="imagenet-o",
        task="classes",
        title="ImageNet-O",
        source="https://github.com/hendrycks/natural-adv-examples",
        licence="MIT",
        size="178 MB",
        splits=Fixed({"test": 2000}),
        folder="imagenet-o",
        layout="README.txt    (WordNet IDs and names, as in the archive)\nn*/*.JPEG",
        note="Classification among its own 200 classes, named as in its README.txt. The hub's "
        "cais/imagenet-o has these files, but `datasets` would name the classes by number.",
    ),
    Benchmark(
        name="cifar10",
        task="classes",
        title="CIFAR-10",
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        licence="none known",
        size=NOT_CHECKED,
        splits=Fixed({"test": 10000}),
        folder="cifar",
        layout="cifar-10-batches-py/test_batch, batches.meta    (the archive's files, unchanged)",
        hub=Hub("uoft-cs/cifar10", Fixed({"image": "img", "label": "label"}), _TEST),
    ),
    Benchmark(
        name="cifar100",
        task="classes",
        title="CIFAR-100",
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        licence="none known",
        size="161 MiB",
        splits=Fixed({"test": 10000}),
        folder="cifar",
        layout="cifar-100-python/test, meta    (the archive's files, unchanged)",
        note="The hundred fine classes.",
        hub=Hub("uoft-cs/cifar100", Fixed({"image": "img", "label": "fine_label"}), _TEST),
    ),
)
