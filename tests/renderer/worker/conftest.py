"""A clip of three seconds whose captions move, and a job that renders it in three segments."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import scenario
from s3 import Bucket, S3Server
from worker_pods import Json, Pods, job_of, moving_captions, put_video


@pytest.fixture
def captions() -> Json:
    """A scenario of three seconds."""
    return moving_captions()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the video."""
    return put_video(tmp_path)


@pytest.fixture
def pods(folder: Path, captions: Json) -> Pods:
    """The pods of a job with an inline scenario, whose work files are in a folder."""
    return Pods(folder, job_of(folder, captions))


@pytest.fixture(scope="session")
def plan_made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work files after the plan."""
    folder = put_video(tmp_path_factory.mktemp("planned"))
    pods = Pods(folder, job_of(folder, moving_captions()))
    end = pods.run("plan")
    assert end.code == 0, end.log
    return pods.work


@pytest.fixture
def planned(pods: Pods, plan_made_once: Path) -> Pods:
    """The pods of a job whose plan is there."""
    shutil.copytree(plan_made_once, pods.work)
    return pods


@pytest.fixture(scope="session")
def segments_made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work files after all segments, which have no captions, so that no browser is needed."""
    folder = put_video(tmp_path_factory.mktemp("ready"))
    pods = Pods(folder, job_of(folder, scenario()))
    for end in [pods.run("plan"), *(pods.segment(index, "0-2") for index in range(3))]:
        assert end.code == 0, end.log
    return pods.work


@pytest.fixture
def ready(pods: Pods, segments_made_once: Path) -> Pods:
    """The pods of a job whose segments are all there."""
    shutil.copytree(segments_made_once, pods.work)
    return pods


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server that other tests use too: nobody stops it."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    """A new bucket; pods get the way to it by their environment."""
    return s3_server.new_bucket()
