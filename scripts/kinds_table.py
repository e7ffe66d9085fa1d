"""`python scripts/kinds_table.py DIR`: write the tables of kinds of sounds from WordNet 3.0.

DIR holds `index.noun` and `data.noun` (Debian: package wordnet-base, /usr/share/wordnet). A noun belongs to the nearest
hypernym of its first sense that names a sound: "chihuahua" is a dog. Writes `wordnet_kinds.tsv` and
`wordnet_related.tsv` of the embedded engine.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

from stemline.errors import UsageError
from stemline_server.engines.embedded import vocabulary

_FOLDER = Path(vocabulary.__file__).parent
_LICENCE = (
    "# Made by scripts/kinds_table.py from WordNet 3.0, Copyright 2006 by Princeton University "
    "(LICENSES/WordNet-3.0.txt)."
)
_KINDS = {
    "dog": "dog#1",
    "cat": "cat#1",
    "horse": "horse#1",
    "donkey": "donkey#2",
    "bird": "bird#1",
    "duck": "duck#1 goose#1 swan#1",
    "owl": "owl#1",
    "rooster": "fowl#1",
    "cow": "cattle#1 bison#1",
    "sheep": "sheep#1 goat#1",
    "pig": "swine#1",
    "wolf": "wolf#1 fox#1 jackal#1 coyote#1",
    "frog": "frog#1",
    "elephant": "elephant#1",
    "monkey": "monkey#1 ape#1",
    "mouse": "mouse#1 rat#1 squirrel#1 hamster#1",
    "lion": "big_cat#1 bear#1",
    "bee": "bee#1 wasp#2",
    "cricket": "orthopterous_insect#1 cicada#1",
    "whale": "whale#2 dolphin#2 seal#9",
    "guitar": "guitar#1 lute#2 mandolin#1 sitar#1 balalaika#1 ukulele#1",
    "banjo": "banjo#1",
    "strings": "bowed_stringed_instrument#1",
    "violin": "violin#1",
    "cello": "cello#1",
    "bass": "bass_fiddle#1",
    "harp": "harp#1",
    "piano": "piano#1 harpsichord#1",
    "organ": "pipe_organ#1 electric_organ#1",
    "drums": "percussion_instrument#1",
    "mallets": "marimba#1 vibraphone#1 glockenspiel#1",
    "bell": "chime#1 gong#1 bell#1",
    "brass": "brass#2",
    "trumpet": "trumpet#1",
    "trombone": "trombone#1",
    "woodwind": "woodwind#1",
    "flute": "flute#1",
    "clarinet": "clarinet#1",
    "saxophone": "sax#2",
    "accordion": "accordion#1",
    "harmonica": "harmonica#1",
    "door": "door#1",
    "gunshot": "firearm#1 artillery#1",
    "explosion": "explosive_device#1",
    "fireworks": "firework#1",
    "sword": "sword#1",
    "arrow": "bow#4",
    "clock": "clock#1",
    "helicopter": "helicopter#1",
    "airplane": "airplane#1",
    "train": "train#1 locomotive#1 railcar#1",
    "saw": "saw#2",
    "hammer": "hammer#2",
    "engine": "motor#1 motor_vehicle#1",
    "boat": "vessel#2 boat#1",
    "telephone": "telephone#1",
    "camera": "camera#1",
    "machine": "power_tool#1 home_appliance#1 pump#1 drill#1 printer#3 printer#2",
    "coin": "coin#1",
    "rain": "rain#1",
    "wind": "wind#1",
    "music": "dance_music#1 dance_music#2 music_genre#1",
    "vocals": "singing#1 song#1",
    "laughter": "laugh#1",
}
"""Senses of WordNet, as lemma#number, whose hyponyms are kinds of a sound of `phrases.tsv`."""
_RELATED = {
    "animal, dog barking, horse": "mammal#1",
    "animal, insect, frog": "reptile#1 amphibian#3",
    "insect, bee, cricket": "insect#1 arachnid#1",
    "water, waves, splash": "fish#1 body_of_water#1 liquid#3",
    "instrument, music, guitar": "musical_instrument#1",
    "impact, weapon, explosion": "weapon#1 explosive#1",
    "vehicle, engine, train": "vehicle#1",
    "machine, engine, hum": "machine#1",
    "electricity, hum, beep": "electronic_device#1 electronic_equipment#1 electrical_device#1 lamp#1 lamp#2",
    "impact, hammer, saw": "tool#1",
    "glass, coin, impact": "container#1 tableware#1 cutlery#2",
    "cooking, water, steam": "kitchen_utensil#1",
    "cooking, chewing, drinking": "food#1 food#2 beverage#1",
    "paper, zipper, footsteps": "clothing#1 footwear#2 fabric#1",
    "impact, wood, door": "furniture#1 sports_equipment#1 building_material#1 wood#1",
    "background noise, door, footsteps": "building#1 room#1 structure#1",
    "wind, rustling leaves, birds singing": "plant#2 woods#1 forest#2",
    "breathing, cough, speech": "body_part#1 organ#1 disease#1",
    "speech, crowd noise, footsteps": "worker#1 professional#1 performer#1 artist#1 scholar#1 athlete#1 official#1",
    "crowd noise, applause, music": "social_event#1 gathering#1 game#1 sport#1",
    "wind, rain, thunder": "weather#1 storm#1 precipitation#3",
    "music, vocals, instrument": "music#1",
    "speech, telephone, keyboard typing": "message#2 speech_act#1 language#1",
    "click, beep, machine": "device#1",
    "impact, digging, gravel": "rock#1 mineral#1 soil#2 metal#1",
}
"""Suggested phrases for the hyponyms of senses that no sound covers."""
_NEVER = frozenset(
    re.findall(
        r"\w+",
        """
    accommodation action air alarm amphibian arm assembly automatic baby bank barker basset bay bbs beef belling biddy
    binder bird blockbuster blue blues bomber bones booby borer boxer breeze brig broiler broody bruin buck buckskin
    bug bull cab calender caller cardinal carriage cat charger cheerleader chestnut chow clappers clarion classical
    clipper club coach cochin cold colt combine commuter compact concert convertible cooker cooler coot country crane
    creeper cruiser cub cuckoo cur dart darter derringer destroyer dinky dipper dodo dog dove draft draught drone
    dumper dun easterly egg eggbeater electric entire estate express fan feist fighter fire flatbed flicker folk forty
    freight front fuse gallery galley gat gig goony gospel gradual grand grey griffon guide guinea hack hangar harrier
    harrow helicon hooker hot house hoy hump hunter icebox interceptor iron jade jeep job keen key kid kine kite knot
    laptop launch lay lied ligature limo liver local loon lottery magnum mail mangle martin match maul mauser
    medallion metal mexican milker mills mine minor minute model modulation moke monk monoplane mortar mount mouser
    nag nautilus noddy norther nun opus outboard pacer pad parlor parlour parson partridge peacemaker pelter pickup
    piece pilot pineapple pinto planer plater player plug pointer poler polisher pooch pop porker portable post
    prancer press prevailing prop puff punk queen queenie racer rail ram range rap rapid realisation refrigerator
    relay remount repeater roadster roan robin rock rook ruff saloon sapphire scaler screamer seal secretary serial
    setter shag sharp shell shepherd shorthorn shrapnel shuttle side skyhook sleeper slug smoker smoother snipe snort
    soaker solidus sou soul sow spiritual sport sports spring sprinkle square starter stater stayer stealth strategist
    sunday swift swing tanker tanner tender thermal thorn thrasher ticker tit tom toy tractor trad transporter trimmer
    tube turkey turret upright van virginal wagon warmer warrant washer water wave wester whiff white worker
    """,
    )
)
"""Words whose usual meaning is another one, or that editors do not use for a sound."""
_INSULTS = ("disparagement#1", "ethnic_slur#1", "obscenity#1")
"""Labels of usage whose words are left out."""


class _WordNet:
    """The nouns of WordNet."""

    def __init__(self, folder: Path) -> None:
        self.index: dict[str, list[str]] = {}
        self.tagged: dict[str, int] = {}
        for fields in _lines(folder / "index.noun"):
            count = int(fields[2])
            self.index[fields[0]] = fields[-count:]
            self.tagged[fields[0]] = int(fields[-count - 1])
        self.words: dict[str, list[str]] = {}
        self.hypernyms: dict[str, list[str]] = {}
        self.usages: dict[str, set[str]] = {}
        for fields in _lines(folder / "data.noun"):
            end = 4 + 2 * int(fields[3], 16)
            self.words[fields[0]] = fields[4:end:2]
            count = int(fields[end])
            pointers = [fields[end + 1 + 4 * i : end + 5 + 4 * i] for i in range(count)]
            self.hypernyms[fields[0]] = [target for kind, target, *_ in pointers if kind == "@"]
            self.usages[fields[0]] = {target for kind, target, *_ in pointers if kind == ";u"}
        self._insults = {self.sense(label) for label in _INSULTS}

    def anchors(self, table: dict[str, str]) -> dict[str, str]:
        """Return the name of each sense that a table lists."""
        found: dict[str, str] = {}
        for name, senses in table.items():
            found.update((self.sense(named), name) for named in senses.split())
        return found

    def sense(self, named: str) -> str:
        """Return a sense that is named as lemma#number."""
        lemma, number = named.split("#")
        return self.index[lemma][int(number) - 1]

    def nearest(self, sense: str, anchors: dict[str, str]) -> str:
        """Return the name of the nearest hypernym that has one, or ""."""
        level, seen = [sense], set[str]()
        while level:
            named = [anchors[one] for one in level if one in anchors]
            if named:
                return named[0]
            seen.update(level)
            level = [up for one in level for up in self.hypernyms[one] if up not in seen]
        return ""

    def is_usable_noun(self, lemma: str) -> bool:
        """Return whether WordNet spells a lemma in lower case in its first sense, and labels no sense as an insult."""
        senses = self.index[lemma]
        return lemma in self.words[senses[0]] and not any(self.usages[sense] & self._insults for sense in senses)


def _lines(path: Path) -> list[list[str]]:
    lines = path.read_text("ascii").splitlines()
    return [line.partition("|")[0].split() for line in lines if not line.startswith("  ")]


def _normal(lemma: str) -> str:
    return vocabulary.normalise(lemma.replace("_", " ").replace("-", " "))


def _kinds(net: _WordNet, taken: set[str]) -> dict[str, list[str]]:
    anchors, found = net.anchors(_KINDS), defaultdict(list)
    for lemma in net.index:
        text = _normal(lemma)
        if not re.fullmatch(r"[a-z]{3,}( [a-z]{3,})?", text) or text in taken | _NEVER or not net.is_usable_noun(lemma):
            continue
        sound = net.nearest(net.index[lemma][0], anchors)
        if sound and not _names(text.split()[-1], sound):
            found[sound].append(text)
    return {sound: sorted(set(words)) for sound, words in found.items()}


def _names(word: str, sound: str) -> bool:
    """Return whether the last word of a text is known by itself, so that the text needs no row."""
    hit = vocabulary.phrases().get(word)
    return hit is not None and hit.sound == sound


def _related(net: _WordNet, taken: set[str]) -> dict[str, list[str]]:
    anchors, found = net.anchors(_RELATED), defaultdict(list)
    for lemma in net.index:
        text = _normal(lemma)
        if re.fullmatch("[a-z]{3,}", text) and text not in taken and net.tagged[lemma] and net.is_usable_noun(lemma):
            suggested = net.nearest(net.index[lemma][0], anchors)
            if suggested and not _is_taken(text):
                found[suggested].append(text)
    return {suggested: sorted(set(words)) for suggested, words in found.items()}


def _is_taken(text: str) -> bool:
    """Return whether a text names a sound."""
    try:
        vocabulary.match_sound(text)
    except UsageError:
        return False
    return True


def _words(name: str) -> set[str]:
    """Return the words in the last column of a table."""
    lines = _FOLDER.joinpath(name).read_text("utf-8").splitlines()
    return {word for line in lines for word in line.split("\t")[-1].split(", ")}


def _write(name: str, comment: str, rows: list[tuple[str, ...]]) -> None:
    lines = [_LICENCE, comment, *("\t".join(row) for row in rows)]
    _FOLDER.joinpath(name).write_text("\n".join(lines) + "\n", "utf-8")


def main() -> None:
    """Write both tables."""
    net = _WordNet(Path(sys.argv[1]))
    taken = _words("meanings.tsv") | _words("related.tsv") | set(vocabulary.phrases())
    kinds = _kinds(net, taken)
    rows: list[tuple[str, ...]] = [(sound, "a kind of", ", ".join(words)) for sound, words in kinds.items()]
    _write("wordnet_kinds.tsv", "# Sound <tab> relation <tab> words.", rows)
    taken |= {word for words in kinds.values() for word in words}
    rows = [(suggested, ", ".join(words)) for suggested, words in _related(net, taken).items()]
    _write("wordnet_related.tsv", "# Suggestions <tab> words.", rows)


if __name__ == "__main__":
    main()
