"""MulCLIP's figures: what is drawn is what was given, in the right block."""

import numpy as np
import pytest

from bclip_core import plotting
from bclip_core.evaluation.maps import TextMap
from bclip_core.plotting.heat import enlarged, overlaid, palette
from bclip_core.studies.mulclip.ablation import METRICS, VARIANTS
from bclip_core.studies.mulclip.figure import mulclip_ablation, mulclip_levels
from bclip_core.studies.mulclip.maps import Levels

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
LONG = "a sentence of so many words that three short lines of a title cannot hold all of it at once"


def text_map(text: str, hit: bool | None = None) -> TextMap:
    heat = np.arange(256.0).reshape(16, 16)
    return TextMap(text, heat, (8.0, 4.0, 4.0, 4.0), "2 × even", hit=hit)


def levels(tokens: int = 3) -> Levels:
    eye = np.eye(4)
    first, second = np.full((tokens, tokens), 1 / tokens), np.eye(tokens)
    return Levels(
        PICTURE, eye, -eye, [text_map("red", True), text_map(LONG, False)],
        [text_map(f"token {n}") for n in range(tokens)], [f"$word {n}" for n in range(tokens)],
        [1.0] * tokens, first, second,
    )  # fmt: skip


def images(figure):
    return [panel.images[-1].get_array() for panel in figure.findobj(plotting_axes) if panel.images]


def plotting_axes(artist) -> bool:
    return hasattr(artist, "get_xlabel") and hasattr(artist, "images")


def titles(figure) -> list[str]:
    return [panel.get_title() for panel in figure.findobj(plotting_axes)]


def test_every_level_is_drawn_once_and_alone_when_asked():
    drawn = levels()
    whole = mulclip_levels(drawn)
    parts = [mulclip_levels(drawn, [name]) for name in ("global", "sentence", "word")]
    assert len(whole.subfigs) == 4
    assert [len(part.subfigs) for part in parts] == [1, 1, 1]
    tall, short = whole.get_figheight(), sum(part.get_figheight() for part in parts)
    assert tall > short
    plotting.png(whole, 40)  # dollar signs are no mathematics


def test_matrices_are_cosines_and_multiples_of_even_shares():
    drawn = levels()
    _, long, short = images(mulclip_levels(drawn, ["global"]))[:3]
    np.testing.assert_array_equal(long, np.eye(4))
    np.testing.assert_array_equal(short, -np.eye(4))
    figure = mulclip_levels(drawn, ["rebuilt"])
    from_words, from_patches = images(figure)[:2]
    np.testing.assert_allclose(from_words, np.ones((3, 3)))
    np.testing.assert_allclose(from_patches, 3 * np.eye(3))
    panels = [p for p in figure.findobj(plotting_axes) if p.get_title()]
    labels = [tick.get_text() for tick in panels[0].get_xticklabels()]
    assert labels == drawn.word_tokens == [t.get_text() for t in panels[1].get_yticklabels()]


def test_maps_stand_with_their_sentences_and_tokens():
    figure = mulclip_levels(levels(), ["sentence"])
    named = [" ".join(title.split()) for title in titles(figure) if title]
    assert named[0] == "red (2 × even, hit)"
    assert named[1].startswith("a sentence of so many")
    assert named[1].endswith("… (2 × even, miss)"), "a cut text says so"
    slots = mulclip_levels(levels(7), ["word"])
    assert [title.split("\n")[0] for title in titles(slots) if title] == [
        f"token {n}" for n in range(7)
    ]


@pytest.mark.parametrize("asked", [[], ["global", "phrase"]])
def test_unknown_levels_are_refused(asked):
    with pytest.raises(ValueError, match="expected some of global, sentence, word, rebuilt"):
        mulclip_levels(levels(), asked)


def gaps() -> dict[str, dict[str, dict[str, float]]]:
    wanted = [name for name in VARIANTS if name != "full"]
    means = {name: -0.01 * number for number, name in enumerate(wanted)}
    return {
        name: {title: {"mean": mean, "low": mean - 0.02, "high": 0.03} for title in METRICS}
        for name, mean in means.items()
    }


def test_published_and_own_gaps_stand_in_panels_apart():
    published = {"full": 76.0, "global only": 73.5}
    figure = mulclip_ablation(gaps(), published, "the paper")
    first, *panels = figure.axes
    assert [panel.get_title().replace("\n", " ") for panel in panels] == list(METRICS)
    assert first.get_title() == "the paper"
    crosses = [line.get_xydata().tolist() for line in first.lines if line.get_marker() == "x"]
    assert crosses == [[[-2.5, 0]]]
    assert sum("not published" in text.get_text() for text in first.texts) == len(VARIANTS) - 2
    for panel in panels:
        places = [bar[0].get_xydata()[0] for bar in panel.containers]
        np.testing.assert_allclose(places, [(-n, n) for n in range(len(VARIANTS) - 1)])
        (reach,) = panel.containers[2][2][0].get_segments()
        np.testing.assert_allclose(reach[:, 0], [-4, 3])


def test_colours_and_markers_of_gaps_are_their_verdicts_and_panels_share_a_range():
    found = gaps()
    title = next(iter(METRICS))
    found["global only"][title] = {"mean": -0.3, "low": -0.4, "high": -0.2}
    found["without words"][title] = {"mean": 0.3, "low": 0.2, "high": 0.4}
    figure = mulclip_ablation(found, {"full": 76.0})
    first, panel, *others = figure.axes
    looks = [(bar[0].get_color(), bar[0].get_marker()) for bar in panel.containers]
    worse, level, better = (looks[list(found).index(name)] for name in
                            ("global only", "batch-wise words", "without words"))  # fmt: skip
    assert len({worse, level, better}) == 3
    assert looks.count(level) == len(found) - 2
    assert len({each.get_xlim() for each in figure.axes}) == 1
    assert [text.get_text() for text in panel.texts][:2] == ["-30.0", "-1.0"]
    assert first.get_xlim()[1] > 40


def test_maps_let_the_picture_be_seen_where_they_are_cold():
    figure = mulclip_levels(levels(), ["sentence"])
    drawn = figure.findobj(plotting_axes)[1].images[0].get_array()
    first = levels().sentences[0]
    expected = np.asarray(overlaid(PICTURE, first, 0.9, side=384, fading=True))
    np.testing.assert_array_equal(drawn, expected)
    grey = np.asarray(enlarged(PICTURE, 384).convert("L")).astype(int)
    assert np.abs(drawn[0, 0].astype(int) - grey[0, 0]).max() <= 1  # cold: the picture is bare
    assert np.abs(drawn[-1, -1].astype(int) - palette()[255]).max() <= 26  # hot: nine tenths
    words = mulclip_levels(levels(), ["word"])
    tokens = [p.images[0].get_array() for p in words.findobj(plotting_axes) if p.images][:3]
    expected = overlaid(PICTURE, first._replace(hit=None), 0.6, side=384, limits=(0.0, 255.0),
                        fading=True)  # fmt: skip
    for token in tokens:
        np.testing.assert_array_equal(token, np.asarray(expected))


def test_an_ablation_without_its_reference_is_refused():
    with pytest.raises(ValueError, match="a published value of 'full'"):
        mulclip_ablation(gaps(), {"global only": 73.5})
    with pytest.raises(ValueError, match=r"variants \[\]"):
        mulclip_ablation({}, {"full": 1.0})
