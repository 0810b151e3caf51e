#!/usr/bin/env bash
# Time and memory of `rhumb prepare` on a generated log of 20 million rows. A few minutes, a gigabyte of disk; the log
# lies in runs/, the table in bench/results/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec ./rhumb bench prepare-20m runs bench/results
