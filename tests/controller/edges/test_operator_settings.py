"""Environment variables: what they become, what is said when they are wrong, and that the manual has them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecg_operator.errors import SettingsProblem
from ecg_operator.settings import VARIABLES, read_settings

NEEDED = {"RENDERER_IMAGE": "renderer:1", "WORK_URI": "s3://bucket/work/"}
MANUAL = Path(__file__).parents[3] / "docs" / "operations.md"


def test_what_must_be_set_is_enough() -> None:
    settings = read_settings(NEEDED)
    assert settings.policy.renderer_image == "renderer:1"
    assert settings.policy.work_uri == "s3://bucket/work"
    assert settings.namespaces == ()
    assert settings.policy.segment_resources["requests"]["cpu"] == "2"


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsProblem) as caught:
        read_settings({"WORK_URI": "bucket", "WORKERS": "many"})
    lines = caught.value.problems
    assert len(lines) == 3
    assert [line.split()[0] for line in lines] == ["RENDERER_IMAGE", "WORK_URI", "WORKERS"]


WRONG = {
    "WORK_URI": ("https://host/x", "s3://bucket/prefix"),
    "IMAGE_PULL_POLICY": ("Sometimes", "IfNotPresent"),
    "IMAGE_PULL_SECRETS": ("One,two", "names"),
    "WORKER_SECRET": ("Bad_Name", "name"),
    "WORKER_ENV": ('{"A": 1}', "NAME=VALUE"),
    "MAX_CONCURRENT_JOBS": ("0", "whole number from 1"),
    "MAX_SEGMENTS_PER_JOB": ("1001", "to 1000"),
    "SEGMENT_CPU": ("two", "quantity"),
    "HEALTH_PORT": ("70000", "65535"),
    "LOG_FORMAT": ("xml", "text, json"),
    "ON_DEMAND_NODE_SELECTOR": ("=x", "NAME=VALUE"),
    "OPERATOR_NAMESPACES": ("a b", "names"),
    "PRICES": ('{"hourly": {"g6.xlarge": "cheap"}}', "prices as JSON (hourly.g6.xlarge"),
    "CAPACITY": ('{"otherwise": {"floor": 9, "ceiling": 6}}', "floor 9 is above ceiling 6"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_named_with_what_is_expected(name: str) -> None:
    value, expected = WRONG[name]
    with pytest.raises(SettingsProblem) as caught:
        read_settings({**NEEDED, name: value})
    (line,) = caught.value.problems
    assert line.startswith(f"{name} is {value!r}")
    assert expected in line


def test_keys_that_were_put_into_the_storage_profiles_by_mistake_are_not_shown() -> None:
    given = '[{"name": "x", "bucket": "bb", "secretAccessKey": "hunter2"}]'
    with pytest.raises(SettingsProblem) as caught:
        read_settings({**NEEDED, "ECG_STORAGE_PROFILES": given})
    (line,) = caught.value.problems
    assert line.startswith(
        "ECG_STORAGE_PROFILES is not usable ([0].secretAccessKey: Extra inputs are not permitted): storage profiles as"
    )
    assert "hunter2" not in line


def test_lists_and_pairs() -> None:
    settings = read_settings(
        {**NEEDED, "OPERATOR_NAMESPACES": "a, b", "WORKER_ENV": "A=1,B=x=y", "ON_DEMAND_NODE_SELECTOR": ""}
    )
    assert settings.namespaces == ("a", "b")
    as_json = read_settings({**NEEDED, "WORKER_ENV": '{"NO_PROXY": "10.0.0.0/8,.svc"}'})
    assert dict(as_json.policy.worker_env) == {"NO_PROXY": "10.0.0.0/8,.svc"}
    assert dict(settings.policy.worker_env) == {"A": "1", "B": "x=y"}
    assert dict(settings.policy.on_demand_node_selector) == {}


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_the_manual_has_each_variable_with_its_default(variable: object) -> None:
    rows = [row for row in MANUAL.read_text().splitlines() if row.startswith(f"| `{variable.name}` |")]  # type: ignore[attr-defined]
    assert len(rows) == 1
    default = variable.default  # type: ignore[attr-defined]
    assert rows[0].split("|")[2].strip() == ("must be set" if default is None else f"`{default}`" if default else "")
