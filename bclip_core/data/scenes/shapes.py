"""Signed distances of the shapes: negative inside, in units of the object's radius.

Coordinates have the object's centre at the origin and y upwards. The values are exact distances
near straight edges and arcs and never larger than the distance elsewhere, which is what borders
and one-pixel anti-aliasing need.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import torch
from torch import Tensor

BORDER_WIDTH: Final = 0.032  # of the picture's side: 2 pixels at 64


class Shape(NamedTuple):
    """`extent`: radius of the circle around the centre that holds the shape."""

    extent: float
    distance: Callable[[Tensor, Tensor], Tensor]


def _circle(x: Tensor, y: Tensor) -> Tensor:
    return torch.hypot(x, y) - 1.0


def _square(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - 0.88


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(-y, math.sqrt(0.75) * x.abs() + 0.5 * y) - 0.65


def _star(x: Tensor, y: Tensor) -> Tensor:
    # Fold the plane into half a point of the star: the axis from the centre to the tip is "along".
    tip, notch, half = 1.3, 0.6, math.pi / 5
    turn = (torch.remainder(torch.atan2(x, y) + half, 2 * half) - half).abs()
    length = torch.hypot(x, y)
    along, across = length * torch.cos(turn), length * torch.sin(turn)
    edge_along, edge_across = notch * math.cos(half) - tip, notch * math.sin(half)
    norm = math.hypot(edge_along, edge_across)
    return ((along - tip) * edge_across - across * edge_along) / norm


def _cross(x: Tensor, y: Tensor) -> Tensor:
    ax, ay = x.abs(), y.abs()
    return torch.maximum(torch.maximum(ax, ay) - 1.1, torch.minimum(ax, ay) - 0.4)


def _crescent(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(torch.hypot(x, y) - 1.12, 0.95 - torch.hypot(x - 0.85, y))


def _diamond(x: Tensor, y: Tensor) -> Tensor:
    wide, high = 0.82, 1.25
    return (x.abs() / wide + y.abs() / high - 1.0) / math.hypot(1 / wide, 1 / high)


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return (torch.hypot(x, y) - 0.78).abs() - 0.34


def _heart(x: Tensor, y: Tensor) -> Tensor:
    # A square on its corner and a disc on each of its two upper edges.
    ax, half, centre = x.abs(), 0.62, -0.25
    offset = half / math.sqrt(2)
    body = (ax + (y - centre).abs()) / math.sqrt(2) - half
    return torch.minimum(body, torch.hypot(ax - offset, y - centre - offset) - half)


def _arrow(x: Tensor, y: Tensor) -> Tensor:
    ax = x.abs()
    tip, wing, base = 1.15, 0.98, 0.0
    slope = (tip - base) * ax + wing * (y - tip)
    head = torch.maximum(slope / math.hypot(tip - base, wing), base - y)
    shaft = torch.maximum(torch.maximum(ax - 0.36, y - tip / 2), -1.1 - y)
    return torch.minimum(head, shaft)


SHAPES: Final[Mapping[str, Shape]] = {
    "circle": Shape(1.0, _circle),
    "square": Shape(0.88 * math.sqrt(2), _square),
    "triangle": Shape(1.3, _triangle),
    "star": Shape(1.3, _star),
    "cross": Shape(math.hypot(1.1, 0.4), _cross),
    "crescent": Shape(1.12, _crescent),
    "diamond": Shape(1.25, _diamond),
    "ring": Shape(1.12, _ring),
    "heart": Shape(0.25 + 0.62 * math.sqrt(2), _heart),
    "arrow": Shape(math.hypot(0.36, 1.1), _arrow),
}


def shape_distance(name: str, x: Tensor, y: Tensor) -> Tensor:
    """Signed distance of a shape, at least that of its enclosing circle.

    The circle rounds off the mitres that a border would otherwise grow at sharp tips, so that no
    object leaves its extent by more than half the border.
    """
    shape = SHAPES[name]
    return torch.maximum(shape.distance(x, y), torch.hypot(x, y) - shape.extent)
