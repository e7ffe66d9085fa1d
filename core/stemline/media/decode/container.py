"""Opens media files with FFmpeg so that a file's name or content can never make it open anything else."""

from __future__ import annotations

import stat
from pathlib import Path

import av
from av.container import InputContainer

from stemline.errors import Code, MediaError

# Containers that hold their media themselves. Playlists and other formats that name further files (hls, dash, concat,
# image2, sdp ...) are left out on purpose.
_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,dtshd,dv,eac3,flac,flv,gxf,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,"
    "mpegts,mpegvideo,mxf,nut,ogg,rm,sox,swf,tak,truehd,tta,voc,w64,wav,wv"
)
_RIFF = (b"RIFF", b"RF64", b"BW64")
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS, "enable_drefs": "0"}


def printable(path: str | Path) -> str:
    """A path as it can stand in a message: control characters escaped, never longer than a line or two."""
    text = str(path)
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    return shown if len(shown) <= 300 else f"{shown[:140]}…{shown[-140:]}"


def stat_media(path: str | Path) -> tuple[int, int, int]:
    """(size in bytes, mtime in ns, inode) of a regular file. Raises MediaError: missing, empty, not a file, or of a
    name that no record can hold.
    """
    try:
        str(path).encode()
        facts = Path(path).stat()
    except UnicodeEncodeError as error:
        raise MediaError(
            f"The name {printable(path)} is not UTF-8, which no edit or record can hold.",
            code=Code.MEDIA_UNREADABLE,
            advice="Rename that file or folder.",
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MediaError(f"There is no file {printable(path)}.", code=Code.MEDIA_MISSING) from error
    except (OSError, ValueError) as error:
        raise MediaError(f"{printable(path)} cannot be opened: {error}.", code=Code.MEDIA_MISSING) from error
    if not stat.S_ISREG(facts.st_mode):
        raise MediaError(f"{printable(path)} is not a media file.", code=Code.MEDIA_UNREADABLE)
    if facts.st_size == 0:
        raise MediaError(f"{printable(path)} is empty (0 bytes).", code=Code.MEDIA_EMPTY)
    return facts.st_size, facts.st_mtime_ns, facts.st_ino


def open_container(path: str | Path) -> InputContainer:
    """The file, opened for reading. Raises MediaError in one sentence whatever is wrong with it."""
    stat_media(path)
    try:
        with Path(path).open("rb") as file:
            head = file.read(4)
        # In a WAVE file FFmpeg would search megabytes of samples for other codecs, for up to seconds, where the header
        # says it all. Larger packets than 4 KiB read faster: every one costs a change of hands between threads.
        options = {**_OPTIONS, "probesize": "32768", "max_size": "131072"} if head in _RIFF else dict(_OPTIONS)
        return av.open(f"file:{Path(path).absolute()}", "r", container_options=options, metadata_errors="replace")
    except PermissionError as error:
        raise MediaError(f"{printable(path)} may not be read.", advice="Check the file's permissions.") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise unreadable(path) from error


def unreadable(path: str | Path) -> MediaError:
    """The error for a file that is there but holds nothing that can be decoded."""
    return MediaError(
        f"{printable(path)} is no readable media file: it is damaged, cut short, or of a kind that is not supported.",
        advice="Check that it plays in another program.",
        code=Code.MEDIA_UNREADABLE,
    )
