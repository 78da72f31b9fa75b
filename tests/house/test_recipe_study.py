"""Add a study: variants and columns in one place; runs, record and table follow from them."""

import dataclasses

from bclip_core.config import get_profile
from bclip_core.evaluation import region_metric, retrieval_metric
from bclip_core.records.markdown import aligned_markdown
from bclip_core.records.results import load_result, save_result
from bclip_core.studies.tables import comparison_rows, gain_rows, in_order, summaries
from bclip_core.studies.variants import Variant, entry, obtain_variants

VARIANTS = {
    "whole": Variant("beta-clip-ce", "as it is"),
    "without relatives": Variant("beta-clip-ce", "other texts are negatives", loss={"beta": 0.0}),
}
COLUMNS = {"→ image": retrieval_metric("global"), "regions": region_metric("hard")}


def table(record) -> str:
    """What a page shows of the record: a block of `reproduce`."""
    values = in_order(record["values"], VARIANTS)
    return aligned_markdown(comparison_rows(summaries(values), COLUMNS))


def test_a_toy_study_gets_its_table(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    train = tiny_config.train.replace(steps=1, checkpoint_every=0)
    base = tiny_config.replace(train=train)
    profile = dataclasses.replace(get_profile("smoke"), base=base, seeds=(0, 1))
    configs = {name: variant.configs(profile) for name, variant in VARIANTS.items()}
    assert configs["without relatives"][1] == configs["whole"][1].replace(
        loss=base.loss.replace(beta=0.0)
    )
    runs = obtain_variants(configs, progress=False)
    save_result("toy", "smoke", {name: entry(own) for name, own in runs.items()})

    record = load_result("toy", "smoke")
    header, _, chance, whole, without = table(record).splitlines()
    assert header.split("|")[1:-1] == [f" {'%':17} ", *(f" {t:>{w}} " for t, w in _widths(whole))]
    assert [line.split("|")[1].strip() for line in (chance, whole, without)] == [
        "chance", *VARIANTS
    ]  # fmt: skip
    seen = [runs["whole"][seed].metrics()[COLUMNS["→ image"]]["mean"] for seed in (0, 1)]
    assert whole.split("|")[2].strip().startswith(f"{50 * sum(seen):.1f}")
    rows = gain_rows(record["values"], "whole", COLUMNS)
    assert rows[0] == ["points against whole", *COLUMNS]
    assert [row[0] for row in rows[1:]] == ["without relatives"]


def _widths(line: str):
    return zip(COLUMNS, (len(cell) - 2 for cell in line.split("|")[2:-1]), strict=True)
