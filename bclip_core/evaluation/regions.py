"""Region against captions, as in FG-OVD: the true caption of a box among hard negatives.

Three choices move the numbers and are fixed here: the box is scaled per axis to the patch grid (the
picture may have been squashed to a square), the region is one ROI-align bin with adaptive sampling,
and a tie with a wrong caption is a miss (the authors' code counts it as a hit).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

_BORDER_TOLERANCE = 0.5  # pixels; annotations round box edges to whole pixels


class RegionHits(NamedTuple):
    """Outcome per region.

    Attributes:
        hits: bool [R], the true caption scored above every other one.
        ties: how many regions an exact tie decides.
    """

    hits: Tensor
    ties: int


def boxes_to_patches(
    boxes: Tensor, image_index: Tensor, image_size: Tensor, grid: tuple[int, int]
) -> Tensor:
    """Scale boxes from pixels of the original picture to units of patches, each axis by itself.

    Args:
        boxes: [R, 4] as x, y, width, height in pixels of the original picture.
        image_index: int [R], the picture of each box.
        image_size: [B, 2], width and height of each original picture in pixels.
        grid: rows and columns of patches.

    Returns:
        float64 [R, 5]: picture index, x1, y1, x2, y2 as `torchvision.ops.roi_align` reads them.

    Raises:
        ValueError: shapes do not fit, an index names no picture, or a box is not finite, has no
            area or leaves its picture by more than half a pixel (the message names the box).
    """
    _check_boxes(boxes, image_index, image_size)
    image_index, boxes = image_index.to(boxes.device), boxes.double()
    size = image_size.to(boxes)[image_index]
    _check_inside(boxes, size)
    patches_per_pixel = torch.tensor([grid[1], grid[0]]).to(boxes) / size
    low, extent = boxes[:, :2] * patches_per_pixel, boxes[:, 2:] * patches_per_pixel
    return torch.cat([image_index.double().unsqueeze(1), low, low + extent], dim=1)


def roi_features(
    patches: Tensor,
    grid: tuple[int, int],
    boxes: Tensor,
    image_index: Tensor,
    image_size: Tensor,
) -> Tensor:
    """One embedding per box: ROI-align of the patch map to a single bin.

    Args:
        patches: [B, P, D], row by row.
        grid: rows and columns of patches, rows * columns = P.
        boxes: [R, 4] as x, y, width, height in pixels of the original picture.
        image_index: int [R], the picture of each box.
        image_size: [B, 2], width and height of each original picture in pixels.

    Returns:
        Region embeddings [R, D], not normalised.

    Raises:
        ValueError: the grid does not fit P, or as `boxes_to_patches`.
    """
    count, positions, width = patches.shape
    rows, columns = grid
    if rows * columns != positions:
        raise ValueError(f"grid={grid}: expected rows * columns = {positions} patches")
    if len(image_size) != count:
        raise ValueError(f"image_size has {len(image_size)} rows: expected one for {count} images")
    rois = boxes_to_patches(boxes, image_index, image_size, grid).to(patches)
    maps = patches.transpose(1, 2).reshape(count, width, rows, columns)
    aligned: Tensor = roi_align(maps, rois, output_size=1, sampling_ratio=-1, aligned=True)
    return aligned.flatten(1)


def region_scores(region: Tensor, captions: Sequence[Tensor]) -> list[Tensor]:
    """Cosine of each region with its own captions.

    Args:
        region: embeddings [R, D].
        captions: R tensors [1 + N, D]; N may differ from region to region.

    Returns:
        R float64 tensors [1 + N].

    Raises:
        ValueError: not one set of captions of width D per region.
    """
    if len(region) != len(captions):
        raise ValueError(f"{len(captions)} sets of captions: expected {len(region)}, one a region")
    scores = []
    for index, (vector, rows) in enumerate(zip(region.double(), captions, strict=True)):
        if rows.ndim != 2 or rows.shape[1] != len(vector):
            raise ValueError(
                f"captions of region {index} have shape {tuple(rows.shape)}: "
                f"expected [1 + N, {len(vector)}]"
            )
        # A sum per row, not a matrix product: equal captions must give bitwise equal scores.
        cosines = F.normalize(rows.double(), dim=-1) * F.normalize(vector, dim=0)
        scores.append(cosines.sum(dim=-1))
    return scores


def hits_from_scores(scores: Sequence[Tensor], ties: str = "miss") -> RegionHits:
    """Which regions prefer their true caption.

    Args:
        scores: R tensors [1 + N], larger is better, the true caption first.
        ties: a true caption that is as similar as the best wrong one is a "miss" or, as in the
            authors' code of β-CLIP and FG-CLIP, a "hit".

    Raises:
        ValueError: another value of `ties`, no region, a region without a wrong caption, or a NaN
            (the message names it).
    """
    if ties not in ("miss", "hit"):
        raise ValueError(f"ties={ties!r}: expected miss or hit")
    if not scores:
        raise ValueError("scores=[]: expected at least one region")
    margins = []
    for index, row in enumerate(scores):
        if row.ndim != 1 or len(row) < 2:
            raise ValueError(
                f"scores of region {index} have shape {tuple(row.shape)}: expected the true "
                "caption and at least one wrong one"
            )
        if row.isnan().any():
            raise ValueError(f"scores of region {index} contain NaN: expected numbers")
        margins.append(row[0] - row[1:].max())
    margin = torch.stack(margins)
    hits = margin >= 0 if ties == "hit" else margin > 0
    return RegionHits(hits, int((margin == 0).sum()))


def region_hits(region: Tensor, captions: Sequence[Tensor], ties: str = "miss") -> RegionHits:
    """`hits_from_scores` of the cosines of regions [R, D] with their captions, R x [1 + N, D]."""
    return hits_from_scores(region_scores(region, captions), ties)


def region_accuracy(region: Tensor, captions: Sequence[Tensor]) -> float:
    """Fraction of regions whose true caption is the most similar one; a tie is a miss.

    Args:
        region: embeddings [R, D].
        captions: R tensors [1 + N, D], the true caption in row 0.

    Returns:
        Accuracy in [0, 1].

    Raises:
        ValueError: shapes do not fit, no region, no wrong caption, or NaN.
    """
    return region_hits(region, captions).hits.double().mean().item()


def chance_region_accuracy(captions: Sequence[Tensor]) -> float:
    """Expected accuracy of random scores: the mean of 1 / (1 + N) over R sets of captions."""
    return sum(1 / len(rows) for rows in captions) / len(captions)


def blind_region_accuracy(
    region: Tensor, captions: Sequence[Tensor], picture: Tensor | Sequence[int]
) -> float:
    """What the same model scores on regions of other pictures: the level of not looking.

    1 / (1 + N) is the level of guessing only where the true caption is like the others. In FG-OVD
    the false ones are made from it, each by changing a word or two, so that it lies in their midst;
    whatever vector asks, the most similar caption is rather one at the edge. So a model that has
    learnt nothing can score below 1 / (1 + N), and this is the level to compare it with.

    Args:
        region: embeddings [R, D].
        captions: R tensors [1 + N, D], the true caption in row 0.
        picture: the picture of each region [R].

    Returns:
        The mean of hits over all pairs of one region's captions and a region of another picture; a
        tie is a miss.

    Raises:
        ValueError: all regions are of one picture, or as `region_scores`.
    """
    if len(region) != len(captions):
        raise ValueError(f"{len(captions)} sets of captions: expected {len(region)}, one a region")
    pictures = torch.as_tensor(picture)
    vectors = F.normalize(region.double(), dim=-1)
    hits = pairs = 0
    for index, rows in enumerate(captions):
        elsewhere = vectors[pictures != pictures[index]]
        cosines = F.normalize(rows.double(), dim=-1) @ elsewhere.T
        hits += int((cosines[0] > cosines[1:].amax(dim=0)).sum())
        pairs += len(elsewhere)
    if not pairs:
        raise ValueError(f"{len(captions)} regions of one picture: expected at least two pictures")
    return hits / pairs


def _check_boxes(boxes: Tensor, image_index: Tensor, image_size: Tensor) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or image_index.shape != boxes.shape[:1]:
        raise ValueError(
            f"boxes {tuple(boxes.shape)} and image_index {tuple(image_index.shape)}: "
            "expected [R, 4] and [R]"
        )
    if image_size.ndim != 2 or image_size.shape[1] != 2:
        raise ValueError(f"image_size has shape {tuple(image_size.shape)}: expected [B, 2]")
    unknown = ((image_index < 0) | (image_index >= len(image_size))).nonzero()
    if len(unknown):
        box = int(unknown[0])
        raise ValueError(
            f"image_index[{box}]={int(image_index[box])}: expected 0..{len(image_size) - 1}"
        )


def _check_inside(boxes: Tensor, size: Tensor) -> None:
    low, extent = boxes[:, :2], boxes[:, 2:]
    inside = (low >= -_BORDER_TOLERANCE) & (low + extent <= size + _BORDER_TOLERANCE)
    valid = (inside & (extent > 0) & boxes.isfinite().all(dim=1, keepdim=True)).all(dim=1)
    if not valid.all():
        box = int((~valid).nonzero()[0])
        width, height = size[box].tolist()
        raise ValueError(
            f"box {box}={boxes[box].tolist()} (x, y, width, height): expected positive width and "
            f"height inside its picture of {width:g} x {height:g} pixels"
        )
