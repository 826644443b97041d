"""What to do next about a RenderJob, as a pure function of what was observed."""

from ecg_operator.decide.orchestrator import decide

__all__ = ["decide"]
