"""How many segments may be rendered at a time: a pure function of the time, of what waits, and of its own last answer.

    schedule (floor, ceiling) ──┐
    waiting > outAbove ── out ──┼──> places ──> limit of active segments
    waiting < inBelow ─── in ───┘       └─ minus busy ones ──> warm places, kept by placeholder pods

Nothing here stops a pod that renders: fewer places only mean that fewer segments begin.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from ecg_api.base import ApiModel, StoredModel

Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
DAYS: tuple[Day, ...] = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TimeOfDay = Annotated[str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found; no relative path; a folder
        raise ValueError(f"there is no time zone {name!r}; IANA names such as Asia/Seoul are known") from None
    return name


class Limits(ApiModel):
    """Between how many places there are."""

    floor: int = Field(ge=0, le=10_000)
    ceiling: int = Field(ge=1, le=10_000)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.floor > self.ceiling:
            raise ValueError(f"floor {self.floor} is above ceiling {self.ceiling}")
        return self

    def clamp(self, places: int) -> int:
        """Return the nearest allowed number."""
        return max(self.floor, min(places, self.ceiling))


class Window(Limits):
    """Other limits at some hours of some days; one that ends before it begins goes on into the next day."""

    days: tuple[Day, ...] = DAYS
    begin: TimeOfDay = "00:00"
    end: TimeOfDay = "24:00"

    def holds(self, moment: datetime) -> bool:
        """Tell whether the local time `moment` is within."""
        begin, end, now = _minutes(self.begin), _minutes(self.end), moment.hour * 60 + moment.minute
        today, yesterday = DAYS[moment.weekday()] in self.days, DAYS[moment.weekday() - 1] in self.days
        if begin < end:
            return today and begin <= now < end
        return (today and now >= begin) or (yesterday and now < end)


class Schedule(ApiModel):
    """The limits at each time, and when to move between them.

    Attributes:
        windows: the first that holds counts.
        otherwise: limits at all other times.
        out_above: with more waiting segments there are more places.
        in_below: with fewer, for so long as `in_after_seconds`, there are fewer.
        step: places that come or go at once.
        out_pause_seconds: nodes take minutes: so long until still more places come.
        gpus: places are those of segments with a GPU; of the others any number may be rendered. False: of all segments.
    """

    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    windows: tuple[Window, ...] = ()
    otherwise: Limits
    out_above: int = Field(default=10, ge=0)
    in_below: int = Field(default=3, ge=0)
    in_after_seconds: int = Field(default=600, ge=1)
    step: int = Field(default=2, ge=1)
    out_pause_seconds: int = Field(default=60, ge=0)
    gpus: bool = True

    @model_validator(mode="after")
    def _dead_band(self) -> Self:
        if self.in_below > self.out_above:
            raise ValueError(f"inBelow {self.in_below} is above outAbove {self.out_above}: places would come and go")
        return self

    def limits_at(self, now: datetime) -> Limits:
        """Return the limits at `now`, which has a time zone."""
        local = now.astimezone(ZoneInfo(self.time_zone))
        return next((window for window in self.windows if window.holds(local)), self.otherwise)


class Load(ApiModel):
    """What there is to do: places in which segments are rendered, and segments that have none yet."""

    busy: int = Field(ge=0)
    waiting: int = Field(ge=0)


class Capacity(StoredModel):
    """The answer, which is also what the next one begins from.

    Attributes:
        quiet_since: since when fewer than `in_below` segments have waited.
        grown_at: when places came last.
        reason: why it is so many, for a person.
    """

    places: int = Field(ge=0)
    quiet_since: datetime | None = None
    grown_at: datetime | None = None
    reason: str = ""


def next_capacity(before: Capacity | None, now: datetime, load: Load, schedule: Schedule) -> Capacity:
    """Return how many places there are from `now` on; `before` is None if nobody knows."""
    limits = schedule.limits_at(now)
    quiet_since = None if load.waiting >= schedule.in_below else now
    if before is None:
        reason = f"{load.busy} are busy at the start"
        return Capacity(places=limits.clamp(load.busy), quiet_since=quiet_since, reason=reason)
    if quiet_since is not None and before.quiet_since is not None:
        quiet_since = min(before.quiet_since, now)
    same = before.model_copy(update={"quiet_since": quiet_since})
    places = limits.clamp(before.places)
    if places != before.places:
        word = "floor" if places > before.places else "ceiling"
        return same.model_copy(update={"places": places, "reason": f"the schedule's {word} is {places}"})
    if load.waiting > schedule.out_above and _has_passed(before.grown_at, now, schedule.out_pause_seconds):
        more = min(places + schedule.step, limits.ceiling)
        if more > places:
            reason = f"{load.waiting} segments wait, more than {schedule.out_above}"
            return same.model_copy(update={"places": more, "grown_at": now, "reason": reason})
    if quiet_since is not None and _has_passed(quiet_since, now, schedule.in_after_seconds):
        fewer = max(places - schedule.step, limits.floor)
        if fewer < places:
            reason = f"fewer than {schedule.in_below} segments have waited for {schedule.in_after_seconds} s"
            return same.model_copy(update={"places": fewer, "quiet_since": now, "reason": reason})
    return same


def _has_passed(since: datetime | None, now: datetime, seconds: int) -> bool:
    # A time to come was written by a replica with another clock.
    return since is None or since > now or now - since >= timedelta(seconds=seconds)


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
