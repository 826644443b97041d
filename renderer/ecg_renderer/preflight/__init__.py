"""What `ecg-render doctor --cluster` looks at, and how it judges.

looking (kubectl) ── Facts ──> checks (pure) ── Check ──> cli
"""

from ecg_renderer.preflight.checks import Facts, Trial, examine_cluster
from ecg_renderer.preflight.looking import look

__all__ = ["Facts", "Trial", "examine_cluster", "look"]
