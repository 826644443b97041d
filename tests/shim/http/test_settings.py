"""Environment variables: read, checked at the start, documented; and the options of requests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ecg_shim.__main__ import environment, main, parse, table
from ecg_shim.options import InvalidOptions, render_options
from ecg_shim.settings import PASSED_ON, WITHOUT_EFFECT, Settings
from ecg_shim.variables import SettingsError
from ecg_shim.wiring import data_folder, rules_of

ROOT = Path(__file__).parents[3]
EVERY = [*(declared for _, declared in Settings.variables()), *PASSED_ON, *WITHOUT_EFFECT]
OF_THE_EARLIER_SERVER = {
    "S3_BUCKET": "", "REDIS_URL": "", "BACKEND_CALLBACK_URL": "", "MAX_CONCURRENT_JOBS": "3",
    "TEMP_DIR": "/tmp/render", "CALLBACK_RETRY_COUNT": "3", "CALLBACK_TIMEOUT": "30", "LOG_LEVEL": "INFO",
    "USE_PARALLEL_RENDERING": "true", "BROWSER_POOL_SIZE": "4", "RENDER_MODE": "auto", "ECG_RENDER_MODE": "auto",
    "ENVIRONMENT": "development", "CELERY_BROKER_URL": "", "CELERY_RESULT_BACKEND": "", "RENDER_PAGE_URL": "",
    "REDIS_POOL_SIZE": "20", "ENABLE_GPU_ENCODING": "true", "ENABLE_MEMORY_OPTIMIZER": "true", "WORKER_ID": "",
    "WORKER_NAME": "", "MEMORY_THRESHOLD_MB": "500", "QUEUE_MAX_SIZE": "60", "AWS_PROFILE": "",
    "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_DEFAULT_REGION": "", "S3_BUCKET_NAME": "",
    "MODEL_SERVER_URL": "", "REDIS_AUTH_TOKEN": "",
}  # fmt: skip


@pytest.mark.parametrize(("name", "default"), OF_THE_EARLIER_SERVER.items())
def test_every_variable_of_the_earlier_server_is_known_with_its_default(name, default):
    (declared,) = [one for one in EVERY if name in one.names]
    assert declared.default == default
    assert declared.effect.endswith(".")


WRONG = {
    "MAX_CONCURRENT_JOBS": ("many", "a whole number from 1 to 64"),
    "BROWSER_POOL_SIZE": ("0", "1 to 32"),
    "CALLBACK_TIMEOUT": ("-1", "seconds, 0.1 to 600"),
    "CALLBACK_RETRY_COUNT": ("1.5", "a whole number"),
    "LOG_LEVEL": ("LOUD", "DEBUG"),
    "USE_PARALLEL_RENDERING": ("maybe", "true, false"),
    "ENABLE_GPU_ENCODING": ("2", "true, false"),
    "ENVIRONMENT": ("prod", "production"),
    "ECG_RENDER_MODE": ("gpu", "auto, standalone, kubernetes, celery, distributed, worker"),
    "RENDER_MODE": ("redis", "standalone"),
    "REDIS_POOL_SIZE": ("lots", "a whole number"),
    "S3_BUCKET": ("My_Bucket", "a bucket's name"),
    "AWS_ENDPOINT_URL": ("s3.local", "http://"),
    "ENABLE_MEMORY_OPTIMIZER": ("perhaps", "true, false"),
    "RENDER_PAGE_URL": ("editor", "https://"),
    "ECG_VIDEO_URL_QUERY": ("DELETE FROM render_jobs", "SELECT"),
    "ECG_MAX_REQUEST_MB": ("8", "16 to 1024"),
}


@pytest.mark.parametrize(("name", "value", "good"), [(name, *rest) for name, rest in WRONG.items()])
def test_a_wrong_value_is_refused_with_what_would_be_right(name, value, good):
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({name: value})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{name} is {value!r}; it must be ")
    assert good in problem


def test_all_problems_are_told_at_once_and_no_secret_among_them():
    wrong = {"ECG_VIDEO_URL_DSN": "hunter2", "REDIS_URL": "hunter2", "ENVIRONMENT": "x"}
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(wrong)
    assert len(caught.value.problems) == 3
    assert "hunter2" not in str(caught.value)
    for mistake in ({"secretAccessKey": "hunter2"}, {"endpoint": "https://me:hunter2@host"}):
        given = json.dumps([{"name": "x", "bucket": "bb", **mistake}])
        with pytest.raises(SettingsError, match=r"^ECG_STORAGE_PROFILES is not usable: \[0\]\.(sec|end)") as caught:
            Settings.from_environment({"ECG_STORAGE_PROFILES": given})
        assert "hunter2" not in str(caught.value)


READ = {
    "ECG_RENDER_MODE": ({"ECG_RENDER_MODE": "Standalone", "RENDER_MODE": "celery"}, "mode", "standalone"),
    "RENDER_MODE": ({"RENDER_MODE": "celery"}, "mode", "celery"),
    "S3_BUCKET_NAME": ({"S3_BUCKET_NAME": "videos-dev"}, "bucket", "videos-dev"),
    "empty is unset": ({"MAX_CONCURRENT_JOBS": " "}, "max_concurrent_jobs", 3),
    "words for false": ({"USE_PARALLEL_RENDERING": "Off"}, "parallel_rendering", False),
    "a trailing slash": ({"ECG_PUBLIC_URL": "https://r.example.com/"}, "public_url", "https://r.example.com"),
    "lists": ({"ECG_VIDEO_HOSTS": "a.example, .b.example"}, "video_hosts", ("a.example", ".b.example")),
    "a socket of this machine": ({"REDIS_URL": "unix:///run/redis.sock"}, "redis_url", "unix:///run/redis.sock"),
    "log levels": ({"LOG_LEVEL": "warn"}, "log_level", "WARNING"),
}


@pytest.mark.parametrize(("given", "field", "value"), READ.values(), ids=READ.keys())
def test_values_are_read_as_people_write_them(given, field, value):
    assert getattr(Settings.from_environment(given), field) == value


@pytest.mark.parametrize("value", ["unix://", "unix:///", "redis:///run/redis.sock"])
def test_an_address_names_a_host_or_a_socket(value):
    with pytest.raises(SettingsError, match="REDIS_URL"):
        Settings.from_environment({"REDIS_URL": value})


@pytest.mark.parametrize(
    ("given", "private"),
    [
        ({}, True),
        ({"ECG_HOST": "::1"}, True),
        ({"ECG_HOST": "0.0.0.0"}, False),
        ({"ECG_HOST": "0.0.0.0", "ECG_PRIVATE_ADDRESSES": "allow"}, True),
        ({"ECG_PRIVATE_ADDRESSES": "refuse"}, False),
    ],
)
def test_private_addresses_are_open_only_while_nobody_else_can_ask(given, private):
    rules = rules_of(Settings.from_environment(given))
    assert (rules.videos.private, rules.videos.files, rules.callbacks.private) == (private, private, private)


def test_the_known_backend_may_be_called_back_at_a_private_address():
    given = {"ECG_HOST": "0.0.0.0", "BACKEND_CALLBACK_URL": "http://backend:8000"}
    assert rules_of(Settings.from_environment(given)).callbacks.trusted == ("backend",)


def test_arguments_take_the_place_of_their_variables():
    given = parse(["--mode", "standalone", "--host", "0.0.0.0", "--port", "0", "--data-dir", "/srv/ecg"])
    own = {"ECG_PORT": "9", "ECG_RENDER_MODE": "celery", "ENVIRONMENT": "production"}
    settings = Settings.from_environment(environment(given, own))
    assert (settings.mode, settings.host, settings.port) == ("standalone", "0.0.0.0", 0)
    assert (data_folder(settings), settings.environment) == (Path("/srv/ecg"), "production")


def test_the_list_of_settings_shows_values_in_force_but_no_secrets():
    own = {"ECG_API_TOKEN": "hunter2", "AWS_SECRET_ACCESS_KEY": "hunter2", "REDIS_URL": "redis://:hunter2@r",
           "MAX_CONCURRENT_JOBS": "7", "AWS_REGION": "us-east-1"}  # fmt: skip
    listed = "\n".join(table(Settings.from_environment(own), own))
    assert "hunter2" not in listed
    unset = "ECG_STORAGE_PROFILES=\n"
    for line in ("ECG_API_TOKEN=(set)", "MAX_CONCURRENT_JOBS=7", "AWS_REGION=us-east-1", "REDIS_URL=(set)", unset):
        assert line in listed


@pytest.mark.parametrize("declared", EVERY, ids=lambda one: one.name)
def test_every_variable_is_documented_with_its_default_and_effect(declared):
    names = ", ".join(f"`{name}`" for name in declared.names)
    default = f"`{declared.default}`" if declared.default else ""
    assert f"| {names} | {default} | {declared.effect} |" in (ROOT / "docs" / "http.md").read_text()


OPTIONS = {
    "nothing given": ({}, {"width": 1920, "height": 1080, "fps": 30, "quality": 90, "format": "mp4"}),
    "odd sizes": ({"width": 481, "height": 853}, {"width": 482, "height": 854}),
    "numbers as text": ({"width": "1280", "quality": "75", "fps": "29.97"},
                        {"width": 1280, "quality": 75, "fps": "29.97"}),
    "whole floats": ({"width": 1280.0, "fps": 25.0}, {"width": 1280, "fps": 25.0}),
    "capital dead_letters": ({"format": "MOV"}, {"format": "mov"}),
    "camelCase": ({"framePolicy": "drop", "unknownPlugins": "static"},
                  {"frame_policy": "drop", "unknown_plugins": "static"}),
    "snake_case": ({"frame_policy": "drop"}, {"frame_policy": "drop"}),
    "the older name of layout": ({"layoutMode": "preview"}, {"layout": "preview"}),
    "nulls and unknown fields": ({"width": None, "codec": "av1"}, {"width": 1920}),
    "the largest": ({"width": 3840, "height": 2160, "fps": 60, "quality": 100}, {"width": 3840, "quality": 100}),
    "the smallest": ({"width": 480, "height": 360, "fps": 1, "quality": 10}, {"height": 360, "quality": 10}),
}  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), OPTIONS.values(), ids=OPTIONS.keys())
def test_options_are_read_as_clients_write_them(given, expected):
    assert expected.items() <= render_options(given).model_dump(by_alias=False).items()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"quality": 9}, "options.quality: 9 is below 10"),
        ({"width": True}, "options.width: true is not a whole number"),
        ({"height": "tall"}, "options.height"),
        ({"fps": 121}, "options.fps: 121 is above 120"),
        ({"format": "avi", "fps": []}, "options.format: 'avi' is not one of mp4, mov, webm"),
    ],
)
def test_options_out_of_range_are_named_with_their_bounds(given, words):
    with pytest.raises(InvalidOptions, match=re.escape(words)):
        render_options(given)


def test_the_service_may_lay_captions_out_as_the_editor_does_where_a_request_does_not_say():
    assert render_options({}).layout == "viewport"
    assert render_options({}, layout="preview").layout == "preview"
    assert render_options({"layout": "viewport"}, layout="preview").layout == "viewport"


def test_without_gpu_encoding_the_cpu_encodes_whatever_the_client_wants():
    assert render_options({"encoder": "nvenc"}, gpu_encoding=False).encoder == "cpu"
    assert render_options({"encoder": "nvenc"}).encoder == "nvenc"


def started(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(str(ROOT / part) for part in ("operator", "common", "crds", "renderer"))
    own = {**os.environ, "PYTHONPATH": paths, **variables}
    command = [sys.executable, "-m", "ecg_renderer", "serve", *arguments]
    return subprocess.run(command, env=own, capture_output=True, text=True, timeout=60, check=False)


ENDINGS = {
    "help": (["--help"], {}, 0, "POST /render"),
    "settings": (["--settings"], {"WORKER_ID": "gpu-1"}, 0, "WORKER_ID=gpu-1"),
    "no bucket in a cluster": (["--mode", "celery"], {}, 1, "needs S3_BUCKET"),
    "an argument nobody knows": (["--prot", "1"], {}, 2, "--prot"),
    "a wrong secret": ([], {"ECG_CALLBACK_SECRET": "whsec_"}, 1, "ECG_CALLBACK_SECRET"),
    "an address of somebody else": (["--host", "192.0.2.1", "--port", "0"], {}, 1, "Cannot listen on 192.0.2.1:0"),
}


# These leave no socket and no handler of a signal behind, so that this process can be the command's.
NO_START = {
    "a worker": (["--mode", "worker"], {}, 2, "runs in a pod of its own"),
    "a worker by variable": ([], {"RENDER_MODE": "worker"}, 2, "no workers"),
    "a mode nobody knows": (["--mode", "swarm"], {}, 2, "'standalone', 'kubernetes'"),
    "a wrong setting": ([], {"LOG_LEVEL": "loud"}, 2, "LOG_LEVEL is 'loud'; it must be one of"),
}


@pytest.mark.parametrize(("arguments", "variables", "status", "words"), ENDINGS.values(), ids=ENDINGS.keys())
def test_the_command_says_why_it_does_not_start(tmp_path, arguments, variables, status, words):
    ended = started(*arguments, ECG_DATA_DIR=str(tmp_path), **variables)
    assert ended.returncode == status
    assert words in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("arguments", "variables", "status", "words"), NO_START.values(), ids=NO_START.keys())
def test_the_command_says_why_it_does_nothing(tmp_path, monkeypatch, capsys, arguments, variables, status, words):
    for name, value in {"ECG_DATA_DIR": str(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    try:
        ended = main(arguments)
    except SystemExit as end:
        ended = end.code
    assert ended == status
    assert words in "".join(capsys.readouterr())
