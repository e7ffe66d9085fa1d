#!/usr/bin/env bash
# Checks the layer rules of .importlinter. Prints the broken contracts alone; -v prints all.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${STEMLINE_VENV:-.venv}/bin/python
report=$(PYTHONPATH=scripts "$python" -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' --no-cache 2>&1) || {
    echo "$report" | sed '1,/^Contracts$/d'
    exit 1
}
if [ "${1:-}" = -v ]; then echo "$report"; else echo "$report" | grep "^Contracts: "; fi
