"""From the JSON Schema that pydantic writes to the structural OpenAPI v3 schema that Kubernetes takes.

References are put in place, `null` alternatives become optional fields, titles go, numbers get the formats that
client generators ask for. Objects without known fields keep whatever they are given. An object's default becomes
`{}`: the server fills in its fields' own.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

KEPT_WORDS = (
    "type", "description", "format", "enum", "pattern",
    "minimum", "maximum", "minLength", "maxLength", "maxItems", "maxProperties",
)  # fmt: skip
KEEP_UNKNOWN = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = {"x-kubernetes-int-or-string": True}
"""What the JSON Schema of a field says that is a whole number or text."""
_INT32 = 2**31


def input_schema(model: type[BaseModel]) -> Schema:
    """Return the schema of what people write, with its defaults."""
    schema = model.model_json_schema(mode="validation")
    return _convert(schema, schema.get("$defs", {}))


def output_schema(model: type[BaseModel]) -> Schema:
    """Return the schema of what we write: nothing is filled in, and our own words may grow.

    Without enums, a status written by a newer version is accepted by an older schema.
    """
    schema = model.model_json_schema(mode="serialization")
    definitions = {
        name: {key: value for key, value in definition.items() if key != "enum"}
        for name, definition in schema.get("$defs", {}).items()
    }
    return _without_defaults(_convert(schema, definitions))


def _convert(node: Schema, definitions: dict[str, Schema]) -> Schema:
    node = _resolved(node, definitions)
    result = {word: node[word] for word in KEPT_WORDS if word in node}
    if "const" in node:
        result["enum"] = [node["const"]]
    if "items" in node:
        result["items"] = _convert(node["items"], definitions)
    if "properties" in node:
        result["properties"] = {name: _convert(part, definitions) for name, part in node["properties"].items()}
    required = _required(node)
    if required:
        result["required"] = required
    result |= _format(node) | _open_part(node, definitions)
    default = _default(node, result)
    if default is not None:
        result["default"] = default
    return result


def _resolved(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return `node` with its reference, or the one alternative that is not null, put in its place."""
    if "anyOf" in node:
        (alternative,) = [part for part in node["anyOf"] if part != {"type": "null"}]
        node = {**alternative, **{key: value for key, value in node.items() if key != "anyOf"}}
    if "$ref" in node:
        definition = _resolved(definitions[node["$ref"].rpartition("/")[2]], definitions)
        node = {**definition, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def _required(node: Schema) -> list[str]:
    """Return the required fields; computed ones (`readOnly`) are for readers, no writer owes them."""
    properties = node.get("properties", {})
    return [name for name in node.get("required", []) if not properties[name].get("readOnly")]


def _format(node: Schema) -> Schema:
    """Return how large a number may get: generators take 32 bits for granted where nothing is said."""
    if node.get("type") == "number":
        return {"format": "double"}
    if node.get("type") != "integer":
        return {}
    return {"format": "int32" if node.get("maximum", _INT32) < _INT32 else "int64"}


def _open_part(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return what lets fields through whose names, or values whose types the schema does not say."""
    if node.items() >= INT_OR_STRING.items():
        # Kubernetes allows exactly these alternatives here; generators that do not know its mark read them.
        return {**INT_OR_STRING, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    if "type" not in node:
        return {KEEP_UNKNOWN: True}
    extra = node.get("additionalProperties", False)
    if node["type"] != "object" or extra is False:
        return {}
    values = {} if extra is True else _resolved(extra, definitions)
    if "type" in values or values.items() >= INT_OR_STRING.items():
        return {"additionalProperties": _convert(values, definitions)}
    return {KEEP_UNKNOWN: True}


def _default(node: Schema, result: Schema) -> Any:
    if "properties" not in result:
        return node.get("default")
    fills_in = any("default" in part for part in result["properties"].values())
    return {} if node.get("default") is not None and fills_in else None


def _without_defaults(schema: Schema) -> Schema:
    result = {key: value for key, value in schema.items() if key != "default"}
    if "items" in result:
        result["items"] = _without_defaults(result["items"])
    if "properties" in result:
        result["properties"] = {name: _without_defaults(part) for name, part in result["properties"].items()}
    return result
