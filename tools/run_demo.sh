#!/usr/bin/env bash
# What `make run` ends with: serves the demo models on 127.0.0.1:3000 and prints the page's address and what to try.
# Environment: MINERVA_LISTEN (default 127.0.0.1:3000), MINERVA_CACHE, and everything `minerva serve` reads.
set -euo pipefail
cd "$(dirname "$0")/.."
models="${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}/models"
export MINERVA_LISTEN=${MINERVA_LISTEN:-127.0.0.1:3000}
url="http://$MINERVA_LISTEN"
page=$url/
case $MINERVA_LISTEN in unix:*) url=$MINERVA_LISTEN page="(not over a Unix socket: set MINERVA_LISTEN to an address)" ;; esac

build/bin/minerva serve --models-dir "$models" --max-models 1 "$@" &
server=$!
trap 'kill -TERM $server 2>/dev/null; wait $server; exit $?' INT TERM
until build/bin/minerva --url "$url" stats >/dev/null 2>&1; do
  kill -0 $server 2>/dev/null || { wait $server; exit $?; }
  sleep 0.1
done
cat <<TEXT

Both demo models are served, one in memory at a time. Look at them in a browser:

  $page

or in another terminal:

  build/bin/minerva run smollm2-135m "What is a cache?"
  build/bin/minerva run gemma3-270m --max-tokens 40 "A cache is"     # parks the first, loads this one
  build/bin/minerva stats

or with any OpenAI client:

  curl $url/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"model":"smollm2-135m","messages":[{"role":"user","content":"Hello!"}]}'

Ctrl-C ends the server.
TEXT
wait $server
