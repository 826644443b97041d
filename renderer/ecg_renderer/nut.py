"""Caption pictures on their way to FFmpeg: sparse raw video in NUT, which keeps any rational clock exact."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from fractions import Fraction

import av
from av.error import FFmpegError as LibavError

from ecg_renderer.frames import CaptionFrame
from ecg_renderer.model import Area

log = logging.getLogger(__name__)


class NutWriter:
    """Muxes pictures as sparse raw video: each has the time from which it is shown, and none is repeated."""

    def __init__(self, pipe: int, area: Area, rate: Fraction) -> None:
        self._pipe = pipe
        self._area = area
        self._rate = rate
        self._container: av.container.OutputContainer | None = None
        self._broken = False

    def write(self, frame: CaptionFrame) -> None:
        """Write one picture; blocks until the reader takes it, does nothing once the reader is gone."""
        if self._broken:
            return
        try:
            container = self._container or self._open()
            stream = container.streams.video[0]
            packet = av.Packet(frame.pixels)
            packet.stream = stream
            packet.pts = packet.dts = frame.index
            packet.time_base = 1 / self._rate
            packet.is_keyframe = True
            container.mux(packet)
        except LibavError as error:
            log.debug("FFmpeg takes no more captions: %s", error)
            self._broken = True

    def close(self) -> None:
        """End the stream and close the pipe."""
        with suppress(LibavError):
            if self._container:
                self._container.close()
        os.close(self._pipe)

    def _open(self) -> av.container.OutputContainer:
        # Flushed packet by packet: a picture that sits in a buffer would hold up FFmpeg.
        self._container = av.open(f"pipe:{self._pipe}", "w", format="nut", options={"flush_packets": "1"})
        stream = self._container.add_stream("rawvideo", rate=self._rate)
        stream.width, stream.height, stream.pix_fmt = self._area.width, self._area.height, "yuva420p"
        stream.time_base = 1 / self._rate
        return self._container
