"""The data sets of the two papers, and one's own.

Addresses, licences and sizes are as their sources state them (read in stored copies of
those pages; nothing was downloaded here). `tests/data/manifests.json` has the splits that were
counted in the real files.
"""

from __future__ import annotations

from types import MappingProxyType as Fixed

from bclip_core.data.benchmarks.locate import HELD_OUT
from bclip_core.data.benchmarks.registry import Benchmark, Hub

_NOT_CHECKED = "not checked"
_WEB_CAPTIONS = Fixed({"id": "__key__", "image": "jpg", "captions": "txt"})
_FIRST_SPLIT = Fixed({"test": "test"})
_LIST_ROW = '{"filename": "sa_1543972.jpg", "caption": "An indoor mall with ..."}'
_PAIR_ROW = '{"image": "photos/dog.jpg", "caption": "A dog on a sofa."}'
_TURNS_ROW = (
    '{"image": "coco/train2017/000000000009.jpg", "conversations": '
    '[{"from": "human", "value": "..."}, {"from": "gpt", "value": "The caption."}]}'
)
_SHAREGPT4V_LAYOUT = """\
share-captioner_coco_lcs_sam_1246k_1107.json
coco/train2017/*.jpg
llava/llava_pretrain/images/*/*.jpg
sam/images/*.jpg"""

_ALL = (
    Benchmark(
        name="urban1k",
        task="captions",
        title="Urban-1K",
        source="https://huggingface.co/datasets/BeichenZhang/Urban1k",
        licence="CC BY-NC 4.0",
        size="81 MB",
        splits=Fixed({"test": 1000}),
        folder="urban1k",
        layout="image/*.jpg\ncaption/*.txt    (NAME.txt belongs to NAME.jpg; or instead:)\n"
        "annotations.json (FLAIR's list)",
        example='{"image": "1.jpg", "caption": "This image depicts ..."}',
        captions=1,
        known=Fixed({"592.jpg": "row 548 of FLAIR's list has an empty caption"}),
        note="annotations.json gives 999 pairs; 1,000 in the papers, so a difference of 0.1 points "
        "may be this pair. The whole caption file is read, not its first line alone.",
    ),
    Benchmark(
        name="sv1k",
        task="captions",
        title="ShareGPT4V, first 1,000 rows (SV-1k)",
        source="https://huggingface.co/datasets/Lin-Chen/ShareGPT4V",
        licence="CC BY-NC 4.0, and OpenAI's terms of use",
        size=_NOT_CHECKED,
        splits=Fixed({"test": HELD_OUT}),
        folder="sharegpt4v",
        layout=_SHAREGPT4V_LAYOUT,
        example=_TURNS_ROW,
        captions=1,
    ),
    Benchmark(
        name="dci",
        task="captions",
        title="Densely Captioned Images",
        source="https://github.com/facebookresearch/DCI",
        licence="CC BY-NC",
        size=f"{_NOT_CHECKED}; photos: SA-1B's sa_000138.tar alone",
        splits=Fixed({"test": 7805}),
        folder="dci",
        layout="annotations/*.json\nphotos/sa_*.jpg",
        example='{"image": "sa_1.jpg", "short_caption": "A mall.", "extra_caption": "It has ..."}',
        captions=1,
        note="The long caption is short_caption + extra_caption, the summary is short_caption. "
        "Other codes take one of the two alone, which gives other numbers.",
    ),
    Benchmark(
        name="dci-1999",
        task="captions",
        title="DCI, the 1,999 pictures of GOAL's list",
        source="https://github.com/facebookresearch/DCI",
        licence="CC BY-NC 4.0",
        size=_NOT_CHECKED,
        splits=Fixed({"test": 1999}),
        folder="dci",
        layout="DCI_test.json\nphotos/sa_*.jpg",
        example=_LIST_ROW,
        captions=1,
    ),
    Benchmark(
        name="docci",
        task="captions",
        title="DOCCI",
        source="https://google.github.io/docci/",
        licence="CC BY 4.0",
        size="11 MB, pictures 7.6 GB",
        splits=Fixed({"test": 5000, "train": 9647, "qual_dev": 100, "qual_test": 100}),
        folder="docci",
        layout="docci_descriptions.jsonlines\nimages/*.jpg",
        example='{"split": "test", "image_file": "test_00000.jpg", "description": "A ..."}',
        captions=1,
        note="The hub's google/docci needs a loading script, which `datasets` 4 does not run.",
    ),
    Benchmark(
        name="docci-5100",
        task="captions",
        title="DOCCI, the 5,100 pictures of GOAL's list",
        source="https://google.github.io/docci/",
        licence="CC BY 4.0",
        size="pictures 7.6 GB",
        splits=Fixed({"test": 5100}),
        folder="docci",
        layout="docci_test.json\nimages/*.jpg",
        example=_LIST_ROW,
        captions=1,
        note="The 5,000 of the test split and the 100 of qual_test.",
    ),
    Benchmark(
        name="flickr30k",
        task="captions",
        title="Flickr30k",
        source="https://shannon.cs.illinois.edu/DenotationGraph/",
        licence=_NOT_CHECKED,
        size=_NOT_CHECKED,
        splits=Fixed({"test": 1000, "validation": 1014}),
        folder="flickr30k",
        layout="flickr30k_test.json, flickr30k_val.json (FLAIR's lists; or instead:)\n"
        "dataset_flickr30k.json (Karpathy's)\nflickr30k-images/*.jpg",
        example='{"image": "flickr30k-images/1.jpg", "caption": ["A dog.", "A brown dog."]}',
        captions=5,
        note="Five captions per picture; the 1K test is Karpathy's split.",
        hub=Hub("clip-benchmark/wds_flickr30k", _WEB_CAPTIONS, _FIRST_SPLIT),
    ),
    Benchmark(
        name="coco",
        task="captions",
        title="COCO captions 2017",
        source="https://cocodataset.org/#download",
        licence="annotations CC BY 4.0; photos as Flickr's users licensed them",
        size=_NOT_CHECKED,
        splits=Fixed({"test": 5000, "train": 0}),
        folder="coco",
        layout="annotations/captions_val2017.json, captions_train2017.json\nval2017/*.jpg\n"
        "train2017/*.jpg",
        example='{"image_id": 139, "id": 1, "caption": "A dog on a sofa."}',
        captions=5,
        note="test is val2017, as in Long-CLIP and FG-CLIP (not Karpathy's 5K of val2014): the "
        "first five captions of each picture by annotation number.",
        hub=Hub("clip-benchmark/wds_mscoco_captions2017", _WEB_CAPTIONS, _FIRST_SPLIT),
    ),
    Benchmark(
        name="fgovd",
        task="regions",
        title="FG-OVD",
        source="https://github.com/lorebianchi98/FG-OVD",
        licence="website CC BY-SA 4.0; data not checked",
        size=f"{_NOT_CHECKED}; photos: COCO's train2017 and val2017",
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
        note="Classification among its own 200 classes, named as in its README.txt.",
        hub=Hub("cais/imagenet-o", Fixed({"image": "image", "label": "label"}), _FIRST_SPLIT),
    ),
    Benchmark(
        name="cifar10",
        task="classes",
        title="CIFAR-10",
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        licence="none known",
        size=_NOT_CHECKED,
        splits=Fixed({"test": 10000}),
        folder="cifar",
        layout="cifar-10-batches-py/test_batch, batches.meta    (the archive's files, unchanged)",
        hub=Hub("uoft-cs/cifar10", Fixed({"image": "img", "label": "label"}), _FIRST_SPLIT),
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
        hub=Hub("uoft-cs/cifar100", Fixed({"image": "img", "label": "fine_label"}), _FIRST_SPLIT),
    ),
    Benchmark(
        name="sharegpt4v",
        task="captions",
        title="ShareGPT4V, 1.2M captions",
        source="https://huggingface.co/datasets/Lin-Chen/ShareGPT4V",
        licence="CC BY-NC 4.0, and OpenAI's terms of use",
        size=_NOT_CHECKED,
        splits=Fixed({"train": 0, "test": HELD_OUT}),
        folder="sharegpt4v",
        layout=_SHAREGPT4V_LAYOUT,
        example=_TURNS_ROW,
        captions=1,
        note="train is every row from row 1,000 on; test is SV-1k. The caption is the second turn.",
        hub=Hub(
            "Lin-Chen/ShareGPT4V",
            Fixed({"picture": "image", "captions": "conversations"}),
            Fixed({"train": "train", "test": "train"}),
            config="ShareGPT4V-PT",
            note="captions only; the pictures come from COCO, LLaVA and SAM",
        ),
    ),
    Benchmark(
        name="pairs",
        task="captions",
        title="pairs of your own",
        source="yours",
        licence="yours",
        size="any",
        splits=Fixed({"train": 0, "test": 0}),
        folder="pairs",
        layout="TABLE.jsonl, .json, .csv, .tsv or .parquet with the columns image and caption, or\n"
        "a folder with metadata.jsonl (.json, .csv, .tsv, .parquet), or\n"
        "a folder of pictures, where x.txt is the caption of x.jpg",
        example=_PAIR_ROW,
        note="Pictures are named relative to the table's folder.",
    ),
)
BENCHMARKS: dict[str, Benchmark] = {benchmark.name: benchmark for benchmark in _ALL}
TRAINABLE = tuple(name for name, benchmark in BENCHMARKS.items() if "train" in benchmark.splits)
