"""Stages render blocks at the same time; their patches come out in the order of frames."""

from __future__ import annotations

import random

import numpy as np
import pytest

from captures import block
from ecg_renderer.capture.patches import BlockOrder, Kind, Record
from ecg_renderer.model import Block, Box

BOX = Box(0, 0, 2, 2)
BLOCKS = [block(0, 3), block(3, 6, 1), block(10, 12, 10)]

P, E = Kind.PATCH, Kind.BLOCK_END


def record(kind: Kind, frame: int, block: int) -> Record:
    return Record(kind, frame, BOX, block, np.full(4, frame, np.uint8))


FIRST = [record(P, 0, 0), record(P, 1, 0), record(P, 2, 0), record(E, 3, 0)]
SECOND = [record(P, 3, 3), record(P, 5, 3), record(E, 6, 3)]
THIRD = [record(P, 10, 10), record(P, 11, 10), record(E, 12, 10)]
IN_ORDER = [0, 1, 2, 3, 5, 10, 11]


def taken(order: BlockOrder, records: list[Record]) -> list[int]:
    """Return the frames of the patches that come out; each has the pixels of its own frame."""
    frames = []
    for each in records:
        for patch in order.take(each):
            assert list(patch.pixels) == [patch.frame] * 4
            frames.append(patch.frame)
    return frames


@pytest.mark.parametrize(
    "records",
    [
        FIRST + SECOND + THIRD,
        SECOND + THIRD + FIRST,
        THIRD + SECOND + FIRST,
        FIRST[:1] + SECOND + FIRST[1:2] + THIRD + FIRST[2:],
        FIRST[:3] + SECOND[:2] + THIRD + FIRST[3:] + SECOND[2:],
    ],
    ids=["one after the other", "the first last", "backwards", "in between", "ends late"],
)
def test_whatever_order_blocks_come_in_frames_come_out_ascending(records: list[Record]) -> None:
    assert taken(BlockOrder(BLOCKS), records) == IN_ORDER


def test_any_mixture_of_blocks_comes_out_ascending() -> None:
    chance = random.Random(5)
    for _ in range(200):
        waiting = [list(FIRST), list(SECOND), list(THIRD)]
        mixed = []
        while any(waiting):
            mixed.append(chance.choice([some for some in waiting if some]).pop(0))
        assert taken(BlockOrder(BLOCKS), mixed) == IN_ORDER


def test_patches_of_the_current_block_are_not_held_back() -> None:
    order = BlockOrder(BLOCKS)

    assert taken(order, [FIRST[0]]) == [0]
    assert taken(order, SECOND) == []
    assert taken(order, FIRST[1:]) == [1, 2, 3, 5]


def test_what_waits_is_a_copy_of_memory_that_is_reused() -> None:
    order = BlockOrder(BLOCKS)
    pixels = np.full(4, 3, np.uint8)
    assert list(order.take(Record(P, 3, BOX, 3, pixels))) == []
    pixels[:] = 99

    [late] = [patch for each in FIRST for patch in order.take(each) if patch.frame == 3]

    assert list(late.pixels) == [3, 3, 3, 3]


def test_a_proof_comes_after_the_patch_that_it_proves() -> None:
    order = BlockOrder(BLOCKS)
    proof = record(Kind.CHECK, 3, 3)

    patches = [patch for each in [SECOND[0], proof, *SECOND[1:], *FIRST] for patch in order.take(each)]

    assert [(patch.frame, patch.proof) for patch in patches] == [
        (0, False),
        (1, False),
        (2, False),
        (3, False),
        (3, True),
        (5, False),
    ]


@pytest.mark.parametrize(
    ("records", "remaining"),
    [
        ([], [(0, 3, 0), (3, 6, 1), (10, 12, 10)]),
        (FIRST[:1], [(1, 3, 0), (3, 6, 1), (10, 12, 10)]),
        (FIRST[:3], [(3, 6, 1), (10, 12, 10)]),
        (FIRST, [(3, 6, 1), (10, 12, 10)]),
        (FIRST + SECOND[:2], [(10, 12, 10)]),
        (FIRST + SECOND[:1], [(4, 6, 1), (10, 12, 10)]),
        (SECOND + FIRST[:2], [(2, 3, 0), (3, 6, 1), (10, 12, 10)]),
        (FIRST + SECOND + THIRD[:2], []),
        (FIRST + SECOND + THIRD, []),
    ],
    ids=[
        "nothing came",
        "one frame came",
        "all frames but not the end",
        "a whole block",
        "two blocks but for the second's end",
        "the middle of a block",
        "what waits is lost",
        "all frames",
        "everything",
    ],
)
def test_after_a_crash_only_what_is_missing_remains(
    records: list[Record], remaining: list[tuple[int, int, int]]
) -> None:
    order = BlockOrder(BLOCKS)
    taken(order, records)

    assert [(each.frames.start, each.frames.end, replayed(each)) for each in order.remaining()] == [
        (start, end, list(range(replay_from, start))) for start, end, replay_from in remaining
    ]


def replayed(block: Block) -> list[int]:
    """Return the frames that are sought before the block's first, in order."""
    return [frame for part in block.replay for frame in range(part.start, part.end)]


@pytest.mark.parametrize("crash_after", range(len(FIRST + SECOND + THIRD)))
def test_after_a_crash_anywhere_the_frames_after_the_last_one_come_once(crash_after: int) -> None:
    order = BlockOrder(BLOCKS)
    before = taken(order, (FIRST + SECOND + THIRD)[:crash_after])
    remaining = order.remaining()

    again = BlockOrder(remaining)
    records = []
    for part in remaining:
        start, end = part.frames.start, part.frames.end
        records += [*(record(P, frame, start) for frame in range(start, end)), record(E, end, start)]

    last = max(before, default=-1)
    assert taken(again, records) == [frame for frame in (*range(6), 10, 11) if frame > last]
