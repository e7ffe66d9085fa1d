"""AAF files in the shapes in which Resolve, Avid and others write them, made with pyaaf2."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aaf2

RATE = 25


class Document:
    """A composition at 25 frames per second, and mobs of files that lie beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = aaf2.open(str(path), "w")
        self.create: Any = self._file.create
        self._effects: dict[str, Any] = {}
        self._composition = self.composition("reel")
        self._composition.usage = "Usage_TopLevel"

    def __enter__(self) -> Document:
        return self

    def __exit__(self, *failure: object) -> None:
        self._file.close()

    def composition(self, name: str) -> Any:
        mob = self.create.CompositionMob(name)
        self._file.content.mobs.append(mob)
        return mob

    def track(self, number: int, components: Sequence[Any], rate: int = RATE, into: Any = None) -> Any:
        """Add a sound slot of a composition (the edit's own) with those components; return the slot."""
        mob = into or self._composition
        slot = mob.create_timeline_slot(rate)
        slot["PhysicalTrackNumber"].value = number
        sequence = self.create.Sequence(media_kind="sound")
        slot.segment = sequence
        for component in components:
            sequence.components.append(component)
        return slot

    def gap(self, length: int) -> Any:
        return self.create.Filler("sound", length)

    def master(self, files: Sequence[Path | str], channels: int = 1, rate: int = RATE, unc: str = "") -> Any:
        """Return a master mob with one sound slot for each of `files`; physical tracks count up.

        The same file several times is a file of several channels, as Resolve writes it.
        """
        master = self.create.MasterMob(Path(str(files[0])).name)
        self._file.content.mobs.append(master)
        if unc:
            master.comments["UNC Path"] = unc
        for number, file in enumerate(files, 1):
            source = self.create.SourceMob(Path(str(file)).name)
            self._file.content.mobs.append(source)
            descriptor = self.create.PCMDescriptor()
            descriptor["Channels"].value = channels
            descriptor["QuantizationBits"].value = 24
            descriptor["AudioSamplingRate"].value = descriptor["SampleRate"].value = 48000
            descriptor["BlockAlign"].value, descriptor["AverageBPS"].value = 3 * channels, 144000 * channels
            descriptor["Length"].value = 48000 * 30
            locator = self.create.NetworkLocator()
            locator["URLString"].value = file.as_uri() if isinstance(file, Path) else file
            descriptor["Locator"].append(locator)
            source.descriptor = descriptor
            inner = source.create_timeline_slot(rate)
            inner["PhysicalTrackNumber"].value = number
            inner.segment = self.create.SourceClip(media_kind="sound")
            inner.segment.length = 30 * rate
            outer = master.create_timeline_slot(rate)
            outer["PhysicalTrackNumber"].value = number
            outer.segment = source.create_source_clip(inner.slot_id, media_kind="sound")
            outer.segment.length = 30 * rate
        return master

    def interleaved_master(self, file: Path, channels: int) -> Any:
        """Return a master mob whose sound slots all lead to the one slot of an interleaved file."""
        master = self.master([file], channels)
        [first] = master.slots
        for number in range(2, channels + 1):
            outer = master.create_timeline_slot(RATE)
            outer["PhysicalTrackNumber"].value = number
            outer.segment = first.segment.mob.create_source_clip(first.segment.slot_id, media_kind="sound")
            outer.segment.length = 30 * RATE
        return master

    def use(self, mob: Any, start: int, length: int, slot: int = 1) -> Any:
        clip = mob.create_source_clip([s.slot_id for s in mob.slots][slot - 1], media_kind="sound")
        clip["StartTime"].value, clip.length = start, length
        return clip

    def group(self, name: str, segments: Sequence[Any], length: int) -> Any:
        """Return an effect, for example Resolve's and Avid's "Audio Channel Combiner", around segments."""
        if name not in self._effects:
            definition = self.create.OperationDef(str(uuid.uuid5(uuid.NAMESPACE_OID, name)), name)
            definition.media_kind = "sound"
            definition["NumberInputs"].value = len(segments)
            self._file.dictionary.register_def(definition)
            self._effects[name] = definition
        group = self.create.OperationGroup(self._effects[name], length)
        group.media_kind = "sound"
        group["InputSegments"].extend(segments)
        return group

    def muted(self, component: Any) -> Any:
        selector = self.create.Selector(media_kind="sound")
        selector.length = component.length
        selector["Selected"].value = self.gap(component.length)
        selector["Alternates"].append(component)
        return selector

    def markers(self, positions: Sequence[int], described: int | None, number: int = 1) -> None:
        """Add markers; Resolve's describe no slot."""
        slot = self.create.EventMobSlot()
        slot.slot_id = 1000 + number
        slot["EditRate"].value = RATE
        slot["PhysicalTrackNumber"].value = number
        sequence = self.create.Sequence(media_kind="DescriptiveMetadata")
        for position in positions:
            marker = self.create.DescriptiveMarker()
            marker.media_kind = "DescriptiveMetadata"
            marker["Position"].value = position
            marker["Comment"].value = f"at {position}"
            if described is not None:
                marker["DescribedSlots"].value = {described}
            sequence.components.append(marker)
        slot.segment = sequence
        self._composition.slots.append(slot)
