"""Solo instruments for the corpus: random music as MIDI, rendered by fluidsynth with free soundfonts.

One long MIDI file for each soundfont plays one instrument at a time in segments of `SEGMENT_S`. Cut at the segment
borders, the recording gives exact stems. Key, tempo, chords and a playing style that suits the instrument are random.
"""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .corpus import RATE, CorpusWriter, decode, trimmed

SEGMENT_S = 10
TICKS = 480  # a quarter note of half a second: 960 ticks a second
TICKS_PER_S = 960
MODES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10), (0, 2, 4, 7, 9, 12, 14))

# label: (General MIDI programs, lowest note, highest note, playing styles, share of the segments)
INSTRUMENTS: dict[str, tuple[tuple[int, ...], int, int, tuple[str, ...], int]] = {
    "drums": ((0, 8, 16, 24, 25, 32, 40), 0, 0, ("drums",), 8),
    "bass": ((32, 33, 34, 35, 36, 37, 38, 39, 43), 26, 50, ("bass",), 7),
    "acoustic guitar": ((24, 25), 40, 76, ("strum", "arpeggio", "melody"), 5),
    "electric guitar": ((26, 27, 28, 29, 30), 40, 79, ("strum", "power", "melody", "arpeggio"), 6),
    "piano": ((0, 1, 2, 3), 33, 90, ("chords", "arpeggio", "melody", "both"), 8),
    "electric piano": ((4, 5, 6, 7), 40, 84, ("chords", "arpeggio", "both"), 2),
    "organ": ((16, 17, 18, 19, 20), 36, 84, ("pad", "chords", "melody"), 3),
    "accordion": ((21, 23), 48, 84, ("chords", "melody", "both"), 2),
    "harmonica": ((22,), 60, 88, ("melody",), 1),
    "violin": ((40, 41), 55, 93, ("melody",), 3),
    "cello": ((42,), 36, 67, ("melody",), 3),
    "strings": ((44, 45, 48, 49, 50, 51), 40, 88, ("pad", "chords", "melody"), 4),
    "harp": ((46,), 40, 91, ("arpeggio",), 2),
    "trumpet": ((56, 59), 55, 84, ("melody",), 3),
    "trombone": ((57, 58), 40, 70, ("melody",), 2),
    "horn": ((60, 61), 43, 76, ("melody", "pad"), 2),
    "saxophone": ((64, 65, 66, 67), 46, 84, ("melody",), 4),
    "clarinet": ((68, 69, 70, 71), 50, 88, ("melody",), 3),
    "flute": ((72, 73, 74, 75, 77, 79), 60, 96, ("melody",), 4),
    "mallets": ((8, 9, 10, 11, 12, 13, 14), 55, 96, ("melody", "arpeggio"), 3),
    "choir": ((52, 53, 54), 48, 79, ("pad", "melody"), 2),
    "synthesizer": ((80, 81, 82, 83, 84, 87, 88, 89, 90, 91, 94, 95), 40, 88, ("pad", "melody", "arpeggio"), 4),
    "banjo": ((104, 105, 106, 107), 50, 81, ("arpeggio", "melody"), 2),
}


@dataclass(frozen=True, slots=True)
class Note:
    """Describe one note: start and length in seconds, MIDI pitch and velocity."""

    start_s: float
    length_s: float
    pitch: int
    velocity: int


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Hold tempo, range, scale and chords of one segment.

    Attributes:
        rng: Random numbers of the segment.
        beat_s: Length of a beat.
        low: Lowest MIDI pitch of the instrument.
        high: Highest MIDI pitch of the instrument.
        scale: Semitones of the scale above the root.
        root: MIDI pitch of the root.
    """

    rng: random.Random
    beat_s: float
    low: int
    high: int
    scale: tuple[int, ...]
    root: int

    def chord(self, bar: int) -> list[int]:
        """Return the pitches of a triad (sometimes a seventh) of the scale, in the instrument's range."""
        degree = random.Random(self.root * 31 + bar // 1 + len(self.scale)).choice((0, 3, 4, 5, 0, 1))  # noqa: S311
        tones = [self.scale[(degree + step) % len(self.scale)] for step in (0, 2, 4, 6)[: 4 if bar % 3 else 3]]
        base = self.root + 12 * ((self.low + 14 - self.root) // 12)
        return sorted({p for t in tones for p in (base + t, base + t + 12) if self.low <= p <= self.high})

    def beats(self) -> int:
        """Return the number of beats in a segment."""
        return int((SEGMENT_S - 1.5) / self.beat_s)


def play_melody(s: Arrangement) -> list[Note]:
    """Play single notes that move along the scale."""
    notes, at = [], 0.0
    steps = [p for p in range(s.low, s.high + 1) if (p - s.root) % 12 in {x % 12 for x in s.scale}]
    here = s.rng.randrange(len(steps) // 4, max(len(steps) // 4 + 1, 3 * len(steps) // 4))
    while at < s.beats() * s.beat_s:
        length = s.beat_s * s.rng.choice((0.25, 0.5, 0.5, 1, 1, 1.5, 2, 3))
        if s.rng.random() > 0.15:
            notes.append(Note(at, length * s.rng.uniform(0.5, 1.02), steps[here], s.rng.randint(50, 120)))
        at += length
        here = min(max(here + s.rng.choice((-4, -2, -1, -1, 0, 1, 1, 2, 5)), 0), len(steps) - 1)
    return notes


def play_pad(s: Arrangement) -> list[Note]:
    """Play long chords."""
    held = s.rng.choice((2, 4))
    return [
        Note(beat * s.beat_s, held * s.beat_s, pitch, s.rng.randint(50, 100))
        for beat in range(0, s.beats(), held)
        for pitch in s.rng.sample(s.chord(beat // 4), min(len(s.chord(beat // 4)), s.rng.randint(2, 4)))
    ]


def play_chords(s: Arrangement) -> list[Note]:
    """Play chords in a rhythmic pattern."""
    pattern = s.rng.choice(((0, 2), (0, 1.5, 2.5), (0, 1, 2, 3), (1, 3), (0, 0.75, 1.5, 2.5)))
    length = s.rng.uniform(0.2, 1.2)
    return [
        Note((bar + place) * s.beat_s, length * s.beat_s, pitch, s.rng.randint(55, 110))
        for bar in range(0, s.beats() - 3, 4)
        for place in pattern
        for pitch in s.chord(bar // 4)[: s.rng.randint(3, 6)]
    ]


def play_strum(s: Arrangement) -> list[Note]:
    """Play chords string by string."""
    notes: list[Note] = []
    pattern = s.rng.choice(((0, 1, 1.5, 2, 3, 3.5), (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5), (0, 2), (0, 1.5, 2, 3)))
    for bar in range(0, s.beats() - 3, 4):
        for place in pattern:
            chord = s.chord(bar // 4)[:6]
            chord = chord if s.rng.random() < 0.6 else chord[::-1]
            spread = s.rng.uniform(0.004, 0.025)
            notes += [
                Note((bar + place) * s.beat_s + i * spread, s.beat_s * 0.9, p, s.rng.randint(60, 115))
                for i, p in enumerate(chord)
            ]
    return notes


def play_power(s: Arrangement) -> list[Note]:
    """Play roots with fifths and octaves in eighths."""
    notes: list[Note] = []
    for eighth in range(s.beats() * 2):
        if s.rng.random() < 0.8:
            root = s.chord(eighth // 8)[0]
            root = s.low + (root - s.low) % 12
            length = s.beat_s * s.rng.choice((0.3, 0.5, 1))
            notes += [
                Note(eighth * s.beat_s / 2, length, p, s.rng.randint(80, 127)) for p in (root, root + 7, root + 12)
            ]
    return notes


def play_arpeggio(s: Arrangement) -> list[Note]:
    """Play the notes of chords one after another."""
    step = s.rng.choice((0.25, 0.5, 0.5, 1 / 3))
    order = s.rng.choice(((0, 1, 2, 3), (0, 2, 1, 2), (3, 2, 1, 0), (0, 1, 2, 1)))
    notes = []
    for i in range(int(s.beats() / step)):
        chord = s.chord(int(i * step) // 4)
        pitch = chord[order[i % 4] % len(chord)]
        notes.append(Note(i * step * s.beat_s, s.beat_s * s.rng.uniform(0.4, 2), pitch, s.rng.randint(50, 110)))
    return notes


def play_both(s: Arrangement) -> list[Note]:
    """Play a melody with chords."""
    return play_melody(s) + play_chords(s)


def play_bass(s: Arrangement) -> list[Note]:
    """Play roots and their neighbours in the low range."""
    step = s.rng.choice((0.5, 1, 1, 2))
    notes = []
    for i in range(int(s.beats() / step)):
        if s.rng.random() < 0.85:
            root = s.low + (s.chord(int(i * step) // 4)[0] - s.low) % 12
            pitch = root + s.rng.choice((0, 0, 0, 7, 12, 5, 10, 2))
            length = s.beat_s * step * s.rng.uniform(0.4, 1)
            notes.append(Note(i * step * s.beat_s, length, pitch, s.rng.randint(70, 120)))
    return notes


def play_drums(s: Arrangement) -> list[Note]:
    """Play a drum pattern in sixteenths."""
    rng, notes = s.rng, []
    hat = rng.choice((42, 42, 44, 51, 46, 69, 70))
    kicks = [*rng.sample(range(16), rng.randint(2, 6)), 0]
    snares = rng.choice(((4, 12), (4, 12, 15), (8,), (4, 10, 12)))
    snare = rng.choice((38, 40, 37, 39))
    every = rng.choice((1, 2, 2, 4))
    for sixteenth in range(s.beats() * 4):
        place, at = sixteenth % 16, sixteenth * s.beat_s / 4
        hits = [(hat, rng.randint(40, 100))] * (place % every == 0 and rng.random() < 0.93)
        hits += [(rng.choice((35, 36)), rng.randint(80, 127))] * (place in kicks)
        hits += [(snare, rng.randint(80, 127))] * (place in snares)
        if rng.random() < 0.04:
            hits.append((rng.choice((49, 57, 45, 47, 48, 50, 54, 56, 60, 61, 63, 64)), rng.randint(60, 120)))
        notes += [Note(at, 0.1, pitch, velocity) for pitch, velocity in hits]
    return notes


PLAYERS: dict[str, Callable[[Arrangement], list[Note]]] = {
    "melody": play_melody,
    "pad": play_pad,
    "chords": play_chords,
    "strum": play_strum,
    "power": play_power,
    "arpeggio": play_arpeggio,
    "both": play_both,
    "bass": play_bass,
    "drums": play_drums,
}


def variable_length(value: int) -> bytes:
    """Encode a MIDI variable-length quantity."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | (value & 0x7F))
    return bytes(reversed(digits))


def midi_file(segments: list[tuple[str, int, list[Note]]]) -> bytes:
    """Return a MIDI file with one track that plays the segments one after another, drums on channel 10."""
    events: list[tuple[int, int, bytes]] = [(0, 0, b"\xff\x51\x03" + (500_000).to_bytes(3, "big"))]
    for number, (label, program, notes) in enumerate(segments):
        channel, origin = (9 if label == "drums" else 0), number * SEGMENT_S * TICKS_PER_S
        events.append((origin, 0, bytes((0xC0 | channel, program))))
        for note in notes:
            start = origin + int(note.start_s * TICKS_PER_S)
            end = min(start + max(int(note.length_s * TICKS_PER_S), 20), origin + int((SEGMENT_S - 0.7) * TICKS_PER_S))
            if start < end:
                events.append((start, 2, bytes((0x90 | channel, note.pitch, note.velocity))))
                events.append((end, 1, bytes((0x80 | channel, note.pitch, 0))))
        for quiet in (b"\x78\x00", b"\x7b\x00"):  # all sound off, all notes off: segments must not leak
            events.append((origin + SEGMENT_S * TICKS_PER_S - 20, 1, bytes((0xB0 | channel,)) + quiet))
    track, now = b"", 0
    for tick, _, message in sorted(events, key=lambda e: e[:2]):
        track += variable_length(tick - now) + message
        now = tick
    track += variable_length(0) + b"\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS) + b"MTrk" + struct.pack(">I", len(track)) + track


def compose(count: int, seed: int) -> list[tuple[str, int, list[Note]]]:
    """Return (label, program, notes) of `count` random segments."""
    rng = random.Random(seed)  # noqa: S311 - random music
    labels = [label for label, entry in INSTRUMENTS.items() for _ in range(entry[4])]
    segments = []
    for number in range(count):
        label = labels[number % len(labels)]
        programs, low, high, styles, _ = INSTRUMENTS[label]
        arrangement = Arrangement(rng, 60 / rng.uniform(60, 170), low, high, rng.choice(MODES), rng.randrange(24, 36))
        segments.append((label, rng.choice(programs), PLAYERS[rng.choice(styles)](arrangement)))
    return segments


def render(soundfont: Path, count: int, seed: int, work: Path) -> list[tuple[str, Path, int]]:
    """Play `count` random segments with a soundfont.

    Returns:
        (label, WAV file, segment number) of each segment. All segments are in one file.
    """
    segments = compose(count, seed)
    midi, wav = work / f"{soundfont.stem}_{seed}.mid", work / f"{soundfont.stem}_{seed}.wav"
    midi.write_bytes(midi_file(segments))
    reverb = str(seed % 2)
    command = ["fluidsynth", "-ni", "-g", "0.5", "-R", reverb, "-C", reverb, "-r", str(RATE), "-F", str(wav)]
    subprocess.run([*command, str(soundfont), str(midi)], check=True, capture_output=True)
    return [(label, wav, number) for number, (label, _, _) in enumerate(segments)]


def add_renders(writer: CorpusWriter, package: str, split: str, rendered: list[tuple[str, Path, int]]) -> None:
    """Add the segments of one soundfont to the corpus, cut at their borders."""
    wave = decode(rendered[0][1], 1e6)
    for label, wav, number in rendered:
        piece = trimmed(wave[number * SEGMENT_S * RATE : (number + 1) * SEGMENT_S * RATE])
        if len(piece) > RATE:
            writer.add(package, f"{wav.stem}/{number}", label, split, piece)
