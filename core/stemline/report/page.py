"""Render the report as one self-contained page: styles and pictures inside, names escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader

_WIDTH, _HEIGHT = 600, 48


def render_page(report: Mapping[str, Any]) -> str:
    """Return the HTML of a report made by `report_of`. Everything that came from the edit is escaped."""
    environment = Environment(
        loader=PackageLoader("stemline.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["wave"] = wave_path
    environment.filters["loudest"] = loudest
    environment.filters["clock"] = clock
    environment.filters["url"] = quote
    environment.filters["basename"] = lambda path: PurePath(path).name
    return environment.get_template("report.html").render(report=report, width=_WIDTH, height=_HEIGHT)


def loudest(clip: Mapping[str, Any]) -> int:
    """Return the highest peak of a clip's waveforms, to which all of them are scaled."""
    return max(1, *map(int, clip["mix_waveform"]), *(int(peak) for file in clip["files"] for peak in file["waveform"]))


def wave_path(columns: Sequence[int], full: int) -> str:
    """Return an SVG path around the peaks, which are in thousandths of full scale."""
    if not columns:
        return ""
    places = _places(len(columns))
    outline = {value: _outline(value / full) for value in set(columns)}
    tops = [place + outline[value][0] for place, value in zip(places, columns, strict=True)]
    bottoms = [place + outline[value][1] for place, value in zip(places, columns, strict=True)]
    bottoms.reverse()
    return f"M{' L'.join(tops)} L{' L'.join(bottoms)} Z"


@cache
def _places(count: int) -> tuple[str, ...]:
    """Return the x coordinates of the columns, as the first half of an SVG point."""
    return tuple(f"{i * _WIDTH / count:.1f}," for i in range(count))


def _outline(share: float) -> tuple[str, str]:
    """Return the upper and the lower edge of a column that is `share` of the full height."""
    height = max(0.4, share * _HEIGHT / 2)
    return f"{_HEIGHT / 2 - height:.1f}", f"{_HEIGHT / 2 + height:.1f}"


def clock(seconds: float) -> str:
    """Return seconds as `0:03:07.25`."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes) // 60}:{int(minutes) % 60:02d}:{rest:05.2f}"
