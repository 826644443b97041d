"""The scenario as the plan pod gets it: as on one machine, or as the entry of a ConfigMap that is mounted as a file."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from gzip import GzipFile
from pathlib import Path

from ecg_api.names import SCENARIO_FILE_VARIABLE
from ecg_api.renderjob import ScenarioRef
from ecg_renderer.errors import ScenarioError, StorageError
from ecg_renderer.preparation import SCENARIO_BYTES, check_digest, read_scenario
from ecg_renderer.storage import open_storage

_GZIP_MAGIC = b"\x1f\x8b"


def scenario_reader(mounted: Path | None) -> Callable[[ScenarioRef, Path], bytes | dict[str, object]]:
    """Return what reads a scenario in a plan pod, where the ConfigMap entry of the job is the file `mounted`."""

    def read(reference: ScenarioRef, base: Path) -> bytes | dict[str, object]:
        if reference.config_map_ref is None:
            return read_scenario(reference, base)
        return _read_mounted(reference, mounted)

    return read


def _read_mounted(reference: ScenarioRef, mounted: Path | None) -> bytes:
    """Return the JSON of a ConfigMap entry; its SHA-256 is that of the entry as it is stored, compressed or not."""
    assert reference.config_map_ref is not None
    name = f"ConfigMap {reference.config_map_ref.name}, entry {reference.config_map_ref.key}"
    if mounted is None:
        raise StorageError(
            f"The scenario is in the {name}, which is not mounted: {SCENARIO_FILE_VARIABLE} is not set.",
            hint="Set it to the path of the mounted entry, or give --scenario-file.",
        )
    if not mounted.exists():
        raise StorageError(
            f"The {name} is not there: {mounted} does not exist.", hint="Check name and key of the ConfigMap."
        )
    raw = open_storage(str(mounted), Path()).read_bytes(SCENARIO_BYTES)
    check_digest(raw, reference, f"The {name}")
    return _decompressed(raw, name) if raw.startswith(_GZIP_MAGIC) else raw


def _decompressed(raw: bytes, name: str) -> bytes:
    try:
        with GzipFile(fileobj=io.BytesIO(raw)) as file:
            text = file.read(SCENARIO_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ScenarioError(
            f"The {name} begins like gzip, but cannot be decompressed: {error}.", hint="Compress the scenario again."
        ) from None
    if len(text) > SCENARIO_BYTES:
        raise ScenarioError(f"The {name} holds more than {SCENARIO_BYTES:,} bytes once decompressed.")
    return text
