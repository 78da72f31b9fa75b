"""Tables of speed: ratios are of the measurements beside them."""

import pytest

from bclip_core.records.files import read_json, write_json
from bclip_core.records.results import REFERENCE_FOLDER
from bclip_core.reproduce import speed_blocks


def cells(table: str) -> list[list[str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [row for row in lines[2:] if row]


def test_times_faster_and_less_are_ratios_of_the_measurements():
    rows = read_json(REFERENCE_FOLDER / "benchmark_beta_cal.json")["rows"]
    found = {(r["form"], r["images"], r["version"]): r for r in rows}
    seconds, memory = map(cells, speed_blocks.loss_cost_block().split("\n\n"))
    plain, ours = found["bce", 128, "equations"], found["bce", 128, "streamed"]
    shown = next(row for row in seconds if row[:2] == ["BCE", "128"])
    assert shown[2:5] == [
        f"{plain['cpu_seconds']:.3f}",
        f"{ours['cpu_seconds']:.3f}",
        f"{plain['cpu_seconds'] / ours['cpu_seconds']:.1f}",
    ]
    less = next(row for row in memory if row[:2] == ["BCE", "128"])[-1]
    assert less == f"{plain['peak_megabytes'] / ours['peak_megabytes']:.1f}"
    largest = next(row for row in seconds if row[:2] == ["CE", "512"])
    assert largest[2] == largest[4] == ""  # the equations do not fit there, so there is no ratio
    assert [row[0] for row in seconds] == sorted((row[0] for row in seconds), reverse=True)


def test_padding_of_real_captions_is_said():
    seconds, memory = map(cells, speed_blocks.loss_real_block().split("\n\n"))
    real = read_json(REFERENCE_FOLDER / "benchmark_beta_cal.json")["real"]
    assert {row[0] for row in seconds} == set(real)
    assert [row[:3] for row in seconds] == [row[:3] for row in memory]
    filled = next(r["filled"] for r in real["DOCCI"] if r["version"] == "streamed")
    assert next(row[1] for row in seconds if row[0] == "DOCCI") == f"{filled:.0%}"


def test_shared_rows_are_compared_with_all_of_them():
    ranks = read_json(REFERENCE_FOLDER / "benchmark_beta_cal.json")["ranks"]
    rows = cells(speed_blocks.loss_ranks_block())
    assert [row[0] for row in rows] == ["CE", "BCE"]
    assert float(rows[0][3]) == pytest.approx(
        ranks["ce"]["whole"] / ranks["ce"]["shared"], abs=0.05
    )


def test_settings_are_relative_to_the_shipped_ones():
    rows = read_json(REFERENCE_FOLDER / "benchmark_training_settings.json")["rows"]
    shown = cells(speed_blocks.settings_block())
    assert [row[0] for row in shown] == [row["setting"] for row in rows]
    assert shown[0][2] == "1.00"
    ratio = rows[2]["seconds_per_update"] / rows[0]["seconds_per_update"]
    assert shown[2][2] == f"{ratio:.2f}"


def test_the_whole_step_is_relative_to_the_first_version(tmp_path, monkeypatch):
    monkeypatch.setattr(speed_blocks, "REFERENCE_FOLDER", tmp_path)
    assert speed_blocks.whole_step_block() == "Not measured yet: `python -m benchmarks.whole_step`."
    rows = [
        {"version": name, "seconds_per_update": seconds, "peak_megabytes": 1024.0 * gigabytes,
         "loss_difference": apart, "finite_check_seconds": 0.1, "load": [load, 2.0]}
        for name, seconds, gigabytes, apart, load in (("theirs", 20.0, 5, 0.0, 1.5),
                                                      ("ours", 8.0, 4, 2.5e-4, 3.0))
    ]  # fmt: skip
    settings = {"turns": 2, "source": "the sample photographs"}
    write_json(tmp_path / "benchmark_whole_step.json", {"rows": rows, "settings": settings})
    text = speed_blocks.whole_step_block()
    assert cells(text.split("\n\n")[0]) == [
        ["theirs", "20.0", "1.00", "5.0 GiB", "0"],
        ["ours", "8.0", "2.50", "4.0 GiB", "2.5e-04"],
    ]
    assert "2 turns, the sample photographs; load of the machine meanwhile 1.5 to 3.0." in text


def test_positions_are_those_of_one_image():
    record = read_json(REFERENCE_FOLDER / "benchmark_text_once.json")
    found = record["positions_per_batch"]["DOCCI"]["padded"] / record["settings"]["images"]
    row = next(row for row in cells(speed_blocks.text_cost_block()) if row[0] == "DOCCI")
    assert row[1] == f"{found:,.0f}"
    assert row[-1] == f"{record['steps']['DOCCI']['times_faster']:.2f}"


def test_the_explorers_times_are_in_words_and_many_models_come_last(tmp_path, monkeypatch):
    record = read_json(REFERENCE_FOLDER / "benchmark_explorer.json")
    one = {"median": 0.0444, "longest": 0.5, "median_processor": 0.04}
    only_two = {name: value for name, value in record["values"].items() if ": " not in name}
    monkeypatch.setattr(speed_blocks, "REFERENCE_FOLDER", tmp_path)
    path = tmp_path / "benchmark_explorer.json"
    write_json(path, {**record, "values": {"8 models: text": one, **only_two}})
    table, machine = speed_blocks.explorer_block().split("\n\n")
    rows = cells(table)
    assert [row[1] for row in rows] == ["2"] * len(only_two) + ["8"]
    assert rows[0][0] == "another text"
    assert rows[-1] == ["another text", "8", "0.044", "0.500", "0.040"]
    assert record["machine"]["processor"] in machine
    write_json(path, {**record, "values": only_two})
    assert "Not measured in this record" in speed_blocks.explorer_block()
