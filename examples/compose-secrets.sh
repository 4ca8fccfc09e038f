#!/usr/bin/env bash
# Makes what docker compose needs to start and a repository must not hold: the passwords of database
# and broker and the first key of the API, each in a file of the folder secrets/, and names that
# folder in .env. What is there already stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -e .env ]; then
  echo "There is no .env yet; make it with: cp .env.example .env" >&2
  exit 2
fi

# random BYTES: as many random bytes as hexadecimal digits.
random() { od -An -vtx1 -N"$1" /dev/urandom | tr -d ' \n'; }

# Nobody else may look into the folder. The files in it are readable, as the processes in the
# containers, which see them without the folder, are other users.
mkdir -p secrets
chmod 700 secrets
make_secret() {
  if [ -s "secrets/$1" ]; then
    echo "secrets/$1 is there already."
    return
  fi
  printf '%s\n' "$2" >"secrets/$1"
  chmod 444 "secrets/$1"
  echo "secrets/$1 made."
}
make_secret trimtab_database_password "$(random 32)"
make_secret trimtab_broker_password "$(random 32)"
make_secret trimtab_first_key "tt_$(random 6)_$(random 32)"

if ! grep -q '^TRIMTAB_SECRETS=' .env; then
  printf '\nTRIMTAB_SECRETS=./secrets\n' >>.env
fi
echo 'Now: docker compose up -d'
