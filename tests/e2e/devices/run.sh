#!/usr/bin/env bash
# Runs the tests of models on devices (GPUs), with the engine's Vulkan variant on a device that is this processor (Mesa's
# lavapipe): the allocations, the copies and the decisions are the real ones, and only the speed is not.
# Usage: tests/e2e/devices/run.sh [pytest's arguments]
# Environment: as of ../run.sh; MINERVA_DEVICE_ENV: as of environment.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
# The first engines compile shaders for the processor, which takes a while on a busy machine.
export MINERVA_E2E_PATIENCE=${MINERVA_E2E_PATIENCE:-600}
exec devices/environment.sh ./run.sh "${@:-devices}"
