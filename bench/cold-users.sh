#!/usr/bin/env bash
# What autoencoders find in the hidden state of a model for new users of MovieLens 1M (RHUMB_DATA names the folder that
# holds ml-1m/). Runs for an hour, goes on where it stopped; the runs lie in runs/, the table in bench/results/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec ./rhumb bench cold-users runs bench/results
