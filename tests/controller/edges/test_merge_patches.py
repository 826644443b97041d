"""The smallest merge patch between two objects."""

from __future__ import annotations

from typing import Any

import pytest

from ecg_operator.reconcile import merge_patch

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "equal objects need none": ({"a": 1, "b": {"c": [1]}}, {"a": 1, "b": {"c": [1]}}, {}),
    "a new value": ({"a": 1}, {"a": 2}, {"a": 2}),
    "a new field": ({}, {"a": 1}, {"a": 1}),
    "a field that is gone becomes null": ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
    "only the changed part of an inner object": ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a": {"c": 3}}),
    "lists are replaced whole": ({"a": [1, 2]}, {"a": [1, 2, 3]}, {"a": [1, 2, 3]}),
    "an object in place of a value": ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    "an empty object in place of none": ({}, {"a": {}}, {"a": {}}),
}


@pytest.mark.parametrize(("before", "after", "patch"), CASES.values(), ids=CASES.keys())
def test_merge_patch(before: dict[str, Any], after: dict[str, Any], patch: dict[str, Any]) -> None:
    assert merge_patch(before, after) == patch
