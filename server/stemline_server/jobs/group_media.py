"""The sounds and pictures that the jobs of a group read, and the files of the sounds that they make."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from stemline.errors import Code, MediaError
from stemline.v1 import separation_pb2 as pb
from stemline_server.engines.base import AudioSource, PictureSource
from stemline_server.store.content import Draft
from stemline_server.store.media_store import KnownMedia, MediaStore
from stemline_server.store.media_table import MediaShape
from stemline_server.store.sources import Remainder, SoundOpener


class GroupMedia:
    """Opens media by name for a worker. Raises MediaError (MEDIA_UNKNOWN) for what the store no longer holds."""

    def __init__(self, store: MediaStore, sounds: SoundOpener) -> None:
        """Open media of `store` with `sounds`."""
        self._store = store
        self._sounds = sounds

    @contextlib.contextmanager
    def sound(self, spec: pb.SeparationSpec) -> Iterator[AudioSource]:
        """Open the job's sound, less what is to be subtracted."""
        with contextlib.ExitStack() as stack:
            sounds = [stack.enter_context(self.open(name)) for name in (spec.media, *spec.subtract)]
            yield Remainder(sounds[0], sounds[1:]) if len(sounds) > 1 else sounds[0]

    def open(self, name: str) -> contextlib.AbstractContextManager[AudioSource]:
        """Return the context of an open sound."""
        media = self._lookup(name)
        return self._sounds.open(media.row, media.references)

    def pictures(self, name: str) -> PictureSource:
        """Return an open picture track."""
        return self._sounds.open_pictures(self._lookup(name).row)

    def _lookup(self, name: str) -> KnownMedia:
        media = self._store.lookup(name).result()
        if media is None:
            raise MediaError(
                "The server no longer holds that sound.",
                code=Code.MEDIA_UNKNOWN,
                advice="Send it again, or run it again.",
            )
        return media

    @contextlib.contextmanager
    def drafts(self, audio: AudioSource, count: int) -> Iterator[Sequence[Draft]]:
        """Make files for the stems. What is not finished is gone afterwards."""
        shape = MediaShape(audio.sample_rate, audio.channels, audio.length_samples)
        with contextlib.ExitStack() as stack:
            drafts = []
            for _ in range(count):
                drafts.append(Draft(self._store, shape))
                stack.callback(drafts[-1].discard)
            yield drafts
