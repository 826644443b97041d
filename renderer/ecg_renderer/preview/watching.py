"""The job of a preview: planned, looked at, and done so again whenever its manifest or its scenario changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecg_api.plan import SourceFacts
from ecg_renderer.errors import BrowserError, RenderError
from ecg_renderer.looking import Looker, look_at
from ecg_renderer.media.facts import specifier
from ecg_renderer.media.process import Progress, input_name, option_words, run_ffmpeg, source_options
from ecg_renderer.model import Film, FrameRange
from ecg_renderer.preparation import PreparedJob, prepare_job, versions
from ecg_renderer.request import RunRequest
from ecg_renderer.scenario import Finding
from ecg_renderer.scenario.writing import texts_of
from ecg_renderer.storage import CellStore

LOOK_AGAIN_SECONDS = 0.4
MOST_FINDINGS = 2_000

Json = dict[str, Any]
RequestMaker = Callable[[], RunRequest]


@dataclass
class Watched:
    """What a preview shows.

    Attributes:
        revision: grows with everything that changes below.
        request: the job as its manifest says; the last one that could be read.
        prepared: the last that could be planned; None before the first.
        failure: why the newest could not be, in words: message and hint.
        looked: whether Chromium has been asked about it.
    """

    make: RequestMaker
    request: RunRequest
    manifest: Path | None
    revision: int = 0
    prepared: PreparedJob | None = None
    failure: Json | None = None
    findings: list[Finding] = field(default_factory=list)
    looked: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def store(self) -> CellStore:
        """Where answers of earlier looks are."""
        return CellStore(self.request.cells.as_uri())

    async def changes(self) -> AsyncIterator[int]:
        """Yield the revision, now and whenever it has grown."""
        while True:
            yield self.revision
            await self._changed.wait()

    async def follow(self) -> None:
        """Plan the job now and whenever a file that it is made of changes; never returns."""
        seen: list[object] = []
        looking: asyncio.Task[None] | None = None
        try:
            while True:
                now = await asyncio.to_thread(self._state)
                if now != seen:
                    seen = now
                    if looking:
                        looking.cancel()
                        await asyncio.gather(looking, return_exceptions=True)
                    await self._plan()
                    if self.prepared and not self.failure:
                        looking = asyncio.create_task(self._look(self.prepared))
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
        finally:
            if looking:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)

    async def _plan(self) -> None:
        try:
            self.request = self.make()
            request = self.request
            self.prepared = await prepare_job(request.job, request.base, request.cutting, store=self.store)
            self.failure = None
            self.findings, self.looked = list(self.prepared.scenario.findings), False
        except RenderError as error:
            self.failure = {"message": error.message, "hint": error.hint}
        self._grow()

    async def _look(self, prepared: PreparedJob) -> None:
        """Ask Chromium what would look wrong."""
        found = dict.fromkeys(prepared.scenario.findings)
        try:
            async with Looker(self.store, versions()) as looker:
                seen, _ = await look_at(looker, prepared)
                found |= dict.fromkeys(seen)
        except BrowserError as error:
            found[Finding("no look", "", f"fonts and layout were not looked at: {error}")] = None
        self.findings, self.looked = list(found), True
        self._grow()

    def _grow(self) -> None:
        self.revision += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def _state(self) -> list[object]:
        """Return what changes when a file does that the job is made of."""
        uri = self.request.job.spec.scenario.uri
        local = (
            Path(uri.removeprefix("file://")).expanduser() if uri and "://" not in uri.removeprefix("file://") else None
        )
        files = [self.manifest, self.request.base / local if local else None]
        return [_stamp(file) for file in files if file]


def _stamp(file: Path) -> object:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def whole_film(prepared: PreparedJob) -> Film:
    """Return all captions as one film."""
    return prepared.film(FrameRange(0, prepared.plan.target.frames))


def described(watched: Watched) -> Json:
    """Return what the page shows: the job, its captions for the stage, its cues with their findings."""
    prepared = watched.prepared
    base: Json = {"revision": watched.revision, "failure": watched.failure, "looked": watched.looked, "job": None}
    if prepared is None:
        return base
    target, film = prepared.plan.target, whole_film(prepared)
    rate = target.exact_rate
    base["job"] = {
        "name": prepared.job.metadata.name,
        "source": prepared.source.uri,
        "identity": prepared.source.identity,
        "fit": target.fit,
        "width": target.width,
        "height": target.height,
        "rate": [rate.numerator, rate.denominator],
        "frames": target.frames,
        "stage": film.page_config(stages=1, canvas=False),
        "cues": _cues(prepared),
        "findings": [_finding(finding) for finding in watched.findings[:MOST_FINDINGS]],
        "warnings": list(prepared.plan.warnings[len(prepared.scenario.warnings) :]),
    }
    return base


def _cues(prepared: PreparedJob) -> list[Json]:
    texts: dict[str, list[str]] = {}
    for root, _, text, _, _ in texts_of(prepared.scenario.data):
        texts.setdefault(root["id"], []).append(text)
    cues = []
    for span, origin in zip(prepared.scenario.cues, prepared.scenario.origins, strict=True):
        words = texts.get(prepared.scenario.data["cues"][span.index]["root"]["id"], [])
        said = " ".join(" ".join(words).split())
        cues.append({"id": span.id, "index": origin, "start": span.start, "end": span.end, "text": said[:200]})
    return cues


def _finding(finding: Finding) -> Json:
    return {
        "kind": finding.kind,
        "path": finding.path,
        "problem": finding.problem,
        "hint": finding.hint,
        "cue": finding.cue,
        "word": finding.word,
    }


# --- what a browser plays of the source: the file itself, or a small copy of it -------------------


COPY_HEIGHT = 540
# What every browser plays; the page asks for a copy of anything else, and where a file does not play after all.
_PLAYED = {
    ("h264", "yuv420p"): {"mov", "mp4", "matroska"},
    ("vp8", "yuv420p"): {"matroska", "webm"},
    ("vp9", "yuv420p"): {"matroska", "webm", "mov", "mp4"},
    ("av1", "yuv420p"): {"matroska", "webm", "mov", "mp4"},
}


def plays_itself(prepared: PreparedJob) -> bool:
    """Tell whether browsers are expected to play the source as it is: a local file of a common kind."""
    source = prepared.source
    containers = _PLAYED.get((source.codec, source.pixel_format), set())
    return Path(prepared.source_url).is_file() and bool(containers & set(source.container.split(",")))


def copy_arguments(source: SourceFacts, url: str, output: Path) -> list[str]:
    """Return FFmpeg's arguments that write a small H.264 copy of the video at `url`, which every browser plays."""
    opened = option_words(source_options(url))
    picture = ["-vf", f"scale=-2:min({COPY_HEIGHT}\\,trunc(ih/2)*2),format=yuv420p"]
    video = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-g", "25"]
    sound = ["-map", "0:a:0?", "-c:a", "aac", "-ac", "2"]
    file = ["-movflags", "+faststart", f"file:{output}"]
    return [*opened, "-i", input_name(url), "-map", f"0:{specifier(source)}", *picture, *video, *sound, *file]


@dataclass
class SourceCopy:
    """A small H.264 copy of a source, made once, when it is first asked for.

    Attributes:
        done: how much of it there is, 0 to 1.
        failure: why there will be none.
    """

    folder: Path
    done: float = 0.0
    failure: str = ""
    path: Path | None = None
    _task: asyncio.Task[None] | None = field(default=None, repr=False)
    _identity: str = ""

    def begin(self, prepared: PreparedJob) -> None:
        """Make the copy, unless it is being made or there already."""
        if self._task and self._identity == prepared.source.identity:
            return
        self._identity, self.done, self.failure, self.path = prepared.source.identity, 0.0, "", None
        self._task = asyncio.create_task(self._make(prepared), name="copy of the source")

    async def close(self) -> None:
        """End the copying."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _make(self, prepared: PreparedJob) -> None:
        seconds = max(0.1, float(prepared.source.duration_seconds))

        def note(progress: Progress) -> None:
            self.done = min(0.99, progress.seconds / seconds)

        file = self.folder / "source.mp4"
        redact = {prepared.source_url: prepared.source.uri}
        try:
            await run_ffmpeg(
                copy_arguments(prepared.source, prepared.source_url, file),
                action="copying the source for the browser",
                on_progress=note,
                redact=redact,
            )
        except RenderError as error:
            self.failure = error.message
            return
        self.path, self.done = file, 1.0
