#!/usr/bin/env bash
# What `make verify` runs: everything that takes longer than a test should. Each part says how it ended when it ends,
# and one table at the end says it again. A part's whole output is in build/verify/PART.log. Exit code 1 if a part
# failed.
# Environment: JOBS; how much is done: SIM_SEEDS, FUZZ_SECONDS (each target), SOAK_SECONDS, ENGINE_KILLS, DAEMON_KILLS,
# PARKING_CYCLES.
# Usage: tools/verify.sh [PART...]     default: all of them
set -uo pipefail
cd "$(dirname "$0")/.."
readonly all_parts=(analyzer sim fuzz soak kills overload tenants kept parking prediction distros asan tsan)
readonly out=build/verify

jobs=${JOBS:-$(nproc)}
export MINERVA_BIN="$PWD/$out/bin/minerva" MINERVA_BIN_DIR="$PWD/build/bin" MINERVA_FAKES_DIR="$PWD/$out/bin"
export MINERVA_E2E_MODELS="$PWD/build/e2e-models"

# The agent's tests many times over, under ASan.
agent_under_asan() {
  cmake --preset asan && cmake --build build/asan -j "$jobs" --target agent_test &&
    ASAN_OPTIONS=quarantine_size_mb=1 AGENT_CYCLES="${PARKING_CYCLES:-10000}" build/asan/bin/agent_test --gtest_filter='Parking.NothingGrows'
}

run_part() {
  case $1 in
    analyzer) git ls-files 'src/*.cc' 'apps/*.cc' 'tools/*.cc' | xargs python3 tools/tidy.py --analyzer "$out" ;;
    sim) "$out/bin/minerva_sim" --seeds "${SIM_SEEDS:-1000000}" ;;
    fuzz) make fuzz FUZZ_SECONDS="${FUZZ_SECONDS:-600}" JOBS="$jobs" ;;
    soak | kills | overload | tenants | kept) python3 -B "tests/campaigns/$1.py" ;;
    parking) python3 -B tests/campaigns/parking.py && agent_under_asan ;;
    prediction) python3 -B bench/prediction.py ;;
    distros) tools/distros.sh ;;
    asan | tsan) make test PRESET="$1" JOBS="$jobs" ;;
  esac
}

selected=("$@")
[ ${#selected[@]} -gt 0 ] || selected=("${all_parts[@]}")
for part in "${selected[@]}"; do
  [[ " ${all_parts[*]} " == *" $part "* ]] || { echo "verify: no part \"$part\"; there are: ${all_parts[*]}" >&2; exit 2; }
done

mkdir -p "$out"
# Optimized, since figures are reported. A separate build, since `make build` has no tests.
echo "==> building what is verified ($out/build.log)"
{ cmake --preset release -B "$out" -DMINERVA_TESTS=ON && cmake --build "$out" -j "$jobs" \
  --target minerva minerva_sim fake_engine offered_load; } >"$out/build.log" 2>&1 ||
  { tail -n 30 "$out/build.log" >&2; exit 1; }

table=()
failed=0
for part in "${selected[@]}"; do
  echo "==> $part"
  began=$SECONDS
  if run_part "$part" >"$out/$part.log" 2>&1; then result=passed; else result=FAILED failed=1; fi
  row=$(printf '%-10s %-7s %6d s   %s' "$part" "$result" $((SECONDS - began)) "$out/$part.log")
  table+=("$row")
  [ "$result" = passed ] || tail -n 15 "$out/$part.log"
  echo "$row"
done
printf '\n%-10s %-7s %8s   %s\n' part result took output
printf '%s\n' "${table[@]}"
exit $failed
