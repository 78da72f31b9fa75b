"""Pictures against an independent reference: polygons and discs counted at 16x16 points a pixel."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from bclip_core.data.scenes import (
    COLOURS,
    DIFFICULTIES,
    Background,
    Scene,
    SceneObject,
    get_difficulty,
    render_scenes,
    sample_scenes,
    visible_boxes,
)

FULL = get_difficulty("full")
PLAIN = Background("plain", "grey", 0.0, 0.0, 7)


def one_object(shape: str, **changes) -> Scene:
    values = dict(colour="red", size="large", pattern="solid", border="none")
    values |= dict(x=0.47, y=0.53, radius=0.27, angle=0.15) | changes
    return Scene(FULL, 0, "train", 0, (SceneObject(shape=shape, **values),), PLAIN)


def polygon(shape: str) -> list[tuple[float, float]]:
    turn = math.radians
    if shape == "square":
        return [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)]
    if shape == "triangle":
        return [(1.3 * math.sin(turn(a)), 1.3 * math.cos(turn(a))) for a in (0, 120, 240)]
    if shape == "star":
        radii = [1.3, 0.6] * 5
        return [
            (r * math.sin(turn(36 * i)), r * math.cos(turn(36 * i))) for i, r in enumerate(radii)
        ]
    if shape == "diamond":
        return [(0.82, 0), (0, 1.25), (-0.82, 0), (0, -1.25)]
    if shape == "arrow":
        right = [(0, 1.15), (0.98, 0), (0.36, 0), (0.36, -1.1)]
    else:
        right = [(0.4, 1.1), (0.4, 0.4), (1.1, 0.4), (1.1, -0.4), (0.4, -0.4), (0.4, -1.1)]
    return right + [(-x, y) for x, y in reversed(right)]


def inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Membership of points in unit coordinates, y upwards."""
    if shape == "circle":
        return x**2 + y**2 < 1
    if shape == "ring":
        return (x**2 + y**2 < 1.12**2) & (x**2 + y**2 > 0.44**2)
    if shape == "crescent":
        return (x**2 + y**2 < 1.12**2) & ((x - 0.85) ** 2 + y**2 > 0.95**2)
    if shape == "heart":
        s = 0.62 / math.sqrt(2)
        lobes = [(x - c) ** 2 + (y + 0.25 - s) ** 2 < 0.62**2 for c in (-s, s)]
        return (np.abs(x) + np.abs(y + 0.25) < 0.62 * math.sqrt(2)) | lobes[0] | lobes[1]
    result = np.zeros(x.shape, bool)
    corners = polygon(shape)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        if ay != by:
            crosses = ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
            result ^= crosses
    return result


def reference_coverage(scene: Scene, size: int, points: int = 16) -> np.ndarray:
    """Share of each pixel inside the object, pixel by pixel."""
    (item,) = scene.objects
    coverage = np.zeros((size, size))
    offset = (np.arange(points) + 0.5) / points
    for row in range(size):
        for column in range(size):
            right = (column + offset[None, :]) / size - item.x
            up = item.y - (row + offset[:, None]) / size
            x = (right * math.cos(item.angle) + up * math.sin(item.angle)) / item.radius
            y = (up * math.cos(item.angle) - right * math.sin(item.angle)) / item.radius
            coverage[row, column] = inside(item.shape, x, y).mean()
    return coverage


@pytest.mark.parametrize("shape", FULL.shapes)
def test_shapes_agree_with_a_supersampled_reference(shape):
    size, scene = 40, one_object(shape)
    images, instances = render_scenes([scene, dataclasses.replace(scene, objects=())], size)
    coverage = reference_coverage(scene, size)
    drawn, ground = images.numpy().astype(float)
    expected = ground + (np.array(COLOURS["red"]) - ground) * coverage[..., None]
    difference = np.abs(drawn - expected).max(-1)
    edge = (coverage > 0) & (coverage < 1)
    assert difference[~edge].max() <= 40  # only beside edges: the ramp is one pixel wide
    assert difference[edge].mean() <= 16
    assert difference.mean() <= 2
    clear = np.abs(coverage - 0.5) > 0.3
    assert (((instances[0].numpy() == 1) == (coverage > 0.5)) | ~clear).all()


def test_edges_are_anti_aliased():
    scene = one_object("circle")
    images, _ = render_scenes([scene, dataclasses.replace(scene, objects=())], 64)
    share = (images[0, :, :, 1].float() - images[1, :, :, 1]) / (
        COLOURS["red"][1] - images[1, :, :, 1].float()
    )
    between = ((share > 0.1) & (share < 0.9)).sum().item()
    circumference = 2 * math.pi * 0.27 * 64
    assert 0.6 * circumference < between < 2 * circumference


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("name", list(DIFFICULTIES))
def test_boxes_hold_exactly_the_visible_pixels(name, size):
    scenes = sample_scenes(get_difficulty(name), 4, "train", 0, 12)
    images, instances = render_scenes(scenes, size)
    assert images.shape == (12, size, size, 3)
    assert images.dtype == instances.dtype == torch.uint8
    boxes = visible_boxes(instances, 6)
    for scene, mask, own in zip(scenes, instances, boxes, strict=True):
        assert set(mask.unique().tolist()) == set(range(len(scene.objects) + 1))
        for number in range(len(scene.objects)):
            rows, columns = np.nonzero(mask.numpy() == number + 1)
            left, top = columns.min(), rows.min()
            expected = [left, top, columns.max() - left + 1, rows.max() - top + 1]
            assert own[number].tolist() == expected
        assert (own[len(scene.objects) :] == 0).all()


def test_solid_objects_show_their_colours():
    """Pixels of exactly the fill colour, even in a small star with a border; no third colour."""
    scenes = sample_scenes(get_difficulty("simple"), 8, "train", 0, 60)
    images, instances = render_scenes(scenes, 64)
    for scene, image, mask in zip(scenes, images, instances, strict=True):
        for number, item in enumerate(scene.objects):
            pixels = image[mask == number + 1].float()
            fill = torch.tensor(COLOURS[item.colour]).float()
            assert ((pixels - fill).abs().amax(1) <= 1).float().mean() > 0.08
            near = {
                name: ((pixels - torch.tensor(rgb)).norm(dim=1) < 40).sum().item()
                for name, rgb in COLOURS.items()
            }
            others = {k: v for k, v in near.items() if k not in (item.colour, item.border)}
            assert near[item.colour] > max(others.values())
            if item.border != "none":
                assert near[item.border] > max(others.values())


def test_borders_and_patterns_change_the_picture():
    for changes in ({"border": "white"}, {"border": "black"}):
        plain, bordered = render_scenes([one_object("star"), one_object("star", **changes)], 64)[0]
        assert ((plain.int() - bordered).abs().amax(-1) > 60).sum() > 150
    patterns = [one_object("circle", pattern=name) for name in FULL.patterns]
    images, instances = render_scenes(patterns, 64)
    assert all((instances[0] == other).all() for other in instances)
    for first in range(4):
        for second in range(first):
            difference = (images[first].int() - images[second]).abs().amax(-1)
            assert (difference[instances[0] == 1] > 60).float().mean() > 0.15


def test_later_objects_are_in_front():
    (back,) = one_object("square").objects
    (front,) = one_object("circle", colour="blue", radius=0.1, size="small").objects
    scene = dataclasses.replace(one_object("square"), objects=(back, front))
    images, instances = render_scenes([scene], 64)
    assert instances[0, 33, 30] == 2
    assert images[0, 33, 30].tolist() == list(COLOURS["blue"])
    assert (instances == 1).sum() > 0


@pytest.mark.parametrize("name", list(DIFFICULTIES))
def test_batching_changes_nothing(name):
    scenes = sample_scenes(get_difficulty(name), 2, "train", 0, 9)
    images, instances = render_scenes(scenes, 48)
    for number, scene in enumerate(scenes):
        image, instance = render_scenes([scene], 48)
        assert torch.equal(instance[0], instances[number])
        assert (image[0].int() - images[number]).abs().max() <= 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_gives_the_same_pictures():
    scenes = sample_scenes(FULL, 0, "train", 0, 200)
    images, instances = render_scenes(scenes, 64)
    gpu_images, gpu_instances = render_scenes(scenes, 64, "cuda")
    assert torch.equal(gpu_instances.cpu(), instances)
    assert (gpu_images.cpu().int() - images).abs().max() <= 1


def test_too_small_a_picture_is_refused():
    with pytest.raises(ValueError, match="image_size=8"):
        render_scenes([one_object("circle")], 8)
