#!/usr/bin/env bash
# Rankers on MovieLens 1M, leave-one-out (RHUMB_DATA names the folder that holds ml-1m/). Runs for hours, goes on where it
# stopped; the runs lie in runs/, the table in bench/results/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec ./rhumb bench leave-one-out runs bench/results
