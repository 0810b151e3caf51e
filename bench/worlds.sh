#!/usr/bin/env bash
# What autoencoders find of the interests planted in a generated world. Takes no data; goes on where it stopped; the model
# lies in runs/, the table in bench/results/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec ./rhumb bench worlds runs bench/results
