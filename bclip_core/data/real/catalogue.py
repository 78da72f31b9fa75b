"""The data sets of the two papers, and one's own.

Addresses, licences and sizes are as their sources state them (read in stored copies of
those pages; nothing was downloaded here). `tests/data/manifests.json` has the splits that were
counted in the real files.
"""

from __future__ import annotations

from types import MappingProxyType as Fixed

from bclip_core.data.real.catalogue_objects import OBJECTS
from bclip_core.data.real.locate import HELD_OUT
from bclip_core.data.real.record import NOT_CHECKED, Benchmark, Hub

_WEB_CAPTIONS = Fixed({"id": "__key__", "image": "jpg", "captions": "txt"})
_TEST = Fixed({"test": "test"})
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

_CAPTIONS = (
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
        size=NOT_CHECKED,
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
        size=f"{NOT_CHECKED}; photos: SA-1B's sa_000138.tar alone",
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
        size=NOT_CHECKED,
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
        licence=NOT_CHECKED,
        size=NOT_CHECKED,
        splits=Fixed({"test": 1000, "validation": 1014}),
        folder="flickr30k",
        layout="flickr30k_test.json, flickr30k_val.json (FLAIR's lists; or instead:)\n"
        "dataset_flickr30k.json (Karpathy's)\nflickr30k-images/*.jpg",
        example='{"image": "flickr30k-images/1.jpg", "caption": ["A dog.", "A brown dog."]}',
        captions=5,
        note="Five captions per picture; the 1K test is Karpathy's split.",
        hub=Hub("clip-benchmark/wds_flickr30k", _WEB_CAPTIONS, _TEST),
    ),
    Benchmark(
        name="coco",
        task="captions",
        title="COCO captions 2017",
        source="https://cocodataset.org/#download",
        licence="annotations CC BY 4.0; photos as Flickr's users licensed them",
        size=NOT_CHECKED,
        splits=Fixed({"test": 5000, "train": 0}),
        folder="coco",
        layout="annotations/captions_val2017.json, captions_train2017.json\nval2017/*.jpg\n"
        "train2017/*.jpg",
        example='{"image_id": 139, "id": 1, "caption": "A dog on a sofa."}',
        captions=5,
        note="test is val2017, as in Long-CLIP and FG-CLIP (not Karpathy's 5K of val2014): the "
        "first five captions of each picture by annotation number.",
        hub=Hub("clip-benchmark/wds_mscoco_captions2017", _WEB_CAPTIONS, _TEST),
    ),
)
_TRAINING = (
    Benchmark(
        name="sharegpt4v",
        task="captions",
        title="ShareGPT4V, 1.2M captions",
        source="https://huggingface.co/datasets/Lin-Chen/ShareGPT4V",
        licence="CC BY-NC 4.0, and OpenAI's terms of use",
        size=NOT_CHECKED,
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
BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark for benchmark in (*_CAPTIONS, *OBJECTS, *_TRAINING)
}
TRAINABLE = tuple(name for name, benchmark in BENCHMARKS.items() if "train" in benchmark.splits)
