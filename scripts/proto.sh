#!/usr/bin/env bash
# Generates the gRPC stubs beside their .proto files. With --check, fails if the stubs in the tree differ.
# The generator is old on purpose: its output loads under protobuf 4.25 to 7 (docs/adr/0005-stubs-for-many-protobufs.md).
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${STEMLINE_PROTO_VENV:-.venv-proto}
if ! "$tools/bin/python" -c 'import grpc_tools, mypy_protobuf' 2>/dev/null; then
    "${PYTHON:-$(command -v python3.11 || echo python3)}" -m venv "$tools"
    "$tools/bin/pip" install -q --disable-pip-version-check "grpcio-tools==1.62.3" "mypy-protobuf==3.6.0" "setuptools<81"
fi
out=core
if [ "${1:-}" = --check ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
PATH="$tools/bin:$PATH" "$tools/bin/python" -m grpc_tools.protoc -I core \
    --python_out="$out" --grpc_python_out="$out" --mypy_out="quiet:$out" --mypy_grpc_out="quiet:$out" core/stemline/v1/*.proto
if [ "${1:-}" = --check ]; then
    for file in "$out"/stemline/v1/*; do
        diff -u "core/stemline/v1/$(basename "$file")" "$file" || { echo "stale stub: run scripts/proto.sh"; exit 1; }
    done
fi
