#!/usr/bin/env bash
# Steering by genre on the model and an autoencoder of bench/cold-users.sh, which runs first. Goes on where it stopped; the
# runs lie in runs/, the table in bench/results/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec ./rhumb bench control runs bench/results
