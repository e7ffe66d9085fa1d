#!/usr/bin/env bash
# Builds the documentation site into out/site. Any warning, such as a broken link, is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${STEMLINE_VENV:-.venv}/bin
"$bin/python" scripts/command_page.py
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! "$bin/zensical" build --clean --strict --config-file mkdocs.yml >"$log" 2>&1; then
    sed '/^Traceback/,$d' "$log"
    echo "The documentation has the issues above."
    exit 1
fi
