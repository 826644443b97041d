"""From the bytes of a POST to something that can be rendered, or to the reason why not.

    bytes ─ read_request ─> Request ─ order ─> RenderOrder   accepted, rendered
              │                       └─────> Failure        accepted, told by callback
              └─> BadRequest                                 refused: nobody could be told

The scenario, by far the largest part, stays text: its limits are checked by skipping over it. Parsing it in Python
takes twenty times as long, and fifty clients that post at the same moment would wait for one another.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn
from urllib.parse import urlsplit

import msgspec
from pydantic import TypeAdapter, ValidationError

from ecg_api.failures import Failure, FailureCode
from ecg_api.uris import ReadableUri
from ecg_common.addresses import LONGEST_URL, AddressPolicy, AddressRefused
from ecg_common.profiles import NO_PROFILES, StorageProfiles
from ecg_shim.failures import failure, shown
from ecg_shim.model import RenderOrder, RequestOptions, Submission
from ecg_shim.options import InvalidOptions, render_options
from ecg_shim.wire import JOB_ID_PATTERN

JOB_ID = ("jobId", "job_id")
VIDEO_URL = ("videoUrl", "video_url", "sourceVideoUrl")
CALLBACK_URL = ("callbackUrl", "callback_url")
LARGEST_SCENARIO = 5 * 1024 * 1024
LARGEST_OPTIONS = 64 * 1024
LARGEST_WORD = 8 * 1024
LARGEST_EXPLAINED = 1024 * 1024
MOST_HALVES = 10_000
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
        layout: how captions are laid out where a request does not say.
        lookup: requests without a video are accepted; its address is looked up later.
        storage: what requests may choose among by options.storage; `profile` is that of those that do not.
    """

    videos: AddressPolicy
    callbacks: AddressPolicy
    max_cues: int = 10_000
    gpu_encoding: bool = True
    layout: str = "viewport"
    lookup: bool = False
    storage: StorageProfiles = NO_PROFILES
    profile: str = ""


def read_request(body: bytes, rules: Rules) -> Request:
    """Return the request that `body` holds; raises BadRequest."""
    members = _members(body)
    return Request(
        job_id=_job_id(_first(members, JOB_ID)),
        callback_url=_callback_url(_first(members, CALLBACK_URL), rules.callbacks),
        video_url=_first(members, VIDEO_URL),
        options=_small(members["options"], LARGEST_OPTIONS),
        scenario=b"" if members["scenario"] == b"null" else members["scenario"],
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


class Unrenderable(Exception):
    """Carries out why a request cannot be rendered, as `failure`."""

    def __init__(self, code: FailureCode, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.failure = failure(code, message, hint)


# Half a character, as JavaScript leaves it where it cuts a text: an escape that no decoder takes.
_HALF = re.compile(
    rb"\\u(?<!\\\\u)[dD](?:"
    rb"[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})|"
    rb"[c-fC-F][0-9a-fA-F]{2}(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))"
)
_NAMES = (*JOB_ID, *VIDEO_URL, *CALLBACK_URL, "options", "scenario")
# Other members are skipped over: of ten million of them, none takes memory.
_BODY = msgspec.json.Decoder(msgspec.defstruct("_Body", [(name, msgspec.Raw, msgspec.Raw(b"null")) for name in _NAMES]))


def _members(body: bytes) -> Members:
    """Return the known members of the object that `body` holds, each as its JSON text, null if not given."""
    try:
        text = _utf8(body)
        try:
            found = _BODY.decode(text)
        except msgspec.MsgspecError:
            found = _BODY.decode(_HALF.sub(rb"\\ufffd", text, MOST_HALVES))
    except (UnicodeError, msgspec.MsgspecError, RecursionError) as error:
        raise _unreadable(body, error) from None
    return {name: bytes(getattr(found, name)) for name in _NAMES}


def _utf8(body: bytes) -> bytes:
    """Return JSON text as UTF-8 without byte order mark; raises UnicodeError for what is no text."""
    encoding = json.detect_encoding(body)
    if encoding == "utf-8-sig":
        body, encoding = body.removeprefix(codecs.BOM_UTF8), "utf-8"
    if encoding != "utf-8":
        return body.decode(encoding).encode()
    if not body.isascii():
        body.decode()  # what is skipped over is not looked at
    return body


def _unreadable(body: bytes, error: Exception) -> BadRequest:
    """Return what is wrong with a body that `error` kept from being read.

    The parser that names line and column would stop the service for seconds at a large one, and take a gigabyte.
    """
    general = BadRequest("json_invalid", ("body",), f"The body is no JSON object that can be read: {error}.")
    if len(body) > LARGEST_EXPLAINED:
        return general
    try:
        value = json.loads(body, parse_constant=_no_number)
    except json.JSONDecodeError as wrong:
        said = f"The body is no JSON: {wrong.msg}, at line {wrong.lineno}, column {wrong.colno}."
        return BadRequest("json_invalid", ("body", wrong.pos), said)
    except (ValueError, RecursionError) as wrong:
        said = "it is nested too deeply" if isinstance(wrong, RecursionError) else str(wrong)
        return BadRequest("json_invalid", ("body",), f"The body is no JSON that can be read: {said}.")
    if not isinstance(value, dict):
        return BadRequest("model_attributes_type", ("body",), "The body is no object with jobId and callbackUrl.")
    return general


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _first(members: Members, names: tuple[str, ...]) -> object:
    """Return the first of `names` that is not null."""
    for name in names:
        value = _small(members[name], LARGEST_WORD)
        if value is not None:
            return value
    return None


def _small(raw: bytes, most: int) -> object:
    """Return the value of a member; of one that is far too long or nested too deeply only how large it is, as text."""
    usable = len(raw) <= most and raw.count(b"[") + raw.count(b"{") <= DEEPEST
    try:
        return json.loads(raw) if usable else f"({len(raw)} bytes, too long or too deep)"
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
            "jobId is not 1 to 128 dead_letters, digits and ._~:@+=- with a letter or digit first, such as a UUID.",
        )  # fmt: skip
    return value


def _callback_url(value: object, policy: AddressPolicy) -> str:
    if value is None:
        raise BadRequest("missing", ("body", "callbackUrl"), "callbackUrl is missing: where progress is posted to.")
    if not isinstance(value, str):
        raise BadRequest("string_type", ("body", "callbackUrl"), "callbackUrl is not an address.")
    try:
        _check(value, policy)
    except AddressRefused as reason:
        raise BadRequest("url_parsing", ("body", "callbackUrl"), f"callbackUrl cannot be used: {reason}") from None
    return value


def _check(url: str, policy: AddressPolicy) -> None:
    if "\ufffd" in url:  # half a character, as it came
        raise AddressRefused("it holds characters that no address has.")
    policy.check(url)


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
        _check(url, policy)
        return _READABLE.validate_python(url)
    except AddressRefused as reason:
        said = str(reason)
    except ValidationError as error:
        said = f"{error.errors()[0]['ctx']['error']}."
    raise Unrenderable(FailureCode.INVALID_VIDEO_URL, f"The video's address {shown(url)!r} cannot be used: {said}")


def _options(value: object, rules: Rules) -> RequestOptions:
    if value is not None and not isinstance(value, dict):
        raise Unrenderable(FailureCode.INVALID_RENDER_OPTIONS, "options is not an object with width, height and so on.")
    try:
        options = render_options(value or {}, gpu_encoding=rules.gpu_encoding, layout=rules.layout)
    except InvalidOptions as error:
        raise Unrenderable(FailureCode.INVALID_RENDER_OPTIONS, f"{error}.") from error
    options = options.model_copy(update={"storage": options.storage or rules.profile})
    try:
        if options.storage:
            rules.storage.chosen(options.storage, "")
    except ValueError as error:
        raise Unrenderable(FailureCode.INVALID_RENDER_OPTIONS, f"options.storage: {error}.") from error
    return options


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


def video_policy(*, hosts: tuple[str, ...], private: bool) -> AddressPolicy:
    """Return the policy for source videos; who may read private addresses may read files of this machine, too."""
    return AddressPolicy(
        schemes=("https", "http", "s3"), setting="ECG_VIDEO_HOSTS", hosts=hosts, private=private, files=private
    )


def callback_policy(*, hosts: tuple[str, ...], backend: str, private: bool) -> AddressPolicy:
    """Return the policy for callbacks; `backend` is an address whose host is trusted, or empty."""
    known = urlsplit(backend).hostname or ""
    trusted = (*hosts, known) if known else hosts
    return AddressPolicy(
        schemes=("https", "http"), setting="ECG_CALLBACK_HOSTS", hosts=hosts, trusted=trusted, private=private
    )
