"""Cut a long extent into cells of an absolute grid of its media.

A cell is one job. The engine hears it with context on either side, and neighbours cross-fade in the middle of the range
that both have heard. A sample therefore depends on the media and the prompt alone: not on how long a clip is, nor on
where the separation began.
"""

from __future__ import annotations

from dataclasses import dataclass

from stemline.clips import MediaSource, SampleRange
from stemline.plan.separation import Extent
from stemline.prompts import SamplePrompt
from stemline.timebase import floor_to

_FADES_PER_S = 20


@dataclass(frozen=True, slots=True)
class CellGrid:
    """The grid on which the media of one rate is cut for one model.

    Attributes:
        cell_samples: Length of a cell.
        context_samples: Samples on either side that the engine hears, too.
        fade_samples: Length of the cross-fade where two cells meet. It is even.
    """

    cell_samples: int
    context_samples: int
    fade_samples: int

    @classmethod
    def of(cls, cell_s: int, context_s: int, sample_rate: int) -> CellGrid:
        """Return the grid of a model for media of a rate."""
        context = context_s * sample_rate
        return cls(cell_s * sample_rate, context, min(sample_rate // _FADES_PER_S, context) // 2 * 2)


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """The sound of one job.

    Attributes:
        source: The media.
        range: The range that the engine hears. It is always inside the media.
        core: The part of it for which the result counts; cross-fades reach over its ends by half their length.
    """

    source: MediaSource
    range: SampleRange
    core: SampleRange


@dataclass(frozen=True, slots=True)
class Part:
    """One cell and one prompt. Spans are samples of the cell. An empty prompt needs no engine: the part is silent."""

    cell: Cell
    stem: str
    prompt: SamplePrompt


def undivided(extent: Extent) -> Cell:
    """Return the extent as a single cell."""
    return Cell(extent.source, extent.range, extent.range)


def cells_of(source: MediaSource, wanted: SampleRange, length_samples: int, grid: CellGrid) -> tuple[Cell, ...]:
    """Return the cells, in order, on which the samples `wanted` of a media of `length_samples` depend.

    A rest of less than half a cell at the end of the media belongs to the cell before it.
    """
    size, reach = grid.cell_samples, grid.fade_samples // 2
    whole = SampleRange(0, length_samples)
    last = max(0, floor_to(length_samples - size // 2, size))
    first = min(max(0, floor_to(wanted.start_sample - reach, size)), last)
    cells = []
    for start in range(first, last + 1, size):
        if start > first and start - reach >= wanted.end_sample:
            break
        core = SampleRange(start, length_samples if start == last else start + size)
        heard = SampleRange(core.start_sample - grid.context_samples, core.end_sample + grid.context_samples)
        cells.append(Cell(source, heard.intersect(whole), core))
    return tuple(cells)


def prompt_in(cell: Cell, extent: Extent, prompt: SamplePrompt) -> SamplePrompt:
    """Return a prompt whose spans are samples of `extent` with spans in samples of `cell`."""
    base = extent.range.start_sample - cell.range.start_sample
    inside = SampleRange(0, cell.range.length)

    def spans(given: tuple[SampleRange, ...]) -> tuple[SampleRange, ...]:
        moved = (span.shift(base).intersect(inside) for span in given)
        return tuple(span for span in moved if span.length)

    return SamplePrompt(prompt.text, spans(prompt.plus), spans(prompt.minus), prompt.mask)
