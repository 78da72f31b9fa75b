"""Rendering of scenes with signed distances: anti-aliased pictures and instance maps.

Every object is evaluated in a square window of its own size class only, all objects of one shape
at once, and the windows are blended into the pictures in drawing order. Geometry is computed in
float64, so that which pixel belongs to which object is the same on every device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bclip_core.data.scenes.attributes import COLOURS, Scene, SceneObject
from bclip_core.data.scenes.backgrounds import paint_backgrounds
from bclip_core.data.scenes.shapes import BORDER_WIDTH, SHAPES, shape_distance

# Patterns are a little finer on small objects, so that these still show more than one stripe.
_PATTERN_RADIUS, _PATTERN_SCALES = 0.13, (0.8, 1.2)
_STRIPE_PERIOD = 0.072
_DOT_PERIOD, _DOT_RADIUS = 0.098, 0.028
_CHECKER_CELL = 0.056


class _Windows(NamedTuple):
    """Windows of M objects of one size class: all that blending needs."""

    rank: Tensor  # [M] position in the drawing order
    pixels: Tensor  # [M, w*w] flat indices into the B*H*W pixels
    outer: Tensor  # [M, w*w] signed distance of the whole object in pixels, float64
    inner: Tensor  # [M, w*w] the same without the border
    accent: Tensor  # [M, w*w] share of the pattern's second colour
    colours: Tensor  # [M, 3, 3] fill, second colour, border; RGB in [0, 1]


def render_scenes(
    scenes: Sequence[Scene], image_size: int, device: str | torch.device = "cpu"
) -> tuple[Tensor, Tensor]:
    """Pictures and instance maps of B scenes.

    Args:
        scenes: B scenes.
        image_size: height and width in pixels, at least 16.
        device: where the arithmetic runs and the result stays; it needs float64.

    Returns:
        images uint8 [B, H, W, 3] and instances uint8 [B, H, W]: 0 is background, i + 1 the pixels
        of object i that no later object covers.

    Raises:
        ValueError: `image_size` below 16.
    """
    if image_size < 16:
        raise ValueError(f"image_size={image_size}: expected at least 16 pixels")
    count = len(scenes)
    canvas = paint_backgrounds([s.background for s in scenes], image_size, device).view(-1, 3)
    instances = torch.zeros(count * image_size**2, dtype=torch.uint8, device=device)
    groups = [_windows(members, image_size, device) for members in _by_size(scenes).values()]
    for rank in range(max((len(s.objects) for s in scenes), default=0)):
        for group in groups:
            chosen = (group.rank == rank).nonzero()[:, 0]
            if len(chosen):
                _blend(canvas, instances, group, chosen, rank)
    images = (canvas * 255).round_().clamp_(0, 255).to(torch.uint8)
    shape = (count, image_size, image_size)
    return images.view(*shape, 3), instances.view(shape)


def visible_boxes(instances: Tensor, objects: int) -> Tensor:
    """Bounding boxes [B, objects, 4] of the visible pixels: x, y, width, height in pixels, float32.

    `instances` is uint8 [B, H, W]. An object without a visible pixel has the box (0, 0, 0, 0).
    """
    size = instances.shape[-1]
    boxes = torch.zeros(len(instances), objects, 4, device=instances.device)
    position = torch.arange(size, device=instances.device)
    for number in range(objects):
        mask = instances == number + 1
        for axis, hit in enumerate((mask.any(1), mask.any(2))):
            first = torch.where(hit, position, size).amin(1)
            last = torch.where(hit, position, -1).amax(1)
            seen = last >= 0
            boxes[:, number, axis] = torch.where(seen, first, 0).float()
            boxes[:, number, axis + 2] = torch.where(seen, last - first + 1, 0).float()
    return boxes


def _by_size(scenes: Sequence[Scene]) -> dict[str, list[tuple[int, int, SceneObject]]]:
    """(scene number, drawing rank, object) of every object, grouped by size, sorted by shape."""
    groups: dict[str, list[tuple[int, int, SceneObject]]] = {}
    for number, scene in enumerate(scenes):
        for rank, item in enumerate(scene.objects):
            groups.setdefault(item.size, []).append((number, rank, item))
    for members in groups.values():
        members.sort(key=lambda member: member[2].shape)
    return groups


def _windows(
    members: list[tuple[int, int, SceneObject]], image_size: int, device: str | torch.device
) -> _Windows:
    reach = max(o.radius * SHAPES[o.shape].extent for _, _, o in members) + BORDER_WIDTH / 2
    width = min(image_size, math.ceil(2 * reach * image_size) + 2)
    numbers = torch.tensor(
        [
            (o.x, o.y, o.radius, math.cos(o.angle), math.sin(o.angle), o.border != "none")
            for _, _, o in members
        ],
        dtype=torch.float64,
    )
    place = torch.tensor([(scene, rank) for scene, rank, _ in members])
    corner = (numbers[:, :2] * image_size - width / 2).floor().clamp(0, image_size - width)
    numbers, place, corner = numbers.to(device), place.to(device), corner.to(device)
    centre_x, centre_y, radius, cosine, sine, bordered = numbers[:, :, None, None].unbind(1)
    offset = torch.arange(width, dtype=torch.float64, device=device)
    column = corner[:, 0, None, None] + offset[None, None, :]  # [M, 1, w]
    row = corner[:, 1, None, None] + offset[None, :, None]  # [M, w, 1]
    right = (column + 0.5) / image_size - centre_x
    up = centre_y - (row + 0.5) / image_size
    u, v = right * cosine + up * sine, up * cosine - right * sine  # [M, w, w], turned
    distance = torch.empty_like(u)
    accent = torch.zeros_like(u)
    shapes = [o.shape for _, _, o in members]
    for shape in dict.fromkeys(shapes):
        part = slice(shapes.index(shape), len(shapes) - shapes[::-1].index(shape))
        x, y = u[part] / radius[part], v[part] / radius[part]
        distance[part] = shape_distance(shape, x, y) * radius[part]
    patterns = [o.pattern for _, _, o in members]
    for pattern in set(patterns) - {"solid"}:
        chosen = torch.tensor([p == pattern for p in patterns], device=device).nonzero()[:, 0]
        scale = (radius[chosen] / _PATTERN_RADIUS).clamp(*_PATTERN_SCALES)
        pixels_per_unit = scale * image_size
        share = _pattern(pattern, u[chosen] / scale, v[chosen] / scale, pixels_per_unit)
        accent[chosen] = share
    half_border = bordered * (BORDER_WIDTH / 2)
    pixels = (place[:, 0, None, None] * image_size + row.long()) * image_size + column.long()
    return _Windows(
        rank=place[:, 1],
        pixels=pixels.flatten(1),
        outer=((distance - half_border) * image_size).flatten(1),
        inner=((distance + half_border) * image_size).flatten(1),
        accent=accent.flatten(1),
        colours=torch.tensor([_colours(o) for _, _, o in members]).to(device),
    )


def _colours(item: SceneObject) -> list[tuple[float, float, float]]:
    red, green, blue = (channel / 255 for channel in COLOURS[item.colour])
    # A dark second colour would vanish on a dark fill, a light one on a light fill.
    if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5:
        second = (red * 0.25, green * 0.25, blue * 0.25)
    else:
        second = (0.2 * red + 0.8, 0.2 * green + 0.8, 0.2 * blue + 0.8)
    border = COLOURS[item.colour if item.border == "none" else item.border]
    return [(red, green, blue), second, (border[0] / 255, border[1] / 255, border[2] / 255)]


def _pattern(name: str, u: Tensor, v: Tensor, pixels: Tensor) -> Tensor:
    """Share of the second colour in [0, 1] at (u, v); `pixels` is the length of one unit."""
    if name == "striped":
        phase = torch.remainder(v / _STRIPE_PERIOD, 1.0) - 0.5
        return _coverage((phase.abs() - 0.25) * _STRIPE_PERIOD * pixels)
    if name == "dotted":
        x = (torch.remainder(u / _DOT_PERIOD + 0.5, 1.0) - 0.5) * _DOT_PERIOD
        y = (torch.remainder(v / _DOT_PERIOD + 0.5, 1.0) - 0.5) * _DOT_PERIOD
        return _coverage((torch.hypot(x, y) - _DOT_RADIUS) * pixels)
    period = 2 * _CHECKER_CELL
    x = (torch.remainder(u / period, 1.0) - 0.5).abs() - 0.25
    y = (torch.remainder(v / period, 1.0) - 0.5).abs() - 0.25
    across, along = _coverage(x * period * pixels), _coverage(y * period * pixels)
    return across + along - 2 * across * along


def _coverage(distance: Tensor) -> Tensor:
    """Share of a pixel inside, from the signed distance of its centre in pixels."""
    return (0.5 - distance).clamp(0.0, 1.0)


def _blend(canvas: Tensor, instances: Tensor, group: _Windows, chosen: Tensor, rank: int) -> None:
    """Draw the chosen objects, at most one of each scene, over the pictures in place."""
    pixels, outer = group.pixels[chosen], group.outer[chosen]
    alpha = _coverage(outer).float()[..., None]
    inside = _coverage(group.inner[chosen]).float()[..., None]
    accent = group.accent[chosen].float()[..., None]
    fill, second, border = group.colours[chosen][:, :, None, :].unbind(1)  # [M, 1, 3] each
    colour = torch.lerp(fill, second, accent)
    colour = torch.lerp(border.expand_as(colour), colour, inside)
    canvas[pixels] = torch.lerp(canvas[pixels], colour, alpha)
    instances[pixels[outer <= 0]] = rank + 1
