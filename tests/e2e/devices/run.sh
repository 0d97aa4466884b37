#!/usr/bin/env bash
# Runs the tests of models on devices (GPUs), with the engine's Vulkan variant on a device that is this processor (Mesa's
# lavapipe): the allocations, the copies and the decisions are the real ones, and only the speed is not.
# Usage: tests/e2e/devices/run.sh [pytest's arguments]
# Environment: as of ../run.sh; MINERVA_DEVICE_ENV ("GGML_VK_VISIBLE_DEVICES=0"): variables that choose another device.
set -euo pipefail
cd "$(dirname "$0")/.."
manifest=$(compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' | head -n 1 || true)
if [ -z "${MINERVA_DEVICE_ENV:-}" ] && [ -z "$manifest" ]; then
  echo "device tests: Mesa's software device is missing; \`make test-devices\` installs mesa-vulkan-drivers." >&2
  exit 1
fi
export MINERVA_DEVICE_ENV=${MINERVA_DEVICE_ENV:-"VK_DRIVER_FILES=$manifest VK_ICD_FILENAMES=$manifest GGML_VK_VISIBLE_DEVICES=0"}
# Each engine compiles its shaders for the processor, which takes a while on a busy machine.
export MINERVA_E2E_PATIENCE=${MINERVA_E2E_PATIENCE:-600}
exec ./run.sh devices "$@"
