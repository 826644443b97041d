"""Request bodies, as the captioning backend writes them."""

from __future__ import annotations

import json
from typing import Any

JOB_ID = "f70a8eb4-3c1d-4a55-9d7e-2b6f7e0f5a11"
CALLBACK = "http://localhost:8000/api/render/callback"
VIDEO = "https://media.example.com/videos/7/talk.mp4"
SCENARIO = {"version": "2.0", "cues": [{"id": "cue-1", "root": {"eType": "group", "displayTime": [0, 1]}}]}
OPTIONS = {"width": 1920, "height": 1080, "fps": 30, "quality": 90, "format": "mp4"}


def render_body(**changes: Any) -> dict[str, Any]:
    """Return the body of POST /render; a change to `...` leaves a field out."""
    body = {"jobId": JOB_ID, "videoUrl": VIDEO, "scenario": SCENARIO, "options": OPTIONS, "callbackUrl": CALLBACK}
    return {name: value for name, value in {**body, **changes}.items() if value is not ...}


def large_scenario(cues: int = 1000, size: int = 5_000_000) -> dict[str, Any]:
    """Return a scenario of about `size` bytes of JSON, with Korean text, as an editor writes it."""
    words = size // cues // 400
    return {"version": "2.0", "pluginApiVersion": "3.0", "cues": [_cue(number, words) for number in range(cues)]}


def _cue(number: int, words: int) -> dict[str, Any]:
    start = number * 0.5
    children = [
        {
            "id": f"word-{number}-{word}", "eType": "text", "text": "안녕하세요" * 3, "baseTime": [start, start + 0.1],
            "pluginChain": [{
                "name": "cwi-color@2.0.0", "timeOffset": [-0.3, 0.3],
                "params": {"speaker": "화자", "palette": "define.speakerPalette", "color": "#ff00aa", "bulk": False},
            }],
            "style": {"opacity": 1},
        }
        for word in range(words)
    ]  # fmt: skip
    times = [start, start + 0.5]
    root = {"id": f"clip-{number}", "eType": "group", "displayTime": times, "children": children}
    return {"id": f"cue-{number}", "track": "caption", "domLifetime": times, "root": root}


def encoded(body: dict[str, Any]) -> bytes:
    """Return JSON as the backend writes it: ASCII only."""
    return json.dumps(body).encode()
