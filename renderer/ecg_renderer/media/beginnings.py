"""What a file begins with, where FFmpeg can make no video of it: something before the video, or no video at all.

Uploads keep the headers of a form, downloads those of HTTP; programs for music put tags before whatever they are given;
an address that has expired gives a page. FFmpeg calls all of it invalid data.
"""

from __future__ import annotations

import re

# What is searched for the beginning of a video.
HEAD_BYTES = 1 << 16
TAG_HEAD_BYTES = 10
_VIDEOS = {
    "MP4": rb"\x00\x00[\x00-\xff]{2}ftyp",
    "Matroska or WebM": rb"\x1aE\xdf\xa3",
    "AVI": rb"RIFF[\x00-\xff]{4}AVI ",
    "FLV": rb"FLV\x01[\x00-\x07]\x00{3}\x09",
    "ASF or WMV": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9",
    "Ogg": rb"OggS\x00\x02",
    "IVF": rb"DKIF\x00\x00\x20\x00",
    "GIF": rb"GIF8[79]a",
    "Y4M": rb"YUV4MPEG2 ",
    "RealMedia": rb"\.RMF\x00\x00",
}
_BY_PLACES = "MP4"  # its tables tell places in the file; of the others FFmpeg itself passes over a tag
_VIDEO = re.compile(b"|".join(b"(%b)" % pattern for pattern in _VIDEOS.values()))
_OTHERS = {
    rb"PK\x03\x04": "a ZIP archive",
    rb"Rar!\x1a\x07": "a RAR archive",
    rb"7z\xbc\xaf\x27\x1c": "a 7z archive",
    rb"\x1f\x8b\x08": "compressed with gzip",
    rb"%PDF-": "a PDF document",
    rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype html|html)": "a web page",
    rb"(\xef\xbb\xbf)?\s*<\?xml": "an XML document",
    rb"(\xef\xbb\xbf)?\s*[{\[]\s*[\"{\[]": "a JSON document",
}
_FRAGMENT = re.compile(rb"[\x00-\xff]{4}(styp|sidx|moof|emsg|prft)")
_FRAGMENTS_HEAD = re.compile(rb"[\x00-\xff]{4}(ftyp|moov)[\x00-\xff]*mvex")
_MEDIA = re.compile(rb"moof|mdat")
_TOGETHER = "Put head and parts together: cat HEAD PART... > VIDEO"
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f]|^$")
_NAME_IT = "Name the video itself; of a link, the one that downloads it."


def tag_length(head: bytes) -> int:
    """Return the bytes of an ID3 tag at a file's beginning, which FFmpeg passes over; 0 where there is none."""
    if len(head) < TAG_HEAD_BYTES or not head.startswith(b"ID3") or max(head[6:TAG_HEAD_BYTES]) > 0x7F:
        return 0
    length = 0
    for seven in head[6:TAG_HEAD_BYTES]:
        length = length << 7 | seven
    return TAG_HEAD_BYTES + length + (TAG_HEAD_BYTES if head[5] & 0x10 else 0)


def what_begins(head: bytes) -> tuple[str, str] | None:
    """Return what is said of a file that begins with `head`, and what can be done; None where that tells nothing.

    After "the file".
    """
    for pattern, kind in _OTHERS.items():
        if re.match(pattern, head):
            return f"is {kind}, not a video", _NAME_IT
    if not _NO_TEXT.search(head):
        return "is a text, not a video", _NAME_IT
    if _FRAGMENT.match(head):
        return "is a part of a stream (HLS, DASH), without its head", _TOGETHER
    if len(head) < HEAD_BYTES and _FRAGMENTS_HEAD.match(head) and not _MEDIA.search(head):
        return "is the head of a segmented film (HLS, DASH), without its parts", _TOGETHER
    tag = tag_length(head)
    found = _VIDEO.match(head, tag) if tag else _VIDEO.search(head)
    if not found or not found.start():
        return None
    kind = list(_VIDEOS)[(found.lastindex or 1) - 1]
    if tag and kind != _BY_PLACES:
        return None
    before = "a tag (ID3)" if tag else "something else"
    return (
        f"begins with {found.start()} bytes of {before}; only behind them is a video ({kind})",
        f"Cut them off first: tail -c +{found.start() + 1} SOURCE > VIDEO",
    )
