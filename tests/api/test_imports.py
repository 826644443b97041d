from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import ecg_api

REPOSITORY = Path(__file__).parents[2]


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_operator_is_the_standard_librarys() -> None:
    """The repository's own folder of that name would shadow it if it were a package."""
    found = run_python("import importlib.util as u; print(u.find_spec('operator').origin)")
    assert Path(found).parent == Path(sysconfig.get_path("stdlib"))


def test_the_shared_words_pull_in_no_part_and_no_runtime() -> None:
    modules = sorted(path.stem for path in Path(ecg_api.__file__).parent.glob("[a-z]*.py"))
    imports = "; ".join(f"import ecg_api.{module}" for module in modules)
    folder = str(REPOSITORY / "crds")
    loaded = run_python(f"import sys; sys.path.insert(0, {folder!r}); {imports}; print(*sys.modules)").split()
    foreign = {"ecg_renderer", "playwright", "kopf", "kubernetes", "av", "numpy", "typer", "httpx"}
    assert "ecg_api.crd" in loaded
    assert not foreign.intersection(loaded)
