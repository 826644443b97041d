from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecg_api.renderjob import RenderJobSpec, parse_render_job
from ecg_api.status import RenderJobStatus

REPOSITORY = Path(__file__).parents[2]
WRITTEN = REPOSITORY / "crds" / "renderjob.yaml"
KEEP_UNKNOWN = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
LARGEST_CLIENT_SIDE_APPLY = 262_144


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    loaded = yaml.safe_load(WRITTEN.read_text())
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def version(definition: dict[str, Any]) -> dict[str, Any]:
    (only,) = definition["spec"]["versions"]
    assert isinstance(only, dict)
    return only


@pytest.fixture(scope="module")
def schema(version: dict[str, Any]) -> dict[str, Any]:
    root = version["schema"]["openAPIV3Schema"]
    assert isinstance(root, dict)
    return root


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from nodes(schema[word], f"{path}.{word}")


def at(schema: dict[str, Any], path: str) -> dict[str, Any]:
    return dict(nodes(schema))[path]


def test_the_written_definition_is_that_of_the_models() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "ecg_api.crd"], cwd=REPOSITORY / "crds", capture_output=True, text=True, check=True
    )
    assert made.stdout == WRITTEN.read_text(), "run `make manifests`"


def test_kubectl_can_apply_it_on_the_client_side() -> None:
    assert WRITTEN.stat().st_size < LARGEST_CLIENT_SIDE_APPLY


def test_names_are_those_that_people_type(definition: dict[str, Any]) -> None:
    spec = definition["spec"]
    assert definition["metadata"]["name"] == "renderjobs.render.ecg.dev"
    assert spec["scope"] == "Namespaced"
    assert spec["names"]["kind"] == "RenderJob"
    assert spec["names"]["shortNames"] == ["rj"]
    assert spec["names"]["categories"] == ["render"], "kubectl delete all --all means workloads"


def test_columns_show_fields_that_the_status_has(version: dict[str, Any], schema: dict[str, Any]) -> None:
    columns = version["additionalPrinterColumns"]
    plain = [column["name"] for column in columns if not column.get("priority")]
    wide = [column["name"] for column in columns if column.get("priority")]
    assert plain == ["Phase", "Reason", "Progress", "Segments", "ETA", "Encoder", "Age"]
    assert wide == ["FPS", "Output", "Live"]
    known = dict(nodes(schema))
    for column in columns:
        if column["name"] != "Age":
            assert known[column["jsonPath"]]["type"] == column["type"]
    assert version["subresources"] == {"status": {}}
    assert [at(schema, field["jsonPath"])["type"] for field in version["selectableFields"]] == ["string"]


def test_the_schema_is_structural(schema: dict[str, Any]) -> None:
    for path, node in nodes(schema):
        assert not {"$ref", "oneOf", "allOf", "not", "title", "const", "$defs", "readOnly"} & set(node), path
        assert ("anyOf" in node) == bool(node.get(INT_OR_STRING)), path
        assert "type" in node or node.get(KEEP_UNKNOWN) or node.get(INT_OR_STRING), path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert set(node.get("required", [])) <= set(node.get("properties", {})), path


def test_numbers_say_how_large_they_get_and_the_spec_has_no_floats(schema: dict[str, Any]) -> None:
    for path, node in nodes(schema):
        if node.get("type") in ("integer", "number"):
            assert node["format"] in ("int32", "int64", "double"), path
            assert node["format"] != "int32" or node["maximum"] < 2**31, path
        assert node.get("type") != "number" or path.startswith(".status."), path
    whole_or_text = {path for path, node in nodes(schema) if node.get(INT_OR_STRING)}
    assert ".spec.options.fps" in whole_or_text
    for path in whole_or_text:
        assert at(schema, path)["anyOf"] == [{"type": "integer"}, {"type": "string"}], path


def test_every_field_that_people_write_is_explained(schema: dict[str, Any]) -> None:
    inside_a_scenario = ".spec.scenario.inline."
    for path, node in nodes(schema["properties"]["spec"], ".spec"):
        in_manual = not path.startswith(inside_a_scenario) and not path.endswith(("items", "additionalProperties"))
        assert not in_manual or node["description"], path


def test_server_side_defaults_are_those_of_the_models(schema: dict[str, Any], manifest: dict[str, Any]) -> None:
    job = parse_render_job(manifest)
    filled_in = fill_in(schema["properties"]["spec"], manifest["spec"])
    assert parse_render_job({**manifest, "spec": filled_in}).spec == job.spec
    assert filled_in["options"]["quality"] == 90
    assert filled_in["retry"] == {"perSegment": 2, "disruptions": 6, "onDemandAfter": 2}


def fill_in(schema: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """Do as the API server does with defaults."""
    filled = dict(value)
    for name, part in schema.get("properties", {}).items():
        if name not in filled and "default" in part:
            filled[name] = part["default"]
        if name in filled and "properties" in part:
            filled[name] = fill_in(part, filled[name])
    return filled


def test_nothing_in_the_status_is_filled_in_or_limited_to_todays_words(schema: dict[str, Any]) -> None:
    status = schema["properties"]["status"]
    for path, node in nodes(status):
        assert "default" not in node, path
    assert "enum" not in at(status, ".phase")
    assert "enum" not in at(status, ".failure.code")
    assert at(status, ".conditions")["x-kubernetes-list-map-keys"] == ["type"]


def test_nobody_owes_the_texts_that_are_computed(schema: dict[str, Any]) -> None:
    assert "required" not in at(schema, ".status.progress")
    assert "required" not in at(schema, ".status.segments")


@pytest.mark.parametrize(("model", "part"), [(RenderJobSpec, "spec"), (RenderJobStatus, "status")])
def test_the_schema_has_exactly_the_fields_of_the_models(
    schema: dict[str, Any], model: type[RenderJobSpec | RenderJobStatus], part: str
) -> None:
    assert set(schema["properties"][part]["properties"]) == {field.alias for field in model.model_fields.values()}


def test_all_of_the_spec_but_five_fields_is_immutable(schema: dict[str, Any]) -> None:
    spec = schema["properties"]["spec"]
    rules = [rule for rule in spec["x-kubernetes-validations"] if "oldSelf" in rule["rule"]]
    guarded = {rule["fieldPath"].removeprefix(".") for rule in rules}
    assert set(spec["properties"]) - guarded == {"suspend", "cancel", "priority", "ttl", "deadlines"}


@pytest.mark.parametrize(
    "path",
    [
        ".spec.source.uri",
        ".spec.scenario",
        ".spec.scenario.uri",
        ".spec.options",
        ".spec.cancel",
        ".spec.output.uri",
        ".spec.output.publicBaseUrl",
        ".spec.callback.url",
    ],
)
def test_rules_of_more_than_one_value_are_in_the_schema_with_words(schema: dict[str, Any], path: str) -> None:
    for rule in at(schema, path)["x-kubernetes-validations"]:
        assert "self" in rule["rule"]
        assert len(rule["message"].split()) >= 4


def test_free_form_parts_keep_what_they_are_given(schema: dict[str, Any]) -> None:
    free = {path for path, node in nodes(schema["properties"]["spec"]) if node.get(KEEP_UNKNOWN)}
    parts = ("version", "pluginApiVersion", "timebase", "stage", "define", "definitions", "tracks", "cues.items")
    assert free == {
        ".scenario.inline",
        *(f".scenario.inline.{part}" for part in parts),
        ".placement.podTemplateOverrides.metadata",
        ".placement.podTemplateOverrides.spec",
    }


def test_what_is_no_promise_says_so(schema: dict[str, Any]) -> None:
    assert "Internal" in at(schema, ".status.run")["description"]


def test_only_the_name_is_restricted_in_metadata(schema: dict[str, Any]) -> None:
    assert list(schema["properties"]["metadata"]["properties"]) == ["name"]
    assert at(schema, ".metadata.name")["maxLength"] == 48
