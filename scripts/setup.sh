#!/usr/bin/env bash
# Creates .venv with everything that demo and tests need, unless it is newer than pyproject.toml and constraints.txt.
# Installs missing system packages on Debian or Ubuntu as root; otherwise names them.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${STEMLINE_VENV:-.venv}
stamp=$venv/.stemline-ready

need() { # need COMMAND-THAT-MUST-WORK DEBIAN-PACKAGES...
    local test=$1
    shift
    if eval "$test" >/dev/null 2>&1; then return; fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing system packages: $*"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    fi
    if ! eval "$test" >/dev/null 2>&1; then
        echo "Missing: $*. Install it (Debian, Ubuntu: sudo apt-get install $*) and run the same command again." >&2
        exit 1
    fi
}

want() { # like need, for packages that only one part needs: continues without them
    local part=$1
    shift
    (need "$@") || echo "Only $part needs that." >&2
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

if [ -f "$stamp" ] && [ "$stamp" -nt pyproject.toml ] && [ "$stamp" -nt constraints.txt ]; then exit 0; fi

need find_python python3 python3-venv
python=$(find_python)
need "'$python' -c 'import ensurepip, venv'" python3-venv

echo "Setting up $venv (about 1.5 GB with the CPU build of PyTorch; several GB where pip takes a CUDA build)."
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
"$venv/bin/python" -c 'import stemline, stemline_server, torch, av, grpc, opentimelineio'
panel='import PyQt5.QtWidgets, sounddevice; PyQt5.QtWidgets.QApplication([])'
want "the panel" "QT_QPA_PLATFORM=offscreen '$venv/bin/python' -c '$panel'" \
    libportaudio2 libgl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libx11-6 libxext6 fonts-dejavu-core
touch "$stamp"
