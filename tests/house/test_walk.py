"""A configuration's walk from the command line to the first training step stays short."""

from collections import Counter

from benchmarks.walk import from_train, of_smoke


def test_a_configuration_is_resolved_once_and_checkpoints_are_entered_once(tmp_path):
    crossings = of_smoke(str(tmp_path / "run"))
    own = from_train(crossings)
    entered = Counter[str]()
    for crossing in own:
        entered[crossing.room] += crossings[crossing]
    assert entered["model"] == entered["checkpoints"] == 1, own
    assert {c.callee for c in own if c.room in ("model", "checkpoints")} == {
        "model/methods:resolve", "checkpoints/starting:start_model",
    }  # fmt: skip
    # 31 before a plan was handed on and one function opened what a run starts from
    assert len(own) <= 21, own
