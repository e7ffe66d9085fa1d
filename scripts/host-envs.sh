#!/usr/bin/env bash
# Fetches the real Blenders that the tests drive, each into a separate environment: `scripts/host-envs.sh 4.5 5.0`.
# 3.4 is Debian's program, installed as root only. The others go to ${STEMLINE_HOST_ENVS:-~/.cache/stemline-hosts}, about
# 900 MB each. Existing ones are kept.
set -euo pipefail
folder=${STEMLINE_HOST_ENVS:-$HOME/.cache/stemline-hosts}
declare -A exact=([4.5]=4.5.15 [5.0]=5.0.1)
libraries=(libx11-6 libxrender1 libxxf86vm1 libxfixes3 libxi6 libxkbcommon0 libsm6 libice6 libgl1 libegl1)

python=$(command -v python3.11) || { echo "Blender 4.5 and 5.0 as modules need python3.11." >&2; exit 1; }
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg -s "${libraries[@]}" >/dev/null 2>&1; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${libraries[@]}" >/dev/null
fi
for version in "${@:-4.5}"; do
    if [ "$version" = 3.4 ]; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg -s blender xvfb xdotool imagemagick >/dev/null 2>&1; then
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends blender xvfb xdotool imagemagick >/dev/null
        fi
        continue
    fi
    place=$folder/bpy-$version
    if "$place/bin/python" -c 'import bpy' >/dev/null 2>&1; then continue; fi
    echo "Fetching Blender ${exact[$version]} into $place"
    mkdir -p "$folder"
    "$python" -m venv "$place"
    "$place/bin/python" -m pip install -q --disable-pip-version-check --no-cache-dir "bpy==${exact[$version]}" 'numpy<2'
    "$place/bin/python" -c 'import bpy'
done
