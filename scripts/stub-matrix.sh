#!/usr/bin/env bash
# Loads the checked-in stubs and sends every kind of field through them under each protobuf that host programs may have,
# each in a separate virtual environment under $STEMLINE_STUB_VENVS, which is reused.
set -euo pipefail
cd "$(dirname "$0")/.."
base=${STEMLINE_STUB_VENVS:-.venv-stubs}
for version in ${*:-4.25 5.29 6.33 7}; do
    venv=$base/$version
    if ! "$venv/bin/python" -c 'import google.protobuf, grpc' 2>/dev/null; then
        "${PYTHON:-$(command -v python3.11 || echo python3)}" -m venv "$venv"
        "$venv/bin/pip" install -q --disable-pip-version-check --no-deps "protobuf==$version.*" grpcio typing_extensions
    fi
    PYTHONPATH=core "$venv/bin/python" scripts/stub_check.py
done
