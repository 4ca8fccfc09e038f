#!/usr/bin/env bash
# `make compose-check`: brings the stack of docker-compose.yml up for real, beside whatever else
# runs, and sees that it keeps what docs/deploy.md promises. Takes some minutes, and leaves nothing
# running.
#
# With COMPOSE in the environment ("docker compose -f ..."), the stack is there already, this folder
# is its project's, and it is left as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."

cannot() {
  echo "compose-check: $1 Nothing was checked." >&2
  exit 2
}

if [ -z "${COMPOSE:-}" ]; then
  command -v docker >/dev/null || cannot "Docker is not installed here."
  docker compose version >/dev/null 2>&1 || cannot "Docker has no compose plugin here."
  docker info >/dev/null 2>&1 || cannot "No Docker daemon answers here (docker info says why)."

  # A copy, in which the first steps of the README are taken as a newcomer takes them.
  copy=$(mktemp -d)
  export COMPOSE="docker compose --project-name trimtab-check"
  leave() {
    status=$?
    [ "$status" = 0 ] || $COMPOSE logs --no-color --tail 30 >&2 || true
    $COMPOSE down --volumes --remove-orphans --timeout 30 >/dev/null 2>&1 || true
    cd /
    rm -rf "$copy"
    exit "$status"
  }
  trap leave EXIT
  git ls-files -z | tar --null --files-from=- -cf - | tar -C "$copy" -xf -
  if [ -e .env ]; then grep -v '^TRIMTAB_SECRETS=' .env >"$copy/.env" || true; fi
  cd "$copy"
  [ -e .env ] || cp .env.example .env
  # Any free port. Checkpoints come often, so that the check need not wait for one.
  printf '\nTRIMTAB_PUBLISH=127.0.0.1:0\nTRIMTAB_CHECKPOINT_SECONDS=2\n' >>.env
  examples/compose-secrets.sh
  $COMPOSE build
  begun=$SECONDS
  $COMPOSE up --detach
  until [ $((SECONDS - begun)) -gt 600 ] || curl -sf "http://$($COMPOSE port api 8000)/readyz"; do
    sleep 0.5
  done
  echo " $((SECONDS - begun)) s after docker compose up"
fi
python3 tests/compose/check.py
