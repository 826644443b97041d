"""Storage profiles: what is refused and in which words, which one a job's results go to, and where they lie then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_common.profiles import AUTO, StorageProfiles, profiles, read_profiles, variable_of

SEOUL = {"name": "seoul", "bucket": "videos-seoul", "region": "ap-northeast-2", "replica": "oregon"}
OREGON = {"name": "oregon", "bucket": "videos-oregon", "region": "us-west-2", "sources": ["uploads"]}
TWIN = {"name": "twin", "bucket": "videos-seoul", "endpoint": "https://minio.example.com/"}


def read(*given: dict[str, Any]) -> StorageProfiles:
    return read_profiles(json.dumps(given))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([SEOUL], "the replica of seoul is 'oregon'; none is set up"),
        ([{**SEOUL, "replica": "seoul"}, OREGON], "the replica of seoul is 'seoul'; there are oregon"),
        ([OREGON, {**SEOUL, "sources": ["uploads"]}], "sources of seoul: uploads belongs to oregon already"),
        ([{**OREGON, "sources": ["here"]}, {"name": "b", "bucket": "here"}], "sources of oregon: here belongs to b"),
        ([{"name": "b", "bucket": "here"}, {**OREGON, "sources": ["here"]}], "sources of oregon: here belongs to b"),
        ([OREGON, OREGON], "two profiles are called oregon"),
        ([{**OREGON, "name": "auto"}], "[0].name: 'auto' cannot be a profile's name"),
        ([{"name": "a"}], "[0].bucket: Field required"),
        ([{**OREGON, "bucket": "a/b"}], "'a/b' cannot be a bucket"),
        ([{**OREGON, "endpoint": "https://me:pass@host"}], "[0].endpoint: must be http(s)://host, without a user"),
        ([{**OREGON, "secret": "AKIA/wJalr"}], "[0].secret: must be the name of a Secret, not what is in it"),
        ([{**OREGON, "accessKeyId": "AKIA"}], "[0].accessKeyId: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_that_shows_no_value_of_a_key(
    given: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(ValueError, match=r"^ECG_STORAGE_PROFILES") as refused:
        read(*given)
    assert words in str(refused.value)
    assert not any(secret in str(refused.value) for secret in ("pass@", "AKIA", "wJalr"))


def test_the_environment_has_none_unless_it_says_so() -> None:
    assert profiles({}).root == () == profiles({"ECG_STORAGE_PROFILES": " "}).root
    with pytest.raises(ValueError, match="none is set up"):
        profiles({}).chosen(AUTO, "s3://a/b.mp4")
    assert variable_of("east-1", "ACCESS_KEY_ID") == "ECG_STORAGE_EAST_1_ACCESS_KEY_ID"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("s3://videos-oregon/a.mp4", "oregon"),
        ("s3://uploads/a.mp4", "oregon"),
        ("s3://elsewhere/a.mp4", "seoul"),
        ("https://anybody.s3.us-west-2.amazonaws.com/a.mp4", "oregon"),
        ("https://s3.dualstack.us-west-2.amazonaws.com/anybody/a.mp4", "oregon"),
        ("https://s3.eu-central-1.amazonaws.com/uploads/a.mp4", "oregon"),
        ("https://anybody.s3.eu-central-1.amazonaws.com/a.mp4", "seoul"),
        ("https://s3.us-west-2.amazonaws.com.example.com/a.mp4", "seoul"),
        ("https://example.com/s3.us-west-2.amazonaws.com/a.mp4", "seoul"),
        ("talk.mp4", "seoul"),
    ],
)
def test_auto_is_the_profile_of_the_sources_bucket_else_of_its_region_else_the_first(source: str, name: str) -> None:
    assert read(SEOUL, OREGON, TWIN).chosen(AUTO, source) == name


def test_results_lie_in_the_bucket_of_the_profile_or_are_refused() -> None:
    places = read(SEOUL, OREGON, TWIN)
    assert places.chosen("oregon", "") == "oregon"
    assert places.address("oregon", "s3:///out/a b.mp4") == "s3://videos-oregon/out/a b.mp4"
    assert places.address("oregon", "s3://videos-oregon/a.mp4") == "s3://videos-oregon/a.mp4"
    for uri in ("s3://videos-oregon2/a.mp4", "s3://uploads/a.mp4", "out.mp4", "file:///a.mp4"):
        with pytest.raises(ValueError, match="is not in the bucket of the storage profile 'oregon'; write s3:///key"):
            places.address("oregon", uri)
    with pytest.raises(ValueError, match="there is no storage profile 'tokyo'; there are seoul, oregon, twin"):
        places.chosen("tokyo", "")
    with pytest.raises(ValueError, match="'twin' is for copies only: s3://videos-seoul leads to 'seoul'"):
        places.chosen("twin", "")


def test_a_job_goes_on_only_where_it_has_begun() -> None:
    places = read(SEOUL, OREGON, TWIN)
    assert places.kept("oregon", "videos-oregon") == "oregon"
    with pytest.raises(ValueError, match="'twin' is for copies only now: s3://videos-seoul leads to 'seoul'"):
        places.kept("twin", "videos-seoul")


@given(st.text(max_size=80))
def test_no_source_whatever_it_is_keeps_auto_from_choosing(source: str) -> None:
    assert read(OREGON, {**SEOUL, "replica": ""}).chosen(AUTO, source) in ("oregon", "seoul")
