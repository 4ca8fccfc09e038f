#!/usr/bin/env bash
# A gate for CI with nothing but curl: ci-check.sh REQUEST.json [FOLDER]
# Exits 0 if the model's verdict passes and 22 (curl's) if it does not, with the reason on the
# screen. With a FOLDER, the report is left there as report.md, report.html and junit.xml.
# TRIMTAB_URL names the service, and TRIMTAB_KEY is the key that it wants, if it wants one.
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ] || [ ! -r "$1" ]; then
  echo "usage: $0 REQUEST.json [FOLDER]; the first a readable file such as examples/admin-18.json" >&2
  exit 2
fi
if ! command -v curl >/dev/null; then
  echo "$0 needs curl, which is not installed. trimtab gate $1 asks the same without it." >&2
  exit 2
fi
url=${TRIMTAB_URL:-http://127.0.0.1:8000}

# ask ARGUMENTS: curl, with the key by a file of its own, as every process list shows arguments.
ask() {
  curl --silent --show-error --fail-with-body --retry 120 \
    --config <(printf '%s' "${TRIMTAB_KEY:+header = \"Authorization: Bearer $TRIMTAB_KEY\"}") "$@"
}

# The gate answers 503 while the diagnosis is not finished, which --retry repeats. By a file, from
# which curl takes the answers before the last.
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
status=0
ask "$url/v1/gate?wait=60" -H 'content-type: application/json' -d "@$1" -o "$answer" || status=$?
cat "$answer"
echo

if [ $# -eq 2 ]; then
  diagnosis=$(sed -n 's|.*"diagnosis": *"\(/v1/diagnoses/[^"]*\)".*|\1|p' "$answer")
  if [ -n "$diagnosis" ]; then
    mkdir -p "$2"
    for file in report.md report.html junit.xml; do
      ask "$url$diagnosis/$file" -o "$2/$file" || echo "There is no $file of $diagnosis." >&2
    done
  fi
fi
exit "$status"
