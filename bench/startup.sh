#!/usr/bin/env bash
# Start to first answer and resident memory of a model of MovieLens 1M's size, served by the runtime images of
# engine/image.sh and by a JDK. A few minutes on a quiet machine; images lie in runs/, the table in bench/results/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rm -rf runs/startup/vector runs/startup/no-vector
engine/image.sh runs/startup/vector
engine/image.sh --no-vector runs/startup/no-vector
exec ./rhumb bench startup runs bench/results
