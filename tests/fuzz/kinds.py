"""What is done to which file, and what may come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from tests.fuzz import attacks, damage, forgery
from tests.fuzz.damage import Chance
from tests.fuzz.sound_files import Sound

Rule = Literal["damage", "forgery", "burden", "attack"]
ARCHIVES = ("weights", "training state", "packed", "without sums")


@dataclass(frozen=True)
class Kind:
    """One way to make a bad file.

    Attributes:
        group: row of the table.
        rule: damage must be refused or make no difference where the file carries check sums; a forgery (check sums
            made anew) may be read with other values; a burden may be read within the bounds of time and memory; an
            attack must be refused.
        sounds: files it starts from.
        make: returns the bytes.
    """

    group: str
    rule: Rule
    sounds: tuple[str, ...]
    make: Callable[[Sound, Chance, Path], bytes]


def _damage(group: str, change: Callable[[bytes, Chance], bytes], sounds: tuple[str, ...]) -> Kind:
    return Kind(group, "damage", sounds, lambda sound, chance, canary: change(sound.raw, chance))


def _forgery(group: str, change: Callable[[Sound, Chance], bytes], sounds: tuple[str, ...]) -> Kind:
    return Kind(group, "forgery", sounds, lambda sound, chance, canary: change(sound, chance))


def _hostile(group: str, make: Callable[[Chance, Path], bytes], rule: Rule = "attack") -> Kind:
    return Kind(group, rule, ("weights",), lambda sound, chance, canary: make(chance, canary))


_SUMMED, _SAFE = ARCHIVES[:3], ("safetensors",)
_plain = partial(_damage, sounds=(*ARCHIVES, *ARCHIVES, "legacy", "safetensors"))
_zip = partial(_damage, sounds=ARCHIVES)
_made = partial(_forgery, sounds=_SUMMED)
KINDS = (
    _plain("the end is missing", damage.cut),
    _plain("1 to 8 bits flipped", damage.flip_bits),
    _plain("1 to 16 bytes overwritten", damage.overwrite_bytes),
    _plain("pages overwritten", damage.overwrite_page),
    _plain("parts inserted, lost or moved", damage.move_parts),
    _plain("something appended", damage.append),
    _zip("header of a member edited", damage.edit_local_header),
    _zip("table of contents edited", damage.edit_directory),
    _zip("end records edited", damage.edit_end),
    _made("pickle: bytes overwritten", forgery.overwrite_list),
    _made("pickle: instructions edited", forgery.edit_instructions),
    _made("pickle: sizes and numbers edited", forgery.edit_numbers),
    _made("pickle: names edited", forgery.edit_names),
    _made("records swapped, cut, renamed", forgery.edit_records),
    _forgery("safetensors: header edited", forgery.edit_safetensors_header, _SAFE),
    _forgery("safetensors: text of the header", forgery.edit_safetensors_text, _SAFE),
    _forgery("safetensors: length of the header", forgery.edit_safetensors_length, _SAFE),
    _hostile("attack: code", attacks.code),
    _hostile("attack: code", attacks.code),
    _hostile("attack: absurd tensors", attacks.rebuilt),
    _hostile("attack: endless", attacks.endless),
    _hostile("attack: swollen", attacks.swollen, "burden"),
    _hostile("attack: two faces", attacks.two_faced),
    _hostile("attack: absurd safetensors", attacks.absurd_safetensors),
)
