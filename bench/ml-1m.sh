#!/usr/bin/env bash
# SASRec with full cross-entropy on MovieLens 1M (RHUMB_DATA names the folder that holds ml-1m/). Goes on where it
# stopped; the runs lie in runs/, the table in bench/results/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec ./rhumb bench ml-1m runs bench/results
