"""How models that leave a process are written: camelCase in JSON and YAML, immutable, nothing unknown."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """A value shared between parts; `model_dump()` and `model_dump_json()` give camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        extra="forbid",
        defer_build=True,  # a command uses few of all models
        frozen=True,
        allow_inf_nan=False,
    )


class StoredModel(ApiModel):
    """What one release writes and another may read; fields that this one does not know are passed over."""

    model_config = ConfigDict(extra="ignore")


class ManifestModel(ApiModel):
    """A part of a manifest that people write; read as a Kubernetes API server reads it."""

    model_config = ConfigDict(strict=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_means_absent(cls, data: object) -> object:
        # `options:` with nothing behind it is null in YAML; the API server prunes such nulls, so do we.
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None}
        return data
