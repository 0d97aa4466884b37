#!/usr/bin/env bash
# Builds minerva-engine, and what only tests and benchmarks need: its attention_check, what writes models (make_gguf,
# test-llama-archs) and the stock llama-server. Links them into build/bin/.
#
# The result is cached outside the source tree, so that a fresh clone on the same machine needs seconds:
#   $MINERVA_CACHE (default ~/.cache/minerva)
#     llama.cpp-<version>/   the pinned source, unpacked from npm's bundle, hashes checked
#     engine/build-<key>/    the build tree; key: llama.cpp version, flags, compiler, processor features
#     engine/bin-<key>/      the binaries;   key: the same, and engine/'s own sources
#     engine/only-<key>/     minerva-engine alone
#
# Nothing that is not of this script's making is removed: folders of its own have a name with its keys in it and a file
# .complete, and the others are temporary ones with a random name.
#
# A variant computes on devices with memory of their own, and on the processor as well. It is minerva-engine from the same
# sources, with one more backend of ggml, under a name of its own: minerva-engine-vulkan, minerva-engine-cuda. Whoever has
# no such device builds no variant.
#
# Environment: MINERVA_CACHE, MINERVA_LLAMA_SOURCE (a llama.cpp checkout of one's own), MINERVA_ENGINE_NATIVE (ON|OFF),
# MINERVA_ENGINE_LEVEL (v2|v3|v4: for each processor of this level of x86-64, and not just for this one), CUDAARCHS (which
# GPUs the CUDA variant is for, as CMake writes it; default: this machine's).
# Usage: tools/build_engine.sh [--engine-only] [DIR]     where the links go (default: build/bin)
#        tools/build_engine.sh --variant vulkan|cuda [DIR]   that variant of minerva-engine, and of llama-server
#        tools/build_engine.sh --source   fetches the source if it has to, prints its folder, and builds nothing
set -euo pipefail
cd "$(dirname "$0")/.."

readonly npm_package="node-llama-cpp@3.22.1"
readonly npm_sha512="6e5b488a9b9699cd76dc7eed30880318a4ac4ab866865418795502e3c5d38d55bb5c624988927209d95333343f2e25a83e4183a5c2f816f883a60c3ba9f4e20f"
readonly bundle_sha256="5f5d1105d5df040738d87b8290e5d17e7362131cdcfdb0831618e0ea528b4a51"
readonly llama_version="v0.5.0-de3ff81"

engine_only=
variant=
if [ "${1:-}" = --engine-only ]; then engine_only=yes && shift; fi
if [ "${1:-}" = --variant ]; then variant=${2:-} engine_only=yes && shift 2; fi
source_only=$([ "${1:-}" = --source ] && echo yes || true)
bin_dir=$([ -n "$source_only" ] && echo build/bin || echo "${1:-build/bin}")
cache=${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}
native=${MINERVA_ENGINE_NATIVE:-ON}
level=${MINERVA_ENGINE_LEVEL:-}
[ -z "$level" ] || native=OFF
mkdir -p "$cache/engine" "$bin_dir"

say() { printf '==> %s\n' "$*" >&"$([ -n "$source_only" ] && echo 2 || echo 1)"; }
die() { printf 'build_engine: %s\n' "$*" >&2; exit 1; }

# temporary NAME: a fresh folder in the cache, gone in the end.
work=()
trap 'rm -rf "${work[@]}"' EXIT
temporary() { work+=("$(mktemp -d "$cache/$1.XXXXXX")"); }

# free_name FOLDER: it is there only if this script has made it, and then goes.
free_name() {
  [ -e "$1" ] || return 0
  [ -f "$1/.complete" ] || die "$1 is not of this script's making: move it away, or set MINERVA_CACHE to another folder."
  temporary old
  mv "$1" "${work[-1]}/"
}

CC=${CC_ENGINE:-gcc} CXX=${CXX_ENGINE:-g++}
missing=()
tools=(git flock)
[ -n "$source_only" ] || tools+=(cmake ninja "$CC" "$CXX")
for tool in "${tools[@]}"; do command -v "$tool" >/dev/null || missing+=("$tool"); done
[ -n "${MINERVA_LLAMA_SOURCE:-}" ] || [ -f "$cache/llama.cpp-$llama_version/.complete" ] || command -v npm >/dev/null ||
  missing+=(npm)
[ ${#missing[@]} -eq 0 ] ||
  die "missing: ${missing[*]}. On Debian: apt-get install git cmake ninja-build util-linux gcc g++ npm; then run this again."

if [ -n "$source_only" ] && [ -f "$cache/llama.cpp-$llama_version/.complete" ]; then
  echo "$cache/llama.cpp-$llama_version"
  exit 0
fi
# One build at a time per cache: two checkouts may share it.
exec 9>"$cache/engine/.lock"
flock -n 9 || { say "another build of the engine is running; waiting for it"; flock 9; }

llama=${MINERVA_LLAMA_SOURCE:-}
if [ -z "$llama" ]; then
  llama="$cache/llama.cpp-$llama_version"
  if [ ! -f "$llama/.complete" ]; then
    say "fetching llama.cpp $llama_version (npm package $npm_package, 36 MB)"
    free_name "$llama"
    temporary fetch
    fetch=${work[-1]}
    (cd "$fetch" && npm pack --silent "$npm_package" >/dev/null) ||
      die "npm could not fetch $npm_package. Check the network or the npm registry setting, or point MINERVA_LLAMA_SOURCE at a llama.cpp checkout."
    tarball=$(echo "$fetch"/*.tgz)
    echo "$npm_sha512  $tarball" | sha512sum --check --quiet ||
      die "$npm_package does not have the expected hash: refusing to build it."
    tar -xzf "$tarball" -C "$fetch" package/llama/gitRelease.bundle
    bundle="$fetch/package/llama/gitRelease.bundle"
    echo "$bundle_sha256  $bundle" | sha256sum --check --quiet ||
      die "the bundle in $npm_package does not have the expected hash: refusing to build it."
    git -c advice.detachedHead=false clone --quiet "$bundle" "$fetch/source"
    touch "$fetch/source/.complete"
    mv "$fetch/source" "$llama"
  fi
fi

if [ -n "$source_only" ]; then
  echo "$llama"
  exit 0
fi

cpu=$(if [ "$native" = ON ]; then grep -m1 -E '^(flags|Features)' /proc/cpuinfo; else echo portable; fi)
flags="-G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=$native -DCMAKE_C_COMPILER=$CC -DCMAKE_CXX_COMPILER=$CXX"
# ggml's own switches, all of them: some are on where nothing is said.
on() { local name; for name; do flags="$flags -DGGML_$name=ON"; done; }
off() { local name; for name; do flags="$flags -DGGML_$name=OFF"; done; }
case $level in
  "") ;;
  v2) on SSE42; off AVX AVX2 BMI2 FMA F16C AVX512 ;;
  v3) on SSE42 AVX AVX2 BMI2 FMA F16C; off AVX512 ;;
  v4) on SSE42 AVX AVX2 BMI2 FMA F16C AVX512 ;;
  *) die "MINERVA_ENGINE_LEVEL is \"$level\"; there are v2, v3 and v4." ;;
esac
case $variant in
  "") ;;
  vulkan)
    vulkan=$(tools/vulkan_tools.sh) || exit 1
    on VULKAN
    minutes=15
    flags="$flags $(tr '\n' ' ' <<<"$vulkan")"
    ;;
  cuda)
    command -v nvcc >/dev/null ||
      die "nvcc is missing: it comes with NVIDIA's CUDA toolkit (12 or later). A GPU of NVIDIA also works by Vulkan: make engine-vulkan"
    on CUDA
    minutes=60
    # llama.cpp would ask the machine's GPU what to compile for. Where there is none, each GPU since Turing (2018) can run
    # what is compiled, and its driver translates that when it runs first.
    if [ -z "${CUDAARCHS:-}" ] && ! nvidia-smi --list-gpus >/dev/null 2>&1; then
      CUDAARCHS=75-virtual
      say "no GPU of NVIDIA is here: building for each one since 2018 (CUDAARCHS=86-real: for one kind, which starts sooner)"
    fi
    [ -z "${CUDAARCHS:-}" ] || flags="$flags -DCMAKE_CUDA_ARCHITECTURES=${CUDAARCHS// /;}"
    ;;
  *) die "there is no variant \"$variant\"; there are vulkan and cuda." ;;
esac
if command -v ccache >/dev/null; then
  flags="$flags -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache"
  export CCACHE_BASEDIR="$cache" CCACHE_NOHASHDIR=1
fi
base_key=$(printf '%s\n' "$llama" "$llama_version" "$flags" "$($CXX --version)" "$(cmake --version)" "$cpu" | sha256sum | cut -c1-16)
sources_key=$(find engine -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
build="$cache/engine/build-$base_key"
out="$cache/engine/bin-$base_key-$sources_key"
programs=(minerva-engine)
[ -z "$variant" ] || programs+=(llama-server)
vocabularies=()
if [ -n "$engine_only" ]; then
  [ -f "$out/.complete" ] || out="$cache/engine/only-$base_key-$sources_key"
else
  programs+=(make_gguf test-llama-archs attention_check llama-server)
  # make_gguf takes its vocabulary from llama.cpp's tree.
  vocabularies=(ggml-vocab-{llama-spm,bert-bge}.gguf)
fi

# A checkout of one's own may change under the same key: let ninja look.
if [ ! -f "$out/.complete" ] || [ -n "${MINERVA_LLAMA_SOURCE:-}" ]; then
  [ -d "$build" ] || say "building the engine${variant:+ for $variant} with $(nproc) jobs (nearly all of it is llama.cpp: about ${minutes:-5} minutes on two cores, once per machine)"
  mkdir -p "$build"
  # The build tree reads a copy, kept by content, so that checkouts in different places share it and only changes compile.
  mkdir -p "$build.src"
  while IFS= read -r -d '' file; do
    cmp -s "engine/$file" "$build.src/$file" || install -D -m 644 "engine/$file" "$build.src/$file"
  done < <(find engine -type f -printf '%P\0')
  while IFS= read -r -d '' file; do
    [ -f "engine/$file" ] || rm -f "$build.src/$file"
  done < <(find "$build.src" -type f -printf '%P\0')
  # shellcheck disable=SC2086  # the flags are words
  cmake -S "$build.src" -B "$build" $flags -DMINERVA_LLAMA_SOURCE="$llama" >"$build/configure.log" 2>&1 ||
    { tail -n 30 "$build/configure.log" >&2; die "configuring failed; the whole log: $build/configure.log"; }
  if [ -t 1 ]; then status='[%f/%t %es] '; else status='[%f/%t] '; fi
  NINJA_STATUS=$status ninja -C "$build" "${programs[@]}" ||
    die "the build failed (see above)"
  temporary engine/new
  new=${work[-1]}
  cp "${programs[@]/#/$build/bin/}" ${vocabularies[@]+"${vocabularies[@]/#/$llama/models/}"} "$new/"
  touch "$new/.complete"
  chmod 755 "$new"
  free_name "$out"
  mv "$new" "$out"
fi
if [ -n "$variant" ]; then
  for file in "${programs[@]}"; do ln -sfn "$out/$file" "$bin_dir/$file-$variant"; done
  programs=()
fi
for file in ${programs[@]+"${programs[@]}"} ${vocabularies[@]+"${vocabularies[@]}"}; do
  ln -sfn "$out/$file" "$bin_dir/$file"
done
# What no checkout has used for a month goes.
touch "$out"
find "$cache/engine" -maxdepth 1 -type d -regextype egrep -regex '.*/(bin|only)-[0-9a-f]{16}-[0-9a-f]{16}' -mtime +30 \
  -exec test -f '{}/.complete' ';' -exec rm -rf {} +
say "engine: $bin_dir/minerva-engine${variant:+-$variant} (from $out)"
