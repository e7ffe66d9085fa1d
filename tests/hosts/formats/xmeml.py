"""Final Cut 7 XML in the shapes in which Premiere writes it, at 29.97 drop frame."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import count
from pathlib import Path

from hosts.otio.support import media

RATE = Fraction(30000, 1001)
TEN_HOURS = 1078920  # 10:00:00;00 in frames
_RATE = "<rate><timebase>30</timebase><ntsc>TRUE</ntsc></rate>"
_FILES = {"mono": (1, TEN_HOURS), "stereo": (2, 0), "other": (1, 0)}


class Document:
    """Writes clips that name each file in full once, as Premiere does, and their media."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._named: set[str] = set()
        stamp = round(TEN_HOURS / RATE * 48000)
        for name, (channels, start) in _FILES.items():
            media(folder / f"{name}.wav", 30, channels=channels, timecode_sample=stamp if start else 0)

    def file(self, name: str) -> str:
        if name in self._named:
            return f'<file id="{name}"/>'
        self._named.add(name)
        channels, start = _FILES[name]
        return (
            f'<file id="{name}"><name>{name}.wav</name><pathurl>file://localhost{self._folder}/{name}.wav</pathurl>'
            f"{_RATE}<duration>899</duration><timecode>{_RATE}<frame>{start}</frame><displayformat>DF</displayformat>"
            f"</timecode><media><audio><channelcount>{channels}</channelcount></audio></media></file>"
        )

    def clip(self, name: str, record: tuple[int, int], media_in: int, inside: str, more: str = "") -> str:
        """`inside` is a file or a nested sequence; -1 in `record` is a transition's place."""
        length = record[1] - record[0] if min(record) >= 0 else 100
        return (
            f'<clipitem id="clipitem-{next(self._numbers)}"><name>{name}</name>{_RATE}'
            f"<start>{record[0]}</start><end>{record[1]}</end><in>{media_in}</in><out>{media_in + length}</out>"
            f"{inside}{more}</clipitem>"
        )

    def stereo(self, name: str, record: tuple[int, int], media_in: int, side: int) -> str:
        """One side of a stereo clip, which Premiere writes once for each."""
        clip = self.clip(name, record, media_in, self.file("stereo"), channel(side + 1))
        return clip.replace("<clipitem ", '<clipitem premiereChannelType="stereo" ', 1)

    @staticmethod
    def nest(clips: Iterable[str]) -> str:
        return (
            f'<sequence id="nest"><name>nest</name>{_RATE}<media><video><track/></video>'
            f"<audio><track>{''.join(clips)}</track></audio></media></sequence>"
        )

    def save(self, *tracks: str) -> Path:
        path = self._folder / "reel.xml"
        path.write_text(
            f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE xmeml>\n<xmeml version="4"><sequence id="sequence-1">'
            f"<name>reel</name>{_RATE}<media><audio>{''.join(tracks)}</audio></media>"
            f"<timecode>{_RATE}<frame>107892</frame><displayformat>DF</displayformat></timecode></sequence></xmeml>",
            encoding="utf-8",
        )
        return path


def track(name: str, clips: Iterable[str], side: int | None = None) -> str:
    exploded = "" if side is None else f' currentExplodedTrackIndex="{side}" totalExplodedTrackCount="2"'
    return f'<track MZ.TrackName="{name}"{exploded}>{"".join(clips)}<enabled>TRUE</enabled></track>'


def channel(number: int) -> str:
    return f"<sourcetrack><mediatype>audio</mediatype><trackindex>{number}</trackindex></sourcetrack>"


def cross_fade(start: int, end: int) -> str:
    return (
        f"<transitionitem><start>{start}</start><end>{end}</end><alignment>center</alignment>{_RATE}<effect>"
        "<name>Cross Fade (+3dB)</name><effectid>KGAudioTransCrossFade3dB</effectid></effect></transitionitem>"
    )


def levels(*whens: int) -> str:
    keys = "".join(f"<keyframe><when>{when}</when><value>0.5</value></keyframe>" for when in whens)
    return (
        "<filter><effect><name>Audio Levels</name><effectid>audiolevels</effectid><effecttype>audiolevels</effecttype>"
        f"<mediatype>audio</mediatype><parameter><parameterid>level</parameterid><value>1</value>{keys}</parameter>"
        "</effect></filter>"
    )


def time_remap(percent: int, variable: int = 0) -> str:
    values = {"variablespeed": variable, "speed": percent, "reverse": "FALSE"}
    parameters = "".join(
        f"<parameter><parameterid>{name}</parameterid><value>{value}</value></parameter>"
        for name, value in values.items()
    )
    return f"<filter><effect><name>Time Remap</name><effectid>timeremap</effectid>{parameters}</effect></filter>"
