"""Gets the packages by name with apt, checks that they are those of the table, takes the sounds out of them."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import IO

from .corpus import AUDIO_SUFFIXES, packages

ARCHIVES = {".zip", ".pk3"}
KEPT = AUDIO_SUFFIXES | {".sf2", ".sf3"}


class ChangedPackageError(ValueError):
    """A package is not the one the weights were trained on."""


def fetch(work: Path, licences: str = "", *, any_version: bool = False) -> Path:
    """Downloads and unpacks every package (whose licence matches) into `work/extracted/NAME`; returns that folder.

    Raises ChangedPackageError when a .deb has another hash than packages.toml, unless `any_version`; FileNotFoundError
    without apt-get and dpkg-deb (Debian or a system like it).
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise FileNotFoundError(f"{tool} is needed to fetch the training packages: use Debian bookworm")
    downloads = work / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    for name, package in packages().items():
        if not re.search(licences, package["licence"]):
            continue
        deb = _downloaded(downloads, name, package["version"])
        with deb.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != package["sha256"] and not any_version:
            raise ChangedPackageError(f"{deb.name} has another hash than packages.toml names: {found}")
        unpack(deb, work / "extracted" / name)
    return work / "extracted"


def _downloaded(folder: Path, name: str, version: str) -> Path:
    before = sorted(folder.glob(f"{name}_*.deb"))
    if not before:
        wanted = subprocess.run(["apt-get", "download", "-q", f"{name}={version}"], cwd=folder, check=False)
        if wanted.returncode:  # that version is gone from the archive: the one there is, and let the hash tell
            subprocess.run(["apt-get", "download", "-q", name], cwd=folder, check=True)
    return sorted(folder.glob(f"{name}_*.deb"))[0]


def unpack(deb: Path, folder: Path) -> None:
    """The sound files of a .deb, those in its zip archives too, under the paths they have there."""
    if folder.is_dir():
        return
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                suffix = Path(member.name).suffix.lower()
                if member.isfile() and suffix in KEPT | ARCHIVES:
                    archive.extract(member, part, filter="data")
        if process.wait():
            raise ChangedPackageError(f"{deb.name} cannot be unpacked")
    for path in [p for p in part.rglob("*") if p.suffix.lower() in ARCHIVES]:
        _unpack_zip(path)
    part.rename(folder)


def _unpack_zip(path: Path) -> None:
    """Into a folder beside it; members that point out of it are refused by name."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if Path(member.filename).suffix.lower() in AUDIO_SUFFIXES and ".." not in Path(member.filename).parts:
                with archive.open(member) as source:
                    _write(source, path.with_name(path.name + ".d") / member.filename.lstrip("/"))
    path.unlink()


def _write(source: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(source, file)
