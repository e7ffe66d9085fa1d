"""Open media files with FFmpeg so that neither their name nor their content opens anything else."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import BinaryIO

import av
from av.audio.stream import AudioStream as AvAudioStream
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from stemline.errors import Code, MediaError
from stemline.files import printable
from stemline.media.decode.edit_list import joins_ranges
from stemline.media.decode.padded_pcm import open_padded
from stemline.media.decode.spliced_file import open_spliced
from stemline.media.decode.truncation import is_truncated_mp4
from stemline.media.decode.wave_layout import W64, open_repaired

# Self-contained formats only. Playlists and other formats that refer to further files (hls, dash, concat, image2, sdp)
# are excluded on purpose.
_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,dtshd,dv,eac3,flac,flv,gxf,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,"
    "mpegts,mpegvideo,mxf,nut,ogg,rm,sox,swf,tak,truehd,tta,voc,w64,wav,wv"
)
_RIFF = (b"RIFF", b"RF64", b"BW64")
_PADDED = (b"RIFF", b"caff")
_MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # the first box of such a file
# Path turns "//" into "/"
_URL = re.compile(r"(?:^|[/\\])(file|ftps?|https?|rtmps?|rtsp|s3|gs|sftp|smb|srt|udp|tcp):/+[^/]", re.IGNORECASE)
_CHECKED = ("wavpack", "tta", "ape", "tak")  # without the check, damaged blocks decode to arbitrary numbers
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS, "enable_drefs": "0"}


def stat_media(path: str | Path) -> tuple[int, int, int]:
    """Return (size in bytes, mtime in ns, inode) of a regular file.

    Raises:
        MediaError: The file is missing, empty or not a regular file, or its name is not UTF-8.
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
        raise _missing(path) from error
    except (OSError, ValueError) as error:
        raise MediaError(f"{printable(path)} cannot be opened: {error}.", code=Code.MEDIA_MISSING) from error
    if not stat.S_ISREG(facts.st_mode):
        raise MediaError(f"{printable(path)} is not a media file.", code=Code.MEDIA_UNREADABLE)
    if facts.st_size == 0:
        raise MediaError(f"{printable(path)} is empty (0 bytes).", code=Code.MEDIA_EMPTY)
    return facts.st_size, facts.st_mtime_ns, facts.st_ino


def _missing(path: str | Path) -> MediaError:
    """Return the error for a path that is not a file, or is a URL."""
    match = _URL.search(str(path))
    if match is None:
        return MediaError(f"There is no file {printable(path)}.", code=Code.MEDIA_MISSING, advice="Check the path.")
    url = f"{match[1]}://{str(path)[match.end(1) + 1 :].lstrip('/')}"
    return MediaError(
        f"{printable(url)} is a URL; Stemline reads local files.",
        advice="Give the file's path." if match[1] == "file" else "Download it, and give the path of the copy.",
        code=Code.MEDIA_MISSING,
    )


def open_container(path: str | Path) -> InputContainer:
    """Open a file for reading.

    Raises:
        MediaError: The file is missing, may not be read, or is not media that FFmpeg knows.
    """
    stat_media(path)
    try:
        with Path(path).open("rb") as file:
            head = file.read(8)
        # In a WAVE file FFmpeg probes megabytes of samples for other codecs, for up to seconds, although the header
        # states the format. Packets above 4 KiB read faster, as each costs a switch between threads.
        options = {**_OPTIONS, "probesize": "32768", "max_size": "131072"} if head[:4] in _RIFF else dict(_OPTIONS)
        if head[4:8] in _MOV_BOXES and joins_ranges(path):
            options["ignore_editlist"] = "1"  # edit_list.py applies them
        repaired = open_repaired(path) if head[:4] in (*_RIFF, W64) else None
        if repaired is None and (head[:4] in _PADDED or head[4:8] in _MOV_BOXES):
            repaired = open_padded(path)
        source: str | BinaryIO = repaired or f"file:{Path(path).absolute()}"
        return av.open(source, "r", container_options=options, metadata_errors="replace")
    except PermissionError as error:
        raise MediaError(f"{printable(path)} may not be read.", advice="Check the file's permissions.") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise unreadable(path) from error


def open_part(path: str | Path, begin: int, end: int) -> InputContainer:
    """Open bytes [begin, end) of a file as a file in its own right. Raises MediaError."""
    try:
        return av.open(open_spliced(path, [(begin, end - begin)]), "r", container_options=dict(_OPTIONS))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise unreadable(path) from error


def unreadable(path: str | Path) -> MediaError:
    """Return the error for a file that holds nothing that can be decoded."""
    return MediaError(
        f"{printable(path)} is not a readable media file: it is damaged, cut short, or of an unsupported kind.",
        advice="Check that it plays in another program.",
        code=Code.MEDIA_UNREADABLE,
    )


def audio_stream(container: InputContainer, index: int, path: str | Path) -> AvAudioStream:
    """Return the n-th audio stream, set to decode in one thread, and discard all other streams.

    Raises:
        MediaError: The file holds no audio or no such stream, or no decoder supports the stream.
    """
    streams = container.streams.audio
    if not streams and "mp4" in container.format.name and is_truncated_mp4(path):
        raise unreadable(path)
    if not streams:
        raise MediaError(f"{printable(path)} holds no audio.", code=Code.MEDIA_NO_AUDIO)
    if not 0 <= index < len(streams):
        raise MediaError(
            f"{printable(path)} has {len(streams)} audio stream(s); there is no stream {index}.",
            advice="Streams are counted from 0.",
            code=Code.STREAM_UNKNOWN,
        )
    stream = streams[index]
    if stream.codec_context is None:
        raise MediaError(
            f"FFmpeg cannot decode stream {index} of {printable(path)}.",
            advice="Choose another stream with --stream." if len(streams) > 1 else "",
            code=Code.MEDIA_UNSUPPORTED,
        )
    if not stream.sample_rate or not stream.channels:
        raise unreadable(path)
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all  # unused packets are not read where the container allows that
    stream.codec_context.thread_count = 1
    stream.codec_context.thread_type = "NONE"
    if stream.codec_context.name in _CHECKED:
        stream.codec_context.options = {"err_detect": "crccheck"}
    return stream


def moving_video(container: InputContainer) -> VideoStream | None:
    """Return the first video stream that is not a cover picture."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def seek_stream(container: InputContainer, stream: AvAudioStream) -> AvAudioStream | VideoStream:
    """Return the stream to seek by.

    The index of a Matroska film lists pictures only: a seek by the sound would read the file up to there.
    """
    pictures = moving_video(container) if "matroska" in container.format.name else None
    return pictures or stream
