#!/usr/bin/env bash
# A gate for CI with nothing but curl: ci-check.sh REQUEST.json
# Exits 0 if the model's verdict passes and 22 (curl's) if it does not, with the reason on the
# screen. TRIMTAB_URL names the service.
set -euo pipefail

if [ $# -ne 1 ] || [ ! -r "$1" ]; then
  echo "usage: $0 REQUEST.json, a readable file such as examples/admin-18.json" >&2
  exit 2
fi
if ! command -v curl >/dev/null; then
  echo "$0 needs curl, which is not installed. trimtab gate $1 asks the same without it." >&2
  exit 2
fi

# The gate answers 503 while the diagnosis is not finished, which --retry repeats.
status=0
curl --silent --show-error --fail-with-body --retry 120 \
  "${TRIMTAB_URL:-http://127.0.0.1:8000}/v1/gate?wait=60" \
  -H 'content-type: application/json' -d "@$1" || status=$?
echo
exit "$status"
