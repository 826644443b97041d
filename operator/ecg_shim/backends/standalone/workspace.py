"""Where the files of a job lie.

<folder>/jobs.sqlite                the queue
<folder>/lock                       held by the service that uses this folder
<folder>/jobs/<key>-<hash>/         scenario, manifest and result, while the job is not ended
<work folder>/cells/                finished pieces of video, for all jobs; see `ecg-render cells`
<work folder>/live-<folder's hash>/<key>-<hash>/    playlists, and links to pieces, for those who watch
<folder>/outputs/<key>/output.mp4   the video, unless it goes to S3

The hash is that of what was posted: another job of the same id never meets the files of the former one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ecg_api.renderjob import API_VERSION, KIND
from ecg_shim.model import RenderOrder, Unavailable

LOCK_SECONDS = 5.0
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def folder_key(job_id: str) -> str:
    """Return a name for the job's folders: its id, or a hash where that is no safe file name."""
    if _PLAIN.fullmatch(job_id):
        return job_id
    return hashlib.sha256(job_id.encode(errors="replace")).hexdigest()


def _job_key(job_id: str, payload_hash: str) -> str:
    return f"{folder_key(job_id)}-{hashlib.sha256(payload_hash.encode()).hexdigest()[:12]}"


def _lock(file: int) -> None:
    """Lock an open file for this process. Raises BlockingIOError if it stays another one's.

    A child that a killed service was just starting has its files until it runs its program or is ended, a moment later.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class Workspace:
    """The files of one standalone service."""

    def __init__(self, folder: Path, work_folder: Path | None = None) -> None:
        self.folder = folder.absolute()
        self._work = (work_folder or folder / "work").absolute()
        # Beside the pieces, so that both can be the same files; services may share that folder.
        self._live = self._work / f"live-{hashlib.sha256(bytes(self.folder)).hexdigest()[:12]}"
        self.database = self.folder / "jobs.sqlite"
        self._lock: int | None = None

    def claim(self) -> None:
        """Hold the folder for this process. Raises Unavailable if another one has it, or it cannot be written."""
        try:
            # Addresses of videos may carry signatures: nobody else reads them here.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / "jobs").mkdir(exist_ok=True)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            _lock(self._lock)
        except BlockingIOError:
            self.release()
            raise Unavailable(
                f"Another service uses {self.folder}. Stop it, or give this one a folder of its own."
            ) from None
        except OSError as error:
            self.release()
            raise Unavailable(f"{self.folder} cannot be used: {error.strerror}.") from error

    def release(self) -> None:
        """Let the folder go."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def of(self, job_id: str, payload_hash: str) -> Path:
        """Return the folder of a job that is not ended."""
        return self.folder / "jobs" / _job_key(job_id, payload_hash)

    @property
    def cells(self) -> Path:
        """The folder for finished pieces of video, from which another try, and the next export, go on."""
        return self._work / "cells"

    def outputs(self, job_id: str) -> Path:
        """Return the folder for a job's video."""
        return self.folder / "outputs" / folder_key(job_id)

    def live(self, job_id: str, payload_hash: str) -> Path:
        """Return the folder in which a job can be watched."""
        return self._live / _job_key(job_id, payload_hash)

    def scenario(self, job_id: str, payload_hash: str) -> Path:
        """Return where a job's scenario lies."""
        return self.of(job_id, payload_hash) / "scenario.json"

    def result(self, job_id: str, payload_hash: str, seq: int) -> Path:
        """Return the file that a renderer prints its result into."""
        return self.of(job_id, payload_hash) / f"result-{seq}.json"

    def keep_scenario(self, job_id: str, payload_hash: str, text: bytes) -> None:
        """Put a scenario onto the disk, for good. Raises Unavailable if that is full or not writable."""
        path = self.scenario(job_id, payload_hash)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{time.monotonic_ns()}.part")
            with part.open("wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise Unavailable(f"The scenario of job {job_id} cannot be kept in {path.parent}: {error.strerror}.") from (
                error
            )

    def write_manifest(self, order: RenderOrder, output: str) -> Path:
        """Write what the renderer reads; return its path. Raises OSError."""
        job_id = order.job_id
        scenario = self.scenario(job_id, order.payload_hash)
        manifest: dict[str, Any] = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": f"job-{hashlib.sha256(job_id.encode(errors='replace')).hexdigest()[:32]}"},
            "spec": {
                "source": {"uri": order.video_url},
                "scenario": {"uri": scenario.name},
                "output": {"uri": output},
                **order.options.spec(output),
            },
        }
        if order.options.live:
            manifest["spec"]["live"] = {"uri": str(self.live(job_id, order.payload_hash))}
        path = scenario.with_name("manifest.json")
        path.write_text(json.dumps(manifest))
        return path

    def clear(self, job_id: str, payload_hash: str) -> None:
        """Remove the files of a job that has ended; its video stays."""
        shutil.rmtree(self.of(job_id, payload_hash), ignore_errors=True)

    def remove_output(self, job_id: str) -> None:
        """Remove a job's video."""
        shutil.rmtree(self.outputs(job_id), ignore_errors=True)

    def remove_abandoned(self, in_use: Collection[tuple[str, str]]) -> None:
        """Remove files of jobs that are not `in_use` (id and hash): left by a crash between two steps."""
        keys = {_job_key(job_id, payload_hash) for job_id, payload_hash in in_use}
        for path in list((self.folder / "jobs").iterdir()):
            if path.name not in keys:
                shutil.rmtree(path, ignore_errors=True)

    def remove_live(self, in_use: Collection[tuple[str, str]]) -> None:
        """Remove what was there to watch of jobs that are not `in_use` (id and hash)."""
        keys = {_job_key(job_id, payload_hash) for job_id, payload_hash in in_use}
        for path in self._live.iterdir() if self._live.is_dir() else ():
            if path.name not in keys:
                shutil.rmtree(path, ignore_errors=True)

    def free_bytes(self) -> int:
        """Return how much the disk still takes."""
        return shutil.disk_usage(self.folder).free
