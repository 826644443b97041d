"""`python -m bench`: what captions cost above a plain FFmpeg transcode. Method: docs/benchmarks.md."""
