"""Everything that FFmpeg does: probe the source, encode segments with captions over them, merge, verify.

probe ──> SourceFacts ──> arguments ──> process ──> segment files ──> merge, which reads them back
encoder ─> which encoder ────┘
"""
