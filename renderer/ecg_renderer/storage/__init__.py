"""Where bytes come from and go to: `file://`, plain paths, and `https://` for reading.

open_storage(uri, base) -> Storage
read_bytes(limit)      a scenario
source_url()           what FFmpeg opens: a plain path, or the URL that redirects lead to
identity()             changes when the bytes do; part of every segment's content key
output(key, source)    a temporary file beside the destination, renamed to it on `commit()`
WorkDir                    finished segments by content key, for one process at a time
"""

from ecg_renderer.storage.address import UrlPolicy
from ecg_renderer.storage.base import Output, Storage
from ecg_renderer.storage.local import FileStorage
from ecg_renderer.storage.open import SUPPORTED, open_storage
from ecg_renderer.storage.output import OutputFile, check_writable
from ecg_renderer.storage.work import WorkDir, default_work_root

__all__ = [
    "SUPPORTED",
    "FileStorage",
    "Output",
    "OutputFile",
    "Storage",
    "UrlPolicy",
    "WorkDir",
    "check_writable",
    "default_work_root",
    "open_storage",
]
