"""Download packages with apt, verify their hashes and extract their sounds."""

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
EXTRACTED_SUFFIXES = AUDIO_SUFFIXES | {".sf2", ".sf3"}


class ChangedPackageError(ValueError):
    """A package differs from the one that the weights were trained on."""


def fetch(work: Path, licences: str = "", *, any_version: bool = False) -> Path:
    """Download and extract packages to `work/extracted/NAME`.

    Args:
        work: Folder for downloads and extracted files.
        licences: Pattern; only packages whose licence matches are used.
        any_version: Whether to accept packages with another hash than in packages.toml.

    Returns:
        The folder `work/extracted`.

    Raises:
        ChangedPackageError: A package has another hash.
        FileNotFoundError: apt-get or dpkg-deb is missing, as on systems other than Debian.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise FileNotFoundError(f"{tool} is needed to fetch the training packages: use Debian bookworm")
    downloads = work / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    for name, package in packages().items():
        if not re.search(licences, package["licence"]):
            continue
        deb = _download(downloads, name, package["version"])
        with deb.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != package["sha256"] and not any_version:
            raise ChangedPackageError(f"{deb.name} has another hash than in packages.toml: {found}")
        unpack(deb, work / "extracted" / name)
    return work / "extracted"


def _download(folder: Path, name: str, version: str) -> Path:
    before = sorted(folder.glob(f"{name}_*.deb"))
    if not before:
        wanted = subprocess.run(["apt-get", "download", "-q", f"{name}={version}"], cwd=folder, check=False)
        if wanted.returncode:  # the archive has another version: take that, and let the hash decide
            subprocess.run(["apt-get", "download", "-q", name], cwd=folder, check=True)
    return sorted(folder.glob(f"{name}_*.deb"))[0]


def unpack(deb: Path, folder: Path) -> None:
    """Extract the sound files of a .deb, including those in its ZIP archives, with their paths."""
    if folder.is_dir():
        return
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                suffix = Path(member.name).suffix.lower()
                if member.isfile() and suffix in EXTRACTED_SUFFIXES | ARCHIVES:
                    archive.extract(member, part, filter="data")
        if process.wait():
            raise ChangedPackageError(f"{deb.name} cannot be unpacked")
    for path in [p for p in part.rglob("*") if p.suffix.lower() in ARCHIVES]:
        _unpack_zip(path)
    part.rename(folder)


def _unpack_zip(path: Path) -> None:
    """Extract a ZIP archive to a folder next to it; skip members whose paths leave that folder."""
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
