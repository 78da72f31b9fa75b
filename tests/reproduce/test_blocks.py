"""Tables of results: what a cell shows is what its record holds."""

import pytest

from bclip_core.records.files import read_json, write_json
from bclip_core.records.results import load_result
from bclip_core.reproduce import blocks, length_blocks
from bclip_core.studies import curves
from bclip_core.studies.papers import MULCLIP_ABLATION


def cells(table: str) -> list[list[str]]:
    """Rows of a Markdown table, the rule left out."""
    lines = [line for line in table.splitlines() if line]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if not set(row[0]) <= {"-"}]


def committed(name: str) -> dict:
    return load_result(name, "cpu", reference=True)["values"]


def test_the_front_table_has_the_main_methods_at_the_length_of_comparison():
    header, chance, *rows = cells(length_blocks.front_block())
    assert [row[0] for row in rows] == list(curves.IN_FRONT)
    assert header[1:] == ["seeds", *curves.COLUMNS]
    assert chance[header.index("hard")] == f"{100 / 11:.1f}"  # one true description in eleven
    runs = committed("curves")["mulclip"][str(curves.AT_LENGTH)].values()
    mean = sum(run["metrics"]["regions/dense/medium"]["mean"] for run in runs) / len(runs)
    assert rows[3][1] == str(len(runs))
    assert rows[3][header.index("medium")].startswith(f"{100 * mean:.1f} ±")
    assert rows[3][header.index("pointing, attention")] == "–"


def test_what_a_machine_changes_is_the_mean_difference_of_the_runs_made_twice():
    header, machine, seed = cells(length_blocks.BLOCKS["curves_twice"]())
    here, there = committed("curves"), committed("curves_elsewhere")
    metric, gaps = curves.COLUMNS["long → image"], []
    for name, length, number, one in curves.flat(there):
        other = here[name][str(length)][str(number)]
        assert one["run"] == other["run"]
        gaps.append(one["metrics"][metric]["mean"] - other["metrics"][metric]["mean"])
    assert int(machine[1]) == len(gaps) >= 10
    mean = sum(map(abs, gaps)) / len(gaps)
    assert machine[header.index("long → image")] == f"{100 * mean:.1f}"
    assert int(seed[1]) >= len(gaps)


def test_tables_of_methods_together_show_every_measure_once():
    columns = [*blocks.RETRIEVAL.values(), *blocks.DETAILS.values()]
    assert sorted(columns) == sorted(blocks.COMPARED.values())
    columns = [*blocks.LEAK_RETRIEVAL.values(), *blocks.LEAK_DETAILS.values()]
    assert sorted(columns) == sorted(blocks.HONEST.values())


def test_gains_are_differences_of_the_same_seeds():
    header, *rows = cells(blocks.BLOCKS["gains_details"]())
    values = committed("methods")
    gaps = [
        mine["regions/dense/hard"]["mean"] - theirs["regions/dense/hard"]["mean"]
        for mine, theirs in zip(
            values["flair-value"]["metrics"], values["clip-ft"]["metrics"], strict=True
        )
    ]
    shown = next(row for row in rows if row[0] == "flair-value")[header.index("hard")]
    assert shown.rstrip("*") == f"{100 * sum(gaps) / len(gaps):+.1f}"


def test_the_ablation_of_beta_shows_the_measure_that_goes_the_other_way():
    header, *rows = cells(blocks.beta_block())
    column = header.index("pointing, patches")
    found = {row[0]: float(row[column].split()[0]) for row in rows}
    stored = committed("beta_ablation")
    for beta, metrics in zip(stored["betas"], stored["metrics"], strict=True):
        assert found[f"{beta:g}"] == pytest.approx(
            100 * metrics["grounding/cosine/pointing"]["mean"], abs=0.05
        )
    assert found["0"] > max(found["0.5"], found["1"])  # as the page says


def test_both_tables_of_the_leak_have_every_variant():
    first, second = blocks.BLOCKS["leak"]().split("\n\n")
    names = [row[0] for row in cells(first)]
    assert names == [row[0] for row in cells(second)]
    assert set(names[1:]) == set(committed("leak"))
    row = next(row for row in cells(second) if row[0] == "untrained pooler")
    assert sum(map(float, row[1:])) == pytest.approx(100, abs=0.15)  # shares of one variance


def test_mulclips_tables_say_better_and_worse_only_without_zero():
    rows = [row for row in cells(blocks.BLOCKS["mulclip_ablation"]()) if "points" not in row[0]]
    shown = [cell for row in rows for cell in row[1:]]
    assert len(shown) == 4 * len(committed("mulclip_ablation")["gaps"])
    for cell in shown:
        mean, low, high = (float(part.strip("[],")) for part in cell.split()[:3])
        verdict = "better" if low > 0 else "worse" if high < 0 else "not told"
        assert cell.endswith(verdict), cell
        assert low <= mean <= high


def test_published_numbers_stand_apart():
    _, *rows = cells(blocks.mulclip_published_block())
    assert {name: float(value) for name, value in rows} == MULCLIP_ABLATION


def test_the_search_has_a_column_for_every_pair_of_factors():
    header, *rows = cells(blocks.BLOCKS["search"]())
    found = committed("search")["methods"]
    assert {row[0] for row in rows} == set(found)
    for row in rows:
        scores = {name: float(cell) for name, cell in zip(header[2:], row[2:], strict=True) if cell}
        assert len(scores) == len(found[row[0]]["trials"])
        assert scores[row[1]] == max(scores.values())


def test_weights_are_named_where_they_are_multiplied():
    trials = [
        {"rate": 2.0, "weight": 1.0, "score": 0.5},
        {"rate": 2.0, "weight": 0.3, "score": 0.25},
    ]
    methods = {"mulclip": {"trials": trials, "chosen": trials[0]}}
    [header, row] = cells(blocks.search_table({"values": {"methods": methods}}))
    assert header == ["method", "chosen", "×2", "×2, ×0.3"]
    assert row == ["mulclip", "×2", "50.0", "25.0"]


def test_curves_are_means_over_the_seeds_that_there_are():
    header, *rows = cells(length_blocks.curves_block())
    values = committed("curves")
    assert len(rows) == sum(len(lengths) for lengths in values.values())
    row = next(row for row in rows if row[:2] == ["beta-clip-ce", "1,000"])
    points = values["beta-clip-ce"]["1000"].values()
    mean = sum(one["metrics"]["regions/dense/medium"]["mean"] for one in points) / len(points)
    assert row[header.index("medium")] == f"{100 * mean:.1f}"
    assert row[2] == str(len(points))
    plain = next(row for row in rows if row[:2] == ["clip-ft", "100"])
    assert plain[header.index("conditioned → image")] == plain[-1] == "–"


def test_what_the_page_says_of_wordings_is_in_their_record():
    header, *rows = cells(length_blocks.BLOCKS["wordings"]())
    bare, sentence = header.index("“{}”"), header.index("“The picture shows a {}.”")
    shown = {(row[0], row[1], row[header.index("map")]): row for row in rows}
    short, long = (shown["mulclip", length, "cosine"] for length in ("100", "1,000"))
    assert float(long[bare]) < 0.7 * float(short[bare])
    assert float(long[sentence]) > 0.9 * float(short[sentence])
    assert float(long[sentence]) > 1.5 * float(long[bare])
    ours = shown["beta-clip-ce-cross, one head", "1,000", "attention"]
    assert float(ours[bare]) == max(map(float, ours[bare : sentence + 1]))
    kept = committed("wordings")["mulclip"]["1000"]["0"]
    assert long[sentence] == f"{100 * kept['cosine/The picture shows a {}.']:.1f}"


def test_a_shipped_model_of_one_stage_has_one_column(tmp_path, monkeypatch):
    file = blocks.SHIPPED[blocks.TUNED]
    record = read_json(file.with_suffix(".json"))
    del record["before"]
    place = tmp_path / file.name
    place.write_bytes(b"weights")
    write_json(place.with_suffix(".json"), record)
    both = cells(blocks.tuned_block().partition("\n\n")[2])
    monkeypatch.setitem(blocks.SHIPPED, blocks.TUNED, place)
    one = cells(blocks.tuned_block().partition("\n\n")[2])
    assert both[0] == ["%", "shipped β-CLIP", "after its first stage", "chance"]
    assert one == [[row[0], row[1], row[-1]] for row in both]
