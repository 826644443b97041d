"""Where bytes come from and go to: `file://`, plain paths, `s3://`, and `https://` for reading.

open_storage(uri, base) -> Storage
read_bytes(limit)      a scenario
source_url()           what FFmpeg opens: a path, a presigned URL, what redirects lead to, or a file fetched there
identity()             changes when the bytes do; part of every cell's key
output(key, source)    a temporary file, renamed to the destination or uploaded to it on `commit()`
public_url(base, ...)  where people fetch the result
Work, over open_work_store(uri)
get, put, put_if_absent, upload, download, clean     what the pods of one job leave for each other
CellStore, over Work
present, fetch, keep   finished pieces of video that later renders use again
"""

from ecg_renderer.storage.base import Output, Storage, TransferProgress, UrlPolicy
from ecg_renderer.storage.cells import Cell, CellStore, Found, default_cells, limit_cells, run_folder, told_again
from ecg_renderer.storage.local import FileStorage, FolderStorage, OutputFile, check_writable
from ecg_renderer.storage.open import SUPPORTED, ask_s3, open_result, open_storage, opened_source, s3_is_set_up
from ecg_renderer.storage.work_store import Work, WorkStore, open_work_store

__all__ = [
    "SUPPORTED",
    "Cell",
    "CellStore",
    "FileStorage",
    "FolderStorage",
    "Found",
    "Output",
    "OutputFile",
    "Storage",
    "TransferProgress",
    "UrlPolicy",
    "Work",
    "WorkStore",
    "ask_s3",
    "check_writable",
    "default_cells",
    "limit_cells",
    "open_result",
    "open_storage",
    "open_work_store",
    "opened_source",
    "run_folder",
    "s3_is_set_up",
    "told_again",
]
