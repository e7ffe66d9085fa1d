#!/usr/bin/env bash
# Builds a release into out/release: wheel, sdist, software bill of materials (CycloneDX) and SHA-256 sums.
# The same commit gives the same wheel and sdist. Needs the extra `release` (make release installs it).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${STEMLINE_VENV:-.venv}/bin
out=out/release

if [ -n "$(git status --porcelain)" ]; then
    echo "The checkout has changes that are not committed. Commit them, then build the release." >&2
    exit 1
fi
version=$("$bin/python" -c 'from stemline._version import __version__; print(__version__)')
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
rm -rf "$out"
"$bin/python" -m build --outdir "$out"
"$bin/cyclonedx-py" requirements constraints.txt --pyproject pyproject.toml --output-reproducible \
    --output-format JSON --output-file "$out/stemline-$version.cdx.json"
"$bin/python" scripts/audit.py
(cd "$out" && sha256sum -- * >SHA256SUMS)
cat "$out/SHA256SUMS"
