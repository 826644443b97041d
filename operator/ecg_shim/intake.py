"""From the bytes of a POST to something that can be rendered, or to the reason why not.

    bytes ─ read_request ─> Request ─ order ─> RenderOrder   accepted, rendered
              │                       └─────> Failure        accepted, told by callback
              └─> BadRequest                                 refused: nobody could be told

The scenario, by far the largest part, stays text: its limits are checked by skipping over it. Parsing it in Python
takes twenty times as long, and fifty clients that post at the same moment would wait for one another.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

import msgspec
from pydantic import TypeAdapter, ValidationError

from ecg_api.failures import RULES, Failure, FailureCode
from ecg_api.options import Options
from ecg_api.uris import ReadableUri
from ecg_shim.model import RenderOrder, Submission
from ecg_shim.options import InvalidOptions, render_options
from ecg_shim.security.addresses import LONGEST_URL, AddressPolicy, AddressRefused
from ecg_shim.wire import JOB_ID_PATTERN

JOB_ID = ("jobId", "job_id")
VIDEO_URL = ("videoUrl", "video_url", "sourceVideoUrl")
CALLBACK_URL = ("callbackUrl", "callback_url")
LARGEST_SCENARIO = 5 * 1024 * 1024
LARGEST_OPTIONS = 64 * 1024
LARGEST_WORD = 8 * 1024
DEEPEST = 100

Members = Mapping[str, bytes]


class BadRequest(Exception):
    """A body that cannot be accepted: `kind` and `place` as FastAPI names them, `message` for a person."""

    def __init__(self, kind: str, place: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.place = place


@dataclass(frozen=True)
class Request:
    """A request that can be accepted.

    Attributes:
        video_url: as given, of any type; None if not given.
        options: as given, of any type; None if not given.
        scenario: JSON text; empty if not given.
    """

    job_id: str
    callback_url: str
    video_url: object
    options: object
    scenario: bytes

    @cached_property
    def submission(self) -> Submission:
        """The request in the words of the backends."""
        return Submission(
            job_id=self.job_id,
            video_url=None if self.video_url is None else _storable(str(self.video_url)),
            scenario=self.scenario,
            options=self.options if isinstance(self.options, dict) else {},
            callback_url=self.callback_url,
            payload_hash=self._payload_hash(),
        )

    def _payload_hash(self) -> str:
        rest = json.dumps([self.video_url, self.options or {}], sort_keys=True).encode()
        digest = hashlib.sha256(rest)
        digest.update(self.scenario)
        return digest.hexdigest()


@dataclass(frozen=True)
class Rules:
    """What this service accepts.

    Attributes:
        lookup: requests without a video are accepted; its address is looked up later.
    """

    videos: AddressPolicy
    callbacks: AddressPolicy
    max_cues: int = 1000
    gpu_encoding: bool = True
    lookup: bool = False


def read_request(body: bytes, rules: Rules) -> Request:
    """Return the request that `body` holds; raises BadRequest."""
    members = _members(body)
    return Request(
        job_id=_job_id(_first(members, JOB_ID)),
        callback_url=_callback_url(_first(members, CALLBACK_URL), rules.callbacks),
        video_url=_first(members, VIDEO_URL),
        options=_small(members.get("options", b"null"), LARGEST_OPTIONS),
        scenario=b"" if members.get("scenario", b"null") == b"null" else members["scenario"],
    )


def order(request: Request, rules: Rules) -> RenderOrder | Failure:
    """Return what to render, or why it cannot be rendered. Asks no other service."""
    submission = request.submission
    try:
        video = _video_url(request.video_url, rules)
        options = _options(request.options, rules)
        _check_scenario(request.scenario, rules.max_cues)
    except Unrenderable as reason:
        return reason.failure
    return RenderOrder(
        job_id=submission.job_id,
        video_url=video,
        scenario=submission.scenario,
        options=options,
        callback_url=submission.callback_url,
        payload_hash=submission.payload_hash,
    )


def failure(code: FailureCode, message: str, hint: str = "") -> Failure:
    """Return a failure that the service itself found."""
    return Failure(code=code, message=message, hint=hint, retryable=RULES[code].retryable)


class Unrenderable(Exception):
    """Carries out why a request cannot be rendered, as `failure`."""

    def __init__(self, code: FailureCode, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.failure = failure(code, message, hint)


_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _members(body: bytes) -> Members:
    """Return the members of the object that `body` holds, each as its JSON text."""
    try:
        if not body.isascii():
            body.decode()  # what is skipped over is not looked at
        return {name: bytes(raw) for name, raw in _DECODER.decode(body).items()}
    except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError):
        return _members_slowly(body)


def _members_slowly(body: bytes) -> Members:
    """Do the same for rarer forms of JSON (other encodings, a byte order mark), and find out what is wrong."""
    try:
        value = json.loads(body, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise BadRequest(
            "json_invalid", ("body", error.pos), f"The body is no JSON: {error.msg}, at line {error.lineno}, column "
            f"{error.colno}."
        ) from None  # fmt: skip
    except (ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadRequest("json_invalid", ("body",), f"The body is no JSON that can be read: {said}.") from None
    if not isinstance(value, dict):
        raise BadRequest("model_attributes_type", ("body",), "The body is no object with jobId and callbackUrl.")
    return {name: json.dumps(member).encode() for name, member in value.items()}


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _first(members: Members, names: tuple[str, ...]) -> object:
    """Return the first of `names` that is there and not null."""
    for name in names:
        value = _small(members.get(name, b"null"), LARGEST_WORD)
        if value is not None:
            return value
    return None


def _small(raw: bytes, most: int) -> object:
    """Return the value of a member; of one that is far too long or nested too deeply only how large it is, as text."""
    usable = len(raw) <= most and raw.count(b"[") + raw.count(b"{") <= DEEPEST
    try:
        return json.loads(raw) if usable else f"({len(raw)} bytes: too long or too deep)"
    except ValueError:  # a number of thousands of digits
        return f"({len(raw)} bytes)"


def _storable(text: str) -> str:
    """Return `text` without what databases cannot hold: halves of characters, NUL, endless length."""
    return text[:LONGEST_URL].encode(errors="replace").decode().replace("\0", "")


def _job_id(value: object) -> str:
    if value is None:
        raise BadRequest("missing", ("body", "jobId"), "jobId is missing: the name by which the job is asked for.")
    if not isinstance(value, str) or not re.fullmatch(JOB_ID_PATTERN, value):
        raise BadRequest(
            "string_pattern_mismatch", ("body", "jobId"),
            "jobId is not 1 to 128 letters, digits and ._~:@+=- with a letter or digit first, such as a UUID.",
        )  # fmt: skip
    return value


def _callback_url(value: object, policy: AddressPolicy) -> str:
    if value is None:
        raise BadRequest("missing", ("body", "callbackUrl"), "callbackUrl is missing: where progress is posted to.")
    if not isinstance(value, str):
        raise BadRequest("string_type", ("body", "callbackUrl"), "callbackUrl is not an address.")
    try:
        policy.check(value)
    except AddressRefused as reason:
        raise BadRequest("url_parsing", ("body", "callbackUrl"), f"callbackUrl cannot be used: {reason}") from None
    return value


_READABLE: TypeAdapter[str] = TypeAdapter(ReadableUri)


def _video_url(value: object, rules: Rules) -> str:
    if value is None or value == "":
        if rules.lookup:
            return ""
        raise Unrenderable(
            FailureCode.INVALID_VIDEO_URL, "The request names no video (videoUrl).",
            "Send videoUrl, or set ECG_VIDEO_URL_DSN, so that the service finds it in the backend's database.",
        )  # fmt: skip
    if not isinstance(value, str):
        raise Unrenderable(FailureCode.INVALID_VIDEO_URL, "videoUrl is not text.")
    return checked_video_url(value, rules.videos)


def checked_video_url(url: str, policy: AddressPolicy) -> str:
    """Return `url` if a video may be there; raises an exception with the `failure` to report."""
    try:
        policy.check(url)
        return _READABLE.validate_python(url)
    except AddressRefused as reason:
        said = str(reason)
    except ValidationError as error:
        said = f"{error.errors()[0]['ctx']['error']}."
    raise Unrenderable(FailureCode.INVALID_VIDEO_URL, f"The video's address {_shown(url)} cannot be used: {said}")


def _options(value: object, rules: Rules) -> Options:
    if value is not None and not isinstance(value, dict):
        raise Unrenderable(FailureCode.INVALID_RENDER_OPTIONS, "options is not an object with width, height and so on.")
    try:
        return render_options(value or {}, gpu_encoding=rules.gpu_encoding)
    except InvalidOptions as error:
        raise Unrenderable(FailureCode.INVALID_RENDER_OPTIONS, f"{error}.") from error


class _Outline(msgspec.Struct):
    cues: list[msgspec.Raw] | None = None


def _check_scenario(scenario: bytes, max_cues: int) -> None:
    code = FailureCode.SCENARIO_PARSE_ERROR
    if not scenario:
        raise Unrenderable(code, "The request holds no scenario.", "Send the captions as `scenario`.")
    if len(scenario) > LARGEST_SCENARIO:
        raise Unrenderable(code, f"The scenario has {len(scenario):,} bytes; {LARGEST_SCENARIO:,} (5 MB) are the most.")
    if not scenario.startswith(b"{"):
        raise Unrenderable(code, "The scenario is not an object with a list of cues.")
    try:
        cues = msgspec.json.decode(scenario, type=_Outline).cues
    except msgspec.MsgspecError as error:
        raise Unrenderable(code, f"The scenario cannot be read: {error}.") from None
    if cues is None:
        raise Unrenderable(code, "The scenario has no list `cues`.")
    if len(cues) > max_cues:
        raise Unrenderable(code, f"The scenario has {len(cues):,} cues; {max_cues:,} are the most (ECG_MAX_CUES).")


def _shown(url: str) -> str:
    """Return an address without what may be secret in it: query and user."""
    plain = re.sub(r"//[^/@]*@", "//", url.split("?")[0].split("#")[0])
    return repr(plain if len(plain) <= 200 else f"{plain[:199]}…")
