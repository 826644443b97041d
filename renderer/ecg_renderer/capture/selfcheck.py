"""Whether a capture way gives the same pictures as the reference, here and now, on this very scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_renderer.capture.patches import Block, Bytes, Capture
from ecg_renderer.capture.scene import Scene
from ecg_renderer.colour import Conversion
from ecg_renderer.model import Box, FrameRange
from ecg_renderer.picture import RgbaPicture, YuvaPicture

TOLERANCE = 3
# Where a curve touches a pixel, Skia's coverage depends on how the picture is divided into tiles: single pixels of
# round corners and letters differ by up to 5/255 between any two ways. A wrong picture differs in many, or by much.
EDGE_TOLERANCE = 16
EDGE_SHARE = 1e-4
SAMPLES = 3
PATCHED_FRAMES = 2
LONGEST_REPLAY = 90

Signed = NDArray[np.int16]


@dataclass(frozen=True)
class CheckResult:
    """How far two ways are apart.

    Attributes:
        max_difference: the largest difference of two components, of 255, colours weighed by their opacity.
        edge_pixels: how many components differ by more than `TOLERANCE`.
        frames: the frames compared.
        pixels: how many pixels were compared; where both ways are transparent there is nothing to compare.
        passed: at most `TOLERANCE` apart, but for a few edges.
        detail: the same for people.
    """

    max_difference: int
    edge_pixels: int
    frames: tuple[int, ...]
    pixels: int
    passed: bool
    detail: str


async def check_way(
    candidate: Capture,
    reference: Capture,
    blocks: list[Block],
    frames: list[int],
    *,
    box: Box,
    conversion: Conversion | None,
) -> CheckResult:
    """Compare the pictures of `frames` (ascending, each in one of `blocks`) that two captures give of `box`.

    The candidate goes a few frames ahead of each, so that its patches are part of the proof. Both captures were made
    with `conversion`. Errors of either are not caught.
    """
    worst, worst_frame, edges, pixels = 0, 0, 0, 0
    for frame in frames:
        block = next(block for block in blocks if block.frames.start <= frame < block.frames.end)
        found = await _picture(candidate, _ending_with(frame, block, PATCHED_FRAMES), box, conversion)
        wanted = await _picture(reference, _ending_with(frame, block, 0), box, conversion)
        differences, compared = differences_of(found, wanted, box, conversion)
        pixels += compared
        edges += int((differences > TOLERANCE).sum())
        if differences.max(initial=0) > worst:
            worst, worst_frame = int(differences.max()), frame
    passed = worst <= TOLERANCE or (worst <= EDGE_TOLERANCE and edges <= EDGE_SHARE * pixels)
    detail = f"at most {worst}/255 from the reference on frames {', '.join(map(str, frames))}"
    if not passed:
        detail = f"its picture of frame {worst_frame} is {worst}/255 off the reference, {TOLERANCE}/255 is allowed"
    return CheckResult(worst, edges, tuple(frames), pixels, passed, detail)


def differences_of(one: Bytes, other: Bytes, box: Box, conversion: Conversion | None) -> tuple[Signed, int]:
    """Return by how much the components of two flat pictures of `box` differ, 0 to 255, and the pixels compared.

    Colours are weighed by opacity: what colour a transparent pixel has does not count.
    """
    compare = _compare_rgba if conversion is None else _compare_yuva
    return compare(one, other, box, conversion.black if conversion else 0)


def _compare_rgba(one: Bytes, other: Bytes, _box: Box, _black: int) -> tuple[Signed, int]:
    first, second = one.reshape(-1, 4), other.reshape(-1, 4)
    seen = (first[:, 3] | second[:, 3]) > 0
    weighed = [_weighed(pixels[:, :3], pixels[:, 3:], 0) for pixels in (first[seen], second[seen])]
    apart = [_apart(*weighed), _apart(first[seen][:, 3], second[seen][:, 3])]
    return np.concatenate(apart), int(seen.sum())


def _compare_yuva(one: Bytes, other: Bytes, box: Box, black: int) -> tuple[Signed, int]:
    luma, chroma = box.area, box.area // 4
    first, second = (np.split(picture, [luma, luma + chroma, luma + 2 * chroma]) for picture in (one, other))
    seen = (first[3] | second[3]) > 0
    apart = [
        _apart(first[3][seen], second[3][seen]),
        _apart(*(_weighed(planes[0][seen], planes[3][seen], black) for planes in (first, second))),
    ]
    opacities = [_quarter(planes[3], box) for planes in (first, second)]
    seen_quads = (opacities[0] | opacities[1]) > 0
    for plane in (1, 2):
        weighed = [
            _weighed(planes[plane][seen_quads], opacity[seen_quads], 128)
            for planes, opacity in zip((first, second), opacities, strict=True)
        ]
        apart.append(_apart(*weighed))
    return np.concatenate(apart), int(seen.sum())


def _weighed(values: Bytes, opacity: Bytes, zero: int) -> Signed:
    """Return how far `values` are from `zero`, times opacity."""
    return np.rint((values.astype(np.float32) - zero) * (opacity.astype(np.float32) / 255)).astype(np.int16)


def _apart(one: Bytes | Signed, other: Bytes | Signed) -> Signed:
    apart: Signed = np.abs(one.astype(np.int16) - other.astype(np.int16)).ravel()
    return apart


def _quarter(plane: Bytes, box: Box) -> Bytes:
    """Return the mean of every 2 by 2 values of a plane, flat."""
    quads = plane.reshape(box.height // 2, 2, box.width // 2, 2)
    means: NDArray[np.float32] = quads.mean(axis=(1, 3), dtype=np.float32)
    return means.astype(np.uint8).ravel()


def _ending_with(frame: int, block: Block, ahead: int) -> Block:
    """Return the part of `block` that ends with `frame` and begins up to `ahead` frames before it."""
    return Block(FrameRange(max(block.frames.start, frame - ahead), frame + 1), block.pre_roll)


async def _picture(capture: Capture, block: Block, box: Box, conversion: Conversion | None) -> Bytes:
    """Return the picture at the end of `block`, flat."""
    if conversion:
        planes = YuvaPicture(box.width, box.height, conversion)
        await _apply_patches(planes, capture, block, box)
        return np.frombuffer(planes.to_bytes(), np.uint8)
    picture = RgbaPicture(box.width, box.height)
    await _apply_patches(picture, capture, block, box)
    return picture.pixels.ravel()


async def _apply_patches(picture: RgbaPicture | YuvaPicture, capture: Capture, block: Block, box: Box) -> None:
    async for patch in capture.patches([block], box):
        if not patch.proof:
            picture.apply(patch.box, patch.pixels)


def sample_frames(scene: Scene, blocks: list[Block]) -> list[int]:
    """Choose the frames to compare: in the middle of captions, and one while a plugin runs, ascending.

    Frames before which much would have to be replayed are passed over where there are others.
    """
    near = [block for block in blocks if block.frames.start - block.pre_roll <= LONGEST_REPLAY] or blocks[:1]
    spread = [near[len(near) * index // SAMPLES] for index in range(SAMPLES)] if near else []
    middles = {block.frames.start + min(len(block.frames) // 2, LONGEST_REPLAY) for block in spread}
    animated = (round(seconds * scene.rate) for seconds in _animation_middles(scene.scenario))
    inside = (frame for frame in animated if any(block.frames.start <= frame < block.frames.end for block in near))
    return sorted(middles | set(islice(inside, 1)))


def _animation_middles(scenario: dict[str, Any]) -> Iterator[float]:
    """Yield when plugins are about in the middle of their time, in seconds, cue by cue."""
    waiting = [cue["root"] for cue in reversed(scenario["cues"])]
    while waiting:
        node = waiting.pop()
        times = node.get("baseTime", node.get("displayTime"))
        if node.get("pluginChain") and times:
            yield (times[0] + times[1]) / 2
        waiting.extend(reversed(node.get("children", ())))
