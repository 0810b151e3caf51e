#!/usr/bin/env bash
# Latency of requests under a load that does not wait for answers: 1, 2 and 4 threads, plain and steered. Takes no data
# (RHUMB_LOAD_MODEL names a model folder; see the other settings in the javadoc of Load). A few minutes on a quiet machine;
# the model lies in runs/, the table in bench/results/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export JDK_JAVA_OPTIONS=${JDK_JAVA_OPTIONS:--XX:+UseSerialGC -Xmx256m}
exec ./rhumb bench load runs bench/results
