#!/usr/bin/env bash
# Runs a command with MINERVA_DEVICE_ENV: the variables by which an engine sees the device of the tests. Unless it is set
# already ("GGML_VK_VISIBLE_DEVICES=0"), this is Mesa's lavapipe, which is this processor.
# Usage: tests/e2e/devices/environment.sh COMMAND [ARGUMENT...]
set -euo pipefail
if [ -z "${MINERVA_DEVICE_ENV:-}" ]; then
  manifest=$(compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' | head -n 1 || true)
  if [ -z "$manifest" ]; then
    echo "device tests: Mesa's software device is missing; \`tools/setup.sh devices\` installs mesa-vulkan-drivers." >&2
    exit 1
  fi
  # Otherwise each engine compiles its shaders for the processor: half a minute of a core.
  shaders=${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}/shaders
  mkdir -p "$shaders"
  export MINERVA_DEVICE_ENV="VK_DRIVER_FILES=$manifest VK_ICD_FILENAMES=$manifest GGML_VK_VISIBLE_DEVICES=0 MESA_SHADER_CACHE_DIR=$shaders"
fi
exec "$@"
