"""The notebooks' parameters: what is refused, what is changed, and how its results are called."""

import pytest
from matplotlib.figure import Figure

from bclip_core import plotting
from bclip_core.config import PROFILES, ConfigError, get_profile
from bclip_core.data.real import photographs
from bclip_core.plotting import files
from bclip_core.records.results import load_result, save_result
from bclip_core.reproduce.notebooks import NOTEBOOKS, declared_parameters
from bclip_core.reproduce.promote import promote
from bclip_core.studies.asked import USUAL
from bclip_core.studies.experiment import begin


@pytest.fixture
def own_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def asked(number, profile="smoke", **changes):
    return begin(number, {"profile": profile, **USUAL[number], **changes})


@pytest.mark.parametrize("number", USUAL)
def test_notebooks_declare_these_parameters_with_these_usual_values(number):
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    assert declared_parameters(path) == {"profile": "smoke", **USUAL[number]}


@pytest.mark.parametrize("number", USUAL)
@pytest.mark.parametrize("profile", ["smoke", "cpu", "gpu"])
def test_usual_parameters_are_the_profile(number, profile):
    experiment = asked(number, profile)
    usual = get_profile(profile)
    assert experiment.usual
    assert experiment.name("benchmark") == "benchmark"
    for method in ("clip", "clip-ft", "beta-clip-ce", "mulclip"):
        assert experiment.sizes.run(method, seed=1) == usual.run(method, seed=1)
        assert experiment.sizes.run(method) == usual.run(method)
    assert experiment.sizes.run("beta-clip-ce", beta=0.0) == usual.run("beta-clip-ce", beta=0.0)
    assert (experiment.sizes.seeds, experiment.sizes.betas) == (usual.seeds, usual.betas)


@pytest.mark.parametrize(
    ("number", "changes", "message"),
    [
        ("04", {"methods": ["beta-clip"]}, r"methods='beta-clip': expected one of .*did you mean"),
        ("04", {"methods": []}, r"methods=\[\]: expected at least one"),
        ("04", {"methods": ["clip-ft", "clip-ft"]}, r"methods=.*: expected each name once"),
        ("04", {"methods": "clip-ft"}, r"methods='clip-ft': expected a value of type list"),
        ("04", {"steps": -1}, r"steps=-1: expected a whole number >= 0"),
        ("04", {"sentences": -2}, r"sentences=-2: expected a whole number >= 0"),
        ("04", {"seeds": [0, 0]}, r"seeds=\[0, 0\]: expected each number once"),
        ("04", {"seeds": [-1]}, r"seeds=\[-1\]: expected whole numbers >= 0"),
        ("04", {"seeds": ["a"]}, r"seeds=\['a'\]: expected whole numbers >= 0"),
        ("04", {"data_set": "urban1k"}, r"data_set='urban1k': expected one of scenes, docci, coco"),
        ("04", {"root": "/no/such"}, r"root='/no/such': expected a folder or a table"),
        ("04", {"root": "/tmp"}, r"root='/tmp': expected none, scenes are made and not read"),
        ("04", {"weights": "no/such.pt"}, r"weights='no/such.pt': "),
        ("04", {"settings": ["loss.beta"]}, r"settings='loss.beta': expected PART.FIELD=VALUE"),
        ("04", {"settings": ["loss.betta=1"]}, r"betta"),
        ("04", {"settings": ["loss.beta=7"]}, r"beta=7.*: expected a number in \[0, 1\]"),
        ("04", {"settings": ["loss.word_weight=2"]}, r"settings='loss.word_weight=2': expected one "
         r"that is read by clip-ft, beta-clip-ce"),
        ("04", {"settings": ["train.seed=3"]}, r"settings='train.seed=3': expected seeds to say"),
        ("05", {"settings": ["loss.beta=0"]}, r"settings='loss.beta=0': expected betas to say it"),
        ("05", {"method": "clip-ft"}, r"method='clip-ft': expected a method that reads β: beta-cl"),
        ("05", {"betas": [0.5, 1.5]}, r"betas=\[0.5, 1.5\]: expected numbers in \[0, 1\]"),
        ("06", {"pictures_shown": 0}, r"pictures_shown=0: expected a whole number >= 1"),
        ("07", {"methods": ["clip"], "repeated": ["flair"]}, r"repeated=.*: expected some"),
        ("12", {"row": -1}, r"row=-1: expected a whole number >= 0"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_by_name_and_value(number, changes, message):
    with pytest.raises(ConfigError, match=message):
        asked(number, **changes)


def test_counts_that_the_data_do_not_have_are_refused():
    experiment = asked("06", pictures_shown=101)
    with pytest.raises(ConfigError, match=r"pictures_shown=101: expected 1 to 100, as there are"):
        experiment.rows_shown("pictures_shown", experiment.data())
    with pytest.raises(ConfigError, match=r"row=8: expected 0 to 7"):
        asked("12", row=8).row("row", range(8))
    with pytest.raises(ConfigError, match=r"methods=\['clip'\]: expected one that pools"):
        asked("06", methods=["clip"]).pooled()
    assert asked("06", methods=["flair", "clip"]).pooled() == "flair"


def test_a_setting_reaches_the_methods_that_read_it_and_no_other():
    given = {"settings": ["loss.beta=0.25", "train.lr=1e-4"], "steps": 3, "phrases": 2}
    sizes = asked("04", **given).sizes
    pooled, plain = sizes.run("beta-clip-ce"), sizes.run("clip-ft")
    assert (pooled.loss.beta, plain.loss.beta) == (0.25, 0.5)
    assert (pooled.train.lr, plain.train.lr) == (1e-4, 1e-4)
    assert (pooled.train.steps, pooled.texts.phrases) == (3, 2)
    assert sizes.run("beta-clip-ce", beta=0.25) == pooled


@pytest.mark.parametrize("changes", [{"methods": ["clip", "clip-ft"]}, {"steps": 3},
                                     {"seeds": [4]}, {"data_set": "photographs"}])  # fmt: skip
def test_a_changed_run_never_writes_over_the_committed_one(changes, own_runs, layouts, capsys):
    experiment = asked("07", "cpu", **changes)
    assert experiment.name("benchmark") != "benchmark"
    save_result("benchmark", "cpu", {"kept": True})
    experiment.save("benchmark", {"kept": False})
    assert load_result("benchmark", "cpu")["values"] == {"kept": True}
    assert experiment.load("benchmark")["values"] == {"kept": False}
    figures = own_runs / "figures"
    experiment.publish(Figure(), "benchmark", {"a": 1})
    assert not (figures / "benchmark.png").exists()
    (written,) = (figures / "changed").glob("*.png")
    assert written.stem == f"{experiment.name('benchmark')}_cpu"
    other = asked("07", "cpu", **{**changes, "settings": ["train.lr=1e-3"]})
    assert other.name("benchmark") != experiment.name("benchmark")


def test_promote_takes_no_changed_run(own_runs, tmp_path, monkeypatch):
    reference = tmp_path / "reference"
    monkeypatch.setattr("bclip_core.records.results.REFERENCE_FOLDER", reference)
    asked("07", "cpu", steps=3).save("benchmark", {})
    with pytest.raises(FileNotFoundError, match="no results of profile 'cpu'"):
        promote("cpu")
    asked("07", "cpu").save("benchmark", {})
    assert [path.name for path in promote("cpu")] == ["benchmark__cpu.json"]


def test_photographs_and_weights_go_into_every_run(layouts):
    experiment = asked("04", data_set="pairs", root=str(layouts / "pairs"), weights="random")
    config = experiment.sizes.run("beta-clip-ce")
    assert (config.data.name, config.data.folder) == ("pairs", str(layouts / "pairs"))
    assert config.train.batch_size == len(photographs.photographs()), "as many as there are"
    assert config.backbone.pretrained == ""
    assert not experiment.scenes
    assert "no masks" in experiment.about()
    assert len(experiment.data()) == len(photographs.photographs())
    config = asked("04", weights="scenes").sizes.run("clip-ft")
    assert (config.backbone.pretrained, config.backbone.context_length) == ("scenes", 248)


def test_a_profile_of_photographs_publishes_no_committed_figure(own_runs, monkeypatch):
    base = get_profile("smoke")
    data = base.base.data.replace(name="pairs")
    photos = type(base)(**{**vars(base), "name": "photos-x", "base": base.base.replace(data=data)})
    monkeypatch.setitem(PROFILES, "photos-x", photos)
    plotting.publish(Figure(), "benchmark", {}, "photos-x")
    assert (own_runs / "figures" / "photos-x" / "benchmark.png").is_file()
    assert files.FIGURES not in (own_runs / "figures").parents


@pytest.mark.parametrize(
    ("number", "given", "message"),
    [
        ("00", {"picture": "/nonexistent.jpg"}, "picture='/nonexistent.jpg': expected a picture"),
        ("11", {"picture": " "}, "picture=' ': expected a picture file, or a folder"),
        ("00", {"profile": 3}, "profile=3: expected one of smoke"),
        ("04", {"methods": ["clip"]}, "methods=.'clip'.: expected one that trains"),
        ("04", {"settings": ["train.lr=1", "train.lr=2"]}, "expected train.lr once"),
        ("04", {"settings": ["loss.extra.a.b=3"]}, "loss.extra.a.b"),
        ("04", {"weights": " "}, "weights=' ': ' ': expected a file, a folder, a tag"),
        ("04", {"weights": "~nobody_at_all/x"}, "weights='~nobody_at_all/x'"),
        ("07", {"data_set": "pairs", "root": "~nobody_at_all/x"}, "root='~nobody_at_all/x'"),
        ("13", {"variants": ["own", "own"]}, "expected a list of texts, each once"),
        ("15", {"variants": [" "]}, "expected a list of texts"),
    ],
)
def test_more_values_that_cannot_be_are_refused_before_any_work(number, given, message):
    parameters = {"profile": "smoke", **USUAL[number], **given}
    with pytest.raises(ConfigError, match=message):
        begin(number, parameters)
