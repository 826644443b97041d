"""The chart's README says what values.yaml says."""

from __future__ import annotations

import importlib.util
import sys

from chart import CHART

SPEC = importlib.util.spec_from_file_location("chart_readme", CHART.parent / "readme.py")
assert SPEC and SPEC.loader
readme = sys.modules.setdefault("chart_readme", importlib.util.module_from_spec(SPEC))
SPEC.loader.exec_module(readme)


def test_the_readme_is_of_these_values() -> None:
    assert (CHART / "README.md").read_text() == readme.document(), "make manifests"


def test_a_value_is_told_with_its_path_default_and_words() -> None:
    text = "# Head.\na:\n  # -- Says | this\n  # and that.\n  b: [1]\n  c: {}\n# -- Alone.\nd: x\n"
    told = readme.tables(text)
    assert '| `d` | `"x"` | Alone. |' in told
    assert "### a\n\nHead.\n\n" in told
    assert "| `a.b` | `[1]` | Says \\| this and that. |\n| `a.c` | `{}` |  |" in told
