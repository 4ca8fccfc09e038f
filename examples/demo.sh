#!/usr/bin/env bash
# Starts the service, asks it with curl about two models of the paper, and stops it again.
# Exits 0 if the 18-layer Post-LN model is found unstable, and its Admin twin stable.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
export TRIMTAB_HOME="$PWD/.trimtab/demo"
log="$TRIMTAB_HOME/demo.log"
mkdir -p "$TRIMTAB_HOME"

echo "Starting the service: API, worker, broker and database, all on this machine ..."
.venv/bin/trimtab serve --port 0 >"$log" 2>&1 &
service=$!
stop() {
  kill "$service" 2>/dev/null || true
  wait "$service" 2>/dev/null || true
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

url=""
for _ in $(seq 300); do
  url=$(sed -n 's/.* listens on \(http:[^;]*\);.*/\1/p' "$log")
  [ -n "$url" ] && break
  if ! kill -0 "$service" 2>/dev/null; then break; fi
  sleep 0.1
done
if [ -z "$url" ]; then
  echo "The service did not start. $log says why:" >&2
  tail -n 20 "$log" >&2
  exit 3
fi

# request URL [BODY]: the answer's body; by POST if there is a body to send.
if command -v curl >/dev/null; then
  request() {
    curl --silent --show-error "$1" ${2:+-H 'content-type: application/json' -d "@$2"}
  }
else
  echo "curl is not installed; Python sends the same requests in its place."
  request() {
    "$python" - "$@" <<'PYTHON'
import sys
import urllib.error
import urllib.request

url, *body = sys.argv[1:]
data = open(body[0], "rb").read() if body else None
request = urllib.request.Request(url, data, {"content-type": "application/json"})
try:
    answer = urllib.request.urlopen(request)
except urllib.error.HTTPError as error:
    answer = error
sys.stdout.write(answer.read().decode())
PYTHON
  }
fi

member() { "$python" -c 'import json, sys; print(json.load(open(sys.argv[1])).get(sys.argv[2]))' "$@"; }

# diagnose NAME OUTCOME: asks about examples/NAME.json, shows the answer, holds it against OUTCOME.
diagnose() {
  local answer="$TRIMTAB_HOME/$1.json"
  printf '\n$ curl "%s/v1/diagnoses?wait=300" -H "content-type: application/json" -d @examples/%s.json\n' \
    "$url" "$1"
  request "$url/v1/diagnoses?wait=300" "examples/$1.json" >"$answer"
  while [[ "$(member "$answer" state)" == queued || "$(member "$answer" state)" == running ]]; do
    request "$url/v1/diagnoses/$(member "$answer" id)?wait=300" >"$answer.next"
    mv "$answer.next" "$answer"
  done
  "$python" examples/show.py "$answer" "$2"
}

diagnose post-ln-18 unstable
diagnose admin-18 stable
echo
echo "Stopping the service ..."
