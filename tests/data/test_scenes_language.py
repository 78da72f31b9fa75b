"""Every text is read back by a checker that shares nothing with the grammar but its word lists."""

import itertools
import re

import pytest
from open_clip.tokenizer import SimpleTokenizer

from bclip_core.data.scenes import (
    DIFFICULTIES,
    Scene,
    SceneObject,
    get_difficulty,
    sample_scenes,
    write_texts,
)

SIZES = {"small": "small", "tiny": "small", "little": "small", "medium": "medium"}
SIZES |= {"large": "large", "big": "large", "huge": "large"}
PATTERNS = {"solid": "solid", "plain": "solid", "striped": "striped", "dotted": "dotted"}
PATTERNS |= {"spotted": "dotted", "checkered": "checkered", "checked": "checkered"}
COLOURS = "red green blue yellow purple orange pink cyan".split()
SHAPES = {s: s for s in "circle square triangle star cross heart diamond ring arrow".split()}
SHAPES |= {"disc": "circle", "plus": "cross", "crescent": "crescent", "moon": "crescent"}
RELATIONS = {"to the left of": "left", "left of": "left", "to the right of": "right"}
RELATIONS |= {"right of": "right", "above": "above", "below": "below", "under": "below"}
PLACES = {
    "upper left": "left top",
    "top left corner": "left top",
    "upper right": "right top",
    "top right corner": "right top",
    "lower left": "left bottom",
    "bottom left corner": "left bottom",
    "lower right": "right bottom",
    "bottom right corner": "right bottom",
    "middle": "middle",
    "centre": "middle",
    "left side": "left",
    "right side": "right",
    "top": "top",
    "bottom": "bottom",
}
COUNTS = ["zero", "one", "two", "three", "four", "five", "six"]

ONE_OF = {
    "size": "|".join(SIZES),
    "pattern": "|".join(PATTERNS),
    "colour": "|".join(COLOURS),
    "shape": "|".join(SHAPES),
}
EDGE = "(?:border|outline|edge)"
NOUN = re.compile(
    rf"\b(?:(?P<size>{ONE_OF['size']}) )?(?:(?P<pattern>{ONE_OF['pattern']}) )?"
    rf"(?:(?P<colour>{ONE_OF['colour']}) )?(?P<shape>{ONE_OF['shape']})\b"
    rf"(?: with an? (?P<border>white|black|pink|cyan) {EDGE}"
    rf"| (?P<none>with no|without an?) {EDGE})?"
)
PLACE = re.compile(rf"\b(?:in|at|on) the ({'|'.join(sorted(PLACES, key=len, reverse=True))})\b")
RELATION = re.compile(rf"\b({'|'.join(sorted(RELATIONS, key=len, reverse=True))})\b")
PREDICATE = re.compile(
    rf"^a NOUN(?: PLACE)?(?: is (?P<adjectives>\w+(?: and (?!has)\w+)*))?"
    rf"(?: (?:and )?has (?:a (?P<border>\w+)|(?P<none>no)) {EDGE})?$"
)
ONE_OBJECT = {
    "a NOUN",
    "a NOUN PLACE",
    "a NOUN is PLACE",
    "PLACE there is a NOUN",
    "a NOUN can be seen PLACE",
    "a NOUN can be seen",
    "PLACE we see a NOUN",
    "there is a NOUN in the PICTURE",
    "the PICTURE has a NOUN",
}


class Reading:
    """A text split into noun phrases, place, relation and the skeleton that is left."""

    def __init__(self, text: str) -> None:
        text = text.lower().removesuffix(".")
        self.nouns = [_wanted(match) for match in NOUN.finditer(text)]
        for match in re.finditer(r"\b(an?) (\w)", text):
            assert (match[1] == "an") == (match[2] in "aeiou"), text
        text = re.sub(r"\ban\b", "a", NOUN.sub("NOUN", text))
        place, relation = PLACE.search(text), RELATION.search(PLACE.sub("PLACE", text))
        self.place = PLACES[place[1]].split() if place else []
        self.relation = RELATIONS[relation[1]] if relation else ""
        text = RELATION.sub("RELATION", PLACE.sub("PLACE", text))
        self.skeleton = re.sub(r"\b(picture|image|scene)\b", "PICTURE", text)

    def fits(self, item: SceneObject, noun: int = 0) -> bool:
        return all(getattr(item, name) == value for name, value in self.nouns[noun].items())

    def holds_place(self, item: SceneObject) -> bool:
        inside = {
            "left": item.x < 0.4,
            "right": item.x > 0.6,
            "top": item.y < 0.4,
            "bottom": item.y > 0.6,
            "middle": abs(item.x - 0.5) < 0.1 and abs(item.y - 0.5) < 0.1,
        }
        return all(inside[name] for name in self.place)

    def holds_relation(self, item: SceneObject, anchor: SceneObject) -> bool:
        right, down = item.x - anchor.x, item.y - anchor.y
        along = {"left": -right, "right": right, "above": -down, "below": down}[self.relation]
        return along >= 0.15 and along >= 0.999 * max(abs(right), abs(down))


def _wanted(match: re.Match[str]) -> dict[str, str]:
    words = {**SIZES, **PATTERNS, **SHAPES}
    wanted = {k: words.get(v, v) for k, v in match.groupdict().items() if v and k != "none"}
    return wanted | ({"border": "none"} if match["none"] else {})


def is_true(text: str, scene: Scene) -> bool:
    """Whether a sentence or short caption is true; fails on a text it cannot read."""
    reading, objects = Reading(text), scene.objects
    skeleton = reading.skeleton
    if skeleton in ONE_OBJECT:
        return any(reading.fits(o) and reading.holds_place(o) for o in objects)
    if skeleton in ("the NOUN is RELATION the NOUN", "RELATION the NOUN is the NOUN"):
        first = int(skeleton.startswith("RELATION"))
        items = [o for o in objects if reading.fits(o, first)]
        anchors = [o for o in objects if reading.fits(o, 1 - first)]
        assert len(items) == len(anchors) == 1, f"not definite: {text}"
        return reading.holds_relation(items[0], anchors[0])
    if skeleton == "a NOUN RELATION a NOUN":
        return any(
            reading.fits(a, 0) and reading.fits(b, 1) and reading.holds_relation(a, b)
            for a, b in itertools.permutations(objects, 2)
        )
    listed = re.fullmatch(r"a NOUN(?:(?:,| and) a NOUN)*(?: and (\w+) other shapes?)?", skeleton)
    if listed:
        if listed[1] and COUNTS.index(listed[1]) + len(reading.nouns) != len(objects):
            return False
        return any(
            all(reading.fits(o, i) for i, o in enumerate(chosen))
            for chosen in itertools.permutations(objects, len(reading.nouns))
        )
    counted = re.fullmatch(
        r"the PICTURE shows (\w+) \w+|there are (\w+) \w+ in the PICTURE", skeleton
    )
    if counted:
        return COUNTS.index(counted[1] or counted[2]) == len(objects)
    ground = re.fullmatch(r"the background is (.+)|all of it is on a (.+) background", skeleton)
    if ground:
        return (ground[1] or ground[2]) == scene.background.name
    return _predicate_is_true(reading, objects, text)


def _predicate_is_true(reading: Reading, objects: tuple[SceneObject, ...], text: str) -> bool:
    match = PREDICATE.match(reading.skeleton)
    assert match, f"cannot read {text!r} ({reading.skeleton!r})"
    extra: dict[str, str] = {}
    for adjective in (match["adjectives"] or "").split(" and "):
        if adjective in SIZES:
            extra["size"] = SIZES[adjective]
        elif adjective:
            extra["pattern"] = PATTERNS[adjective]
    if match["border"] or match["none"]:
        extra["border"] = match["border"] or "none"
    assert extra, text
    reading.nouns[0] |= extra
    return any(reading.fits(o) and reading.holds_place(o) for o in objects)


def phrase_objects(text: str, scene: Scene) -> list[int]:
    """The objects that a phrase is true of, by the checker."""
    reading, objects = Reading(text), scene.objects
    if reading.skeleton in ("NOUN", "NOUN PLACE"):
        return [i for i, o in enumerate(objects) if reading.fits(o) and reading.holds_place(o)]
    if reading.skeleton in ("RELATION the NOUN", "NOUN RELATION the NOUN"):
        anchors = [o for o in objects if reading.fits(o, len(reading.nouns) - 1)]
        assert len(anchors) == 1, f"not definite: {text}"
        return [
            i
            for i, o in enumerate(objects)
            if reading.holds_relation(o, anchors[0])
            and (len(reading.nouns) == 1 or reading.fits(o))
        ]
    if reading.skeleton.endswith(" background"):
        assert text.removesuffix(" background") in (scene.background.name, scene.background.colour)
        return []
    assert reading.skeleton in {f"{COUNTS[len(objects)]} {noun}" for noun in ("shapes", "objects")}
    return list(range(len(objects)))


@pytest.fixture(scope="module", params=list(DIFFICULTIES))
def scenes(request: pytest.FixtureRequest) -> list[Scene]:
    return sample_scenes(get_difficulty(request.param), 11, "train", 0, 80)


def test_every_sentence_and_short_caption_is_true(scenes):
    for scene in scenes:
        texts = write_texts(scene)
        for text in [*texts.short_captions, *(s.text for s in texts.sentences)]:
            assert is_true(text, scene), (text, scene)


def test_the_checker_rejects_texts_of_other_scenes(scenes):
    """A checker that accepts anything would make the tests above empty."""
    wrong = sum(
        is_true(write_texts(scene).short_captions[0], other)
        for scene, other in zip(scenes, scenes[1:], strict=False)
    )
    assert wrong <= 2


def test_phrases_are_linked_to_all_objects_they_are_true_of(scenes):
    for scene in scenes:
        for sentence in write_texts(scene).sentences:
            assert len({phrase.text for phrase in sentence.phrases}) == len(sentence.phrases)
            for text, linked in sentence.phrases:
                expected = [] if "background" in text else phrase_objects(text, scene)
                assert linked == expected, (text, scene)
                assert linked or "background" in text


def test_sentences_are_linked_to_their_objects(scenes):
    for scene in scenes:
        for sentence in write_texts(scene).sentences:
            reading = Reading(sentence.text)
            if not reading.nouns:
                expected = [] if "background" in sentence.text else list(range(len(scene.objects)))
                assert sentence.objects == expected
            else:
                assert len(sentence.objects) == len(reading.nouns)
                for number in sentence.objects:
                    item = scene.objects[number]
                    assert any(reading.fits(item, i) for i in range(len(reading.nouns)))


def test_every_object_has_its_sentence_and_its_full_description(scenes):
    for scene in scenes:
        sentences = write_texts(scene).sentences
        for number, item in enumerate(scene.objects):
            (own,) = [s for s in sentences if s.objects == [number]]
            wanted = {name: item.value(name) for name in scene.difficulty.varying}
            assert any(Reading(phrase.text).nouns == [wanted] for phrase in own.phrases)


def test_short_captions_speak_of_every_varying_attribute(scenes):
    told: dict[str, int] = {}
    count = 0
    for scene in scenes:
        captions = write_texts(scene).short_captions
        assert len(captions) == 5
        for noun in (noun for caption in captions for noun in Reading(caption).nouns):
            count += 1
            for name in noun:
                told[name] = told.get(name, 0) + 1
    assert set(told) == set(scenes[0].difficulty.varying)
    assert all(times > 0.4 * count for times in told.values()), told


def test_texts_fit_their_contexts(scenes):
    """Short captions fit CLIP's 77 tokens with room to spare, long ones the stretched 248."""
    tokenizer = SimpleTokenizer()
    for scene in scenes[:30]:
        texts = write_texts(scene)
        assert texts.caption == " ".join(s.text for s in texts.sentences)
        assert max(len(tokenizer.encode(text)) for text in texts.short_captions) + 2 <= 50
        assert 30 <= len(tokenizer.encode(texts.caption)) + 2 <= 180
