"""What one job makes, besides its main video: which captions share a size, how each result is written and described."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_api.options import Options
from ecg_api.plan import SourceFacts
from ecg_api.renderjob import RenderJob
from ecg_api.renditions import Rendition, content_of, format_of, live_place, options_of
from ecg_api.status import CaptionsBox, RenditionStatus
from ecg_renderer.errors import Cancelled, ManifestError, RenderError
from ecg_renderer.media.alone import Alone, write_alone
from ecg_renderer.media.merge import Verified, sha256_of
from ecg_renderer.model import Box, FrameRange
from ecg_renderer.planning import output_size
from ecg_renderer.preparation import PreparedJob
from ecg_renderer.scenario import Scenario, canonical_hash
from ecg_renderer.storage import FileStorage, FolderStorage, Storage, open_result, open_storage

MAIN = "main"


@dataclass(frozen=True)
class Take:
    """Results of one size, which share their caption pictures: at most one video, and captions alone.

    `video` is what the video is called, empty for none; `job` has the options, and the output, of that video.
    """

    job: RenderJob
    video: str
    alone: tuple[Rendition, ...] = ()

    def holds(self, rendition: Rendition) -> bool:
        """Tell whether a rendition is one of the take's results."""
        return rendition.uri in {self.job.spec.output.uri, *(one.uri for one in self.alone)}


def takes_of(job: RenderJob, source: SourceFacts) -> list[Take]:
    """Return the takes of a job, that of its main video first; raises OptionsError for a size that is impossible."""
    bare = job.model_copy(update={"spec": job.spec.model_copy(update={"renditions": []})})
    takes = [Take(bare, MAIN)]
    pictured = [rendition for rendition in job.spec.renditions if content_of(rendition) != "subtitles"]
    takes += [Take(_of(bare, one), one.title) for one in pictured if content_of(one) == "video"]
    for rendition in pictured:
        if content_of(rendition) == "captions":
            _join(takes, Take(_of(bare, rendition), "", (rendition,)), source)
    return takes


def described(job: RenderJob, source: SourceFacts) -> list[dict[str, str | int]]:
    """Return for each rendition what will be made: name, content, uri, format, and of pictures width and height."""
    told: list[dict[str, str | int]] = []
    for rendition in job.spec.renditions:
        values: dict[str, str | int] = {"name": rendition.title, "content": content_of(rendition), "uri": rendition.uri}
        values["format"] = format_of(rendition)
        if content_of(rendition) != "subtitles":
            width, height = _size(options_of(rendition, job.spec.options), source)
            values |= {"width": width, "height": height}
        told.append(values)
    return told


def _of(job: RenderJob, rendition: Rendition) -> RenderJob:
    output, folder = job.spec.output, rendition.uri.rpartition("/")[0]
    published = output.public_base_url if folder == output.uri.rpartition("/")[0] else None
    output = output.model_copy(update={"uri": rendition.uri, "public_base_url": published})
    changes = {"options": options_of(rendition, job.spec.options), "output": output, "live": None}
    return job.model_copy(update={"spec": job.spec.model_copy(update=changes)})


def _join(takes: list[Take], more: Take, source: SourceFacts) -> None:
    """Add captions alone to the first take of their size, or as a take of their own."""
    for number, take in enumerate(takes):
        if _size(take.job.spec.options, source) == _size(more.job.spec.options, source):
            takes[number] = Take(take.job, take.video, (*take.alone, *more.alone))
            return
    takes.append(more)


def _size(options: Options, source: SourceFacts) -> tuple[int, int]:
    return output_size(source, options)[:2]


def check_results(job: RenderJob, base: Path, source: SourceFacts, source_url: str) -> None:
    """Prove that every rendition can be written, and leave no trace.

    Raises StorageError and its kin, ManifestError for two at one place, by whatever links, or one in a folder that
    another is or that is watched, and OptionsError for a size that is impossible.
    """
    main = open_result(job.spec.output.uri, base)
    taken = {_real(main): ("spec.output", main.name)}
    if job.spec.live is not None:
        live = open_storage(live_place(job.spec.live.uri, job.spec.output.uri), base)
        taken[f"{_real(live).rstrip('/')}/"] = ("spec.live", live.name)
    for number, rendition in enumerate(job.spec.renditions):
        place, field = open_result(rendition.uri, base), f"spec.renditions[{number}]"
        real = _real(place)
        there = next((one for one in taken if _is_one_place(one, real)), None)
        if there is not None:
            raise ManifestError(
                f"{field}.uri is {place.name}, where {_occupied(*taken[there], there, real, place.name)}.",
                hint="Give each result a place of its own, and a folder of pictures, or to watch, nothing else.",
            )
        taken[real] = (field, place.name)
        try:
            if content_of(rendition) != "subtitles":
                _size(options_of(rendition, job.spec.options), source)
            with place.output(_key(job, place), source=source_url):
                pass
        except RenderError as error:
            error.message = f"{field}: {error.message}"
            error.args = (error.message,)
            raise


def _real(place: Storage | FolderStorage) -> str:
    """Return the name of a place; of one on this machine where links lead, with the slash of a folder."""
    if isinstance(place, FolderStorage):
        return f"{os.path.realpath(place.path).rstrip('/')}/"
    return os.path.realpath(place.path) if isinstance(place, FileStorage) else place.name


def _occupied(field: str, given: str, there: str, real: str, name: str) -> str:
    """Say why `name`, really `real`, is not free: `field` calls `given` what is really `there`."""
    if there == real:
        return f"{field} is written too{'' if given.rstrip('/') == name.rstrip('/') else f', as {given}'}"
    watched = field == "spec.live" and f"{real}/".startswith(there)
    why = "the folder to watch holds nothing else" if watched else "a folder of pictures is replaced as a whole"
    return f"{field} is {given}: {why}"


def _is_one_place(one: str, other: str) -> bool:
    """Tell whether two names of places are of one, or of a folder and what is in it."""
    in_folder = (one.endswith("/") and other.startswith(one)) or (other.endswith("/") and one.startswith(other))
    return in_folder or one.rstrip("/") == other.rstrip("/")


def _key(job: RenderJob, place: Storage | FolderStorage) -> str:
    return canonical_hash([job.metadata.name, place.name])


async def write_captions(
    prepared: PreparedJob, rendition: Rendition, cells: Sequence[tuple[Path, FrameRange]], base: Path
) -> RenditionStatus:
    """Write captions alone, made of `cells`; return the result, or with a failure what keeps it from being there."""
    job, place = prepared.job, open_result(rendition.uri, base)
    try:
        with place.output(_key(job, place), source=prepared.source_url) as output:
            made = await _in_thread(
                lambda stopped: write_alone(
                    cells,
                    written=format_of(rendition),
                    quality=options_of(rendition, job.spec.options).quality,
                    target=prepared.plan.target,
                    source=prepared.source,
                    output=output.path,
                    stopped=stopped,
                )
            )
            final = await asyncio.to_thread(output.commit)
        return result_of(_of(job, rendition), rendition.title, "captions", place, final, made.verified, made.box)
    except Cancelled:
        raise
    except RenderError as error:
        return failed(rendition, error)


async def _in_thread(work: Callable[[Callable[[], bool]], Alone]) -> Alone:
    """Do `work` in a thread; when it is no longer waited for it is told to stop, and has before the caller goes on."""
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop.is_set))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


def soft_subtitles(prepared: PreparedJob) -> str:
    """Return the .srt text that the video carries as a track; empty where none is wanted, or nothing is said."""
    if not prepared.job.spec.options.soft_subtitles:
        return ""
    from ecg_renderer.subtitles.spoken import written_subtitles

    return written_subtitles(prepared.scenario, "srt")


async def write_subtitles(job: RenderJob, rendition: Rendition, scenario: Scenario, base: Path) -> RenditionStatus:
    """Write a file of subtitles from a prepared scenario; return the result, or what keeps it from being there."""
    from ecg_renderer.subtitles.spoken import written_subtitles

    place = open_result(rendition.uri, base)
    try:
        with place.output(_key(job, place)) as output:
            text = written_subtitles(scenario, format_of(rendition))
            await asyncio.to_thread(output.path.write_text, text, encoding="utf-8")
            verified = Verified(0, 0.0, output.path.stat().st_size, sha256_of(output.path))
            final = await asyncio.to_thread(output.commit)
        return result_of(_of(job, rendition), rendition.title, "subtitles", place, final, verified)
    except RenderError as error:
        return failed(rendition, error)


def result_of(
    job: RenderJob,
    name: str,
    content: str,
    place: Storage | FolderStorage,
    final: str,
    verified: Verified,
    box: Box | None = None,
) -> RenditionStatus:
    """Return what there is to say about a finished result; `final` is the name that it was given."""
    wanted = job.spec.output
    uri = place.name if place.name.startswith("s3://") else final
    seen = box or Box(0, 0, 0, 0)
    return RenditionStatus(
        name=name,
        content=content,
        uri=uri,
        url=place.public_url(wanted.public_base_url, wanted.presign_seconds),
        size_bytes=verified.size_bytes,
        frames=verified.frames,
        sha256=verified.sha256,
        box=CaptionsBox(x=seen.x, y=seen.y, width=seen.width, height=seen.height) if content == "captions" else None,
        replica=place.replica,
    )


def uncopied(results: Iterable[RenditionStatus]) -> list[str]:
    """Return a warning for each result whose copy is missing."""
    return [f"{one.name}: {one.replica.problem}" for one in results if one.replica and one.replica.problem]


def failed(rendition: Rendition, error: RenderError) -> RenditionStatus:
    """Return what there is to say about a rendition that could not be made."""
    return RenditionStatus(
        name=rendition.title, content=content_of(rendition), uri=rendition.uri, failure=error.failure()
    )
