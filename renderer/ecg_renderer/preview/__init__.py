"""A page on this machine that plays a job's source with its captions over it, and renders any frame on demand.

watching   the job as it is planned, again whenever its manifest or its scenario changes
source     what a browser plays of the source: itself, or a small copy
pages      what is served, and to whom: the holder of the address, on this machine
server     the socket, and the end
"""

from ecg_renderer.preview.server import preview

__all__ = ["preview"]
