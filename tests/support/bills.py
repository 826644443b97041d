"""Bills of materials, read as their schema has them."""

from __future__ import annotations


def problem(text: str) -> object:
    """Return what of a CycloneDX document does not follow the schema; None for nothing."""
    # Loading it takes a second and a half: grammars of addresses are compiled. Each process that collects tests would.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
