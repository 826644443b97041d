"""Storage profiles: named places in S3, each with an endpoint, a bucket, a region and credentials by reference.

ECG_STORAGE_PROFILES holds them as JSON; the first one is taken where nothing leads to another:

    [{"name": "seoul", "bucket": "videos-seoul", "region": "ap-northeast-2", "replica": "oregon"},
     {"name": "oregon", "bucket": "videos-oregon", "region": "us-west-2", "secret": "s3-oregon"}]

What is at s3://videos-oregon/... is then reached as `oregon` says. Keys are never in it: a profile names a Secret,
whose entries a pod has as ECG_STORAGE_OREGON_ACCESS_KEY_ID and so on, or a profile of ~/.aws; without both the
environment's own keys count.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator
from pydantic.alias_generators import to_camel

VARIABLE = "ECG_STORAGE_PROFILES"
AUTO = "auto"
"""In place of a profile's name: the one of the source's region."""
SECRET_ENTRIES = {"ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID", "SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY"}
"""Ends of variables, and the entries of a profile's Secret that they get."""
SESSION_TOKEN, CDN_KEY = "SESSION_TOKEN", "CDN_PRIVATE_KEY"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_SECRET = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?")
# videos.s3.ap-northeast-2.amazonaws.com, s3.dualstack.us-west-2.amazonaws.com.cn
_AMAZON = re.compile(
    r"(?:(?P<bucket>.+)\.)?s3[.-](?:dualstack\.)?(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com(\.cn)?"
)


def _address(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query):
        raise ValueError("must be http(s)://host, without a user and a query")
    return value.rstrip("/")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value) or value == AUTO:
        raise ValueError(f"{value!r} cannot be a profile's name: at most 32 of a-z, 0-9 and '-', and not {AUTO!r}")
    return value


def _bucket(value: str) -> str:
    if not _BUCKET.fullmatch(value):
        raise ValueError(f"{value!r} cannot be a bucket")
    return value


def _secret(value: str) -> str:
    if not _SECRET.fullmatch(value):
        raise ValueError("must be the name of a Secret, not what is in it")
    return value


Address = Annotated[str, AfterValidator(_address)]
BucketName = Annotated[str, AfterValidator(_bucket)]
SecretName = Annotated[str, AfterValidator(_secret)]


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid", frozen=True)


class Cdn(_Model):
    """Where people fetch what lies in a profile's bucket.

    Attributes:
        base_url: address of the bucket's root.
        key_pair_id: of CloudFront; addresses are then signed with the private key in ECG_STORAGE_NAME_CDN_PRIVATE_KEY.
        secret: whose entry CDN_PRIVATE_KEY is that key, in the service's namespace.
    """

    base_url: Address = Field(min_length=1)
    key_pair_id: str = Field(default="", pattern=r"^[A-Za-z0-9]{0,64}$")
    secret: SecretName = ""


class StorageProfile(_Model):
    """One place.

    Attributes:
        name: by which it is chosen.
        bucket: for results.
        sources: further buckets that are reached the same way.
        endpoint: another server than the environment's.
        secret: with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in the namespace of whoever needs it.
        aws_profile: of ~/.aws, on one machine.
        replica: the profile that gets a copy of each result.
        replica_required: a job whose copy fails has failed.
    """

    name: Annotated[str, AfterValidator(_name)]
    bucket: BucketName
    sources: tuple[BucketName, ...] = ()
    endpoint: Address = ""
    region: str = Field(default="", pattern=r"^[a-z0-9-]{0,64}$")
    secret: SecretName = ""
    aws_profile: str = Field(default="", max_length=255)
    replica: str = ""
    replica_required: bool = False
    cdn: Cdn | None = None


class StorageProfiles(RootModel[tuple[StorageProfile, ...]]):
    """All profiles; the first is the default."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        owners = {profile.bucket: profile.name for profile in self.root}
        names = [profile.name for profile in self.root]
        for profile in self.root:
            if names.count(profile.name) > 1:
                raise ValueError(f"two profiles are called {profile.name}")
            if profile.replica and (profile.replica == profile.name or profile.replica not in names):
                raise ValueError(f"the replica of {profile.name} is {profile.replica!r}; {self._choices(profile.name)}")
            for bucket in profile.sources:
                if owners.setdefault(bucket, profile.name) != profile.name:
                    raise ValueError(f"sources of {profile.name}: {bucket} belongs to {owners[bucket]} already")
        return self

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self.root)

    def get(self, name: str) -> StorageProfile | None:
        """Return the profile of that name."""
        return next((profile for profile in self.root if profile.name == name), None)

    def of_bucket(self, bucket: str) -> StorageProfile | None:
        """Return the profile by which `bucket` is reached; None: by the environment's own settings."""
        return next((profile for profile in self.root if bucket in (profile.bucket, *profile.sources)), None)

    def of_results(self, bucket: str) -> StorageProfile | None:
        """Return the profile whose results are in `bucket`."""
        profile = self.of_bucket(bucket)
        return profile if profile and profile.bucket == bucket else None

    def chosen(self, name: str, source: str) -> str:
        """Return the profile for the results of a job; `name` may be `auto`: `source` is the address of its video.

        Raises ValueError with a sentence for a name that is not there, or that s3:// cannot lead to.
        """
        if name == AUTO and self.root:
            return self._near(source).name
        profile = self.get(name)
        if profile is None:
            raise ValueError(f"there is no storage profile {name!r}; {self._choices()}")
        if self.of_results(profile.bucket) is not profile:
            raise ValueError(f"{name!r} is for copies only: {self._leads_elsewhere(profile.bucket)}")
        return name

    def kept(self, name: str, bucket: str) -> str:
        """Return the profile that a job has begun with; raises ValueError if `bucket` does not lead to it any more."""
        profile = self.get(name)
        if profile is None:
            now = f"is not there any more; {self._choices()}"
        elif profile.bucket != bucket:
            now = f"has the bucket {profile.bucket!r} now"
        elif self.of_results(bucket) is not profile:
            now = f"is for copies only now: {self._leads_elsewhere(bucket)}"
        else:
            return name
        raise ValueError(
            f"the job's results go to s3://{bucket}, and the storage profile {name!r} {now}. Put it back as it was, "
            "and create the job again"
        )

    def address(self, name: str, uri: str) -> str:
        """Return where in the bucket of a profile `uri` lies: s3:///key is in whichever that is.

        Raises ValueError with a sentence for what lies elsewhere.
        """
        profile = self.get(name)
        bucket = profile.bucket if profile else ""
        if uri.startswith("s3:///"):
            return f"s3://{bucket}/{uri.removeprefix('s3:///')}"
        if uri.startswith(f"s3://{bucket}/"):
            return uri
        raise ValueError(
            f"{uri} is not in the bucket of the storage profile {name!r}; write s3:///key, or s3://{bucket}/key"
        )

    def _near(self, source: str) -> StorageProfile:
        """Return the profile whose bucket `source` is in, else the first of its region, else the first."""
        parts = urlsplit(source)
        amazon = _AMAZON.fullmatch(parts.hostname or "")
        bucket = parts.netloc if parts.scheme == "s3" else ""
        if amazon:
            bucket = amazon["bucket"] or parts.path.strip("/").partition("/")[0]
        mine = self.of_bucket(bucket)
        region = mine.region if mine else amazon["region"] if amazon else ""
        near = [profile for profile in self.root if self.of_results(profile.bucket) is profile]
        if mine in near:
            return mine
        return next((profile for profile in near if region and profile.region == region), near[0])

    def _leads_elsewhere(self, bucket: str) -> str:
        other = self.of_bucket(bucket)
        return f"s3://{bucket} leads to {other.name if other else 'another'!r}, which has a bucket of that name, too"

    def _choices(self, besides: str = "") -> str:
        names = [profile.name for profile in self.root if profile.name != besides]
        return f"there are {', '.join(names)}" if names else "none is set up"


NO_PROFILES = StorageProfiles(())


def variable_of(name: str, end: str) -> str:
    """Return the variable with a secret of the profile `name`, such as ECG_STORAGE_SEOUL_ACCESS_KEY_ID."""
    return f"ECG_STORAGE_{name.upper().replace('-', '_')}_{end}"


def key_references(given: StorageProfiles) -> list[dict[str, Any]]:
    """Return the keys of all profiles as a container's `env` has them, from their Secrets.

    All optional: a Secret that a namespace lacks must not stop the pods of jobs that need nothing of it.
    """
    entries = {**SECRET_ENTRIES, SESSION_TOKEN: "AWS_SESSION_TOKEN"}
    return [
        {
            "name": variable_of(profile.name, end),
            "valueFrom": {"secretKeyRef": {"name": profile.secret, "key": entry, "optional": True}},
        }
        for profile in given.root
        if profile.secret
        for end, entry in entries.items()
    ]


def profiles(environment: Mapping[str, str] = os.environ) -> StorageProfiles:
    """Return the profiles of the environment; raises ValueError with what is wrong about them, without their values."""
    return read_profiles(environment.get(VARIABLE, "").strip())


@functools.lru_cache(maxsize=8)
def read_profiles(text: str) -> StorageProfiles:
    """Return the profiles that a JSON text holds, none for an empty one; raises ValueError."""
    try:
        return StorageProfiles.model_validate_json(text or "[]")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        said = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
        raise ValueError(f"{VARIABLE}: {place + ': ' if place else ''}{said}") from None
