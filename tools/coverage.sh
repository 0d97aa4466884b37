#!/usr/bin/env bash
# Which lines and branches of src/cache, src/context and src/api the unit tests and the simulation reach: a table by
# file, and every branch that only ever went one way. build/coverage/lines.txt has the details of all lines.
# Environment: JOBS. Usage: tools/coverage.sh
set -euo pipefail
cd "$(dirname "$0")/.."
readonly out=build/coverage
readonly programs=(cache_test context_test api_test sim_test)

mkdir -p "$out"
{ cmake --preset coverage && cmake --build "$out" -j "${JOBS:-$(nproc)}" --target "${programs[@]}"; } >"$out/build.log" 2>&1 ||
  { tail -n 30 "$out/build.log" >&2; exit 1; }

rm -f "$out"/*.profraw
objects=()
for program in "${programs[@]}"; do
  LLVM_PROFILE_FILE="$out/$program-%p.profraw" "$out/bin/$program" --gtest_brief=1 >"$out/$program.log" 2>&1 ||
    { tail -n 30 "$out/$program.log" >&2; exit 1; }
  objects+=(${objects:+-object} "$out/bin/$program")
done
llvm-profdata-19 merge -sparse "$out"/*.profraw -o "$out/all.profdata"

sources=()
for file in src/cache/*.cc src/context/*.cc src/api/*.cc; do
  [[ $file == *_test.cc ]] || sources+=("$file")
done
llvm-cov-19 show "${objects[@]}" -instr-profile "$out/all.profdata" -show-branches=count "${sources[@]}" >"$out/lines.txt"
llvm-cov-19 export "${objects[@]}" -instr-profile "$out/all.profdata" "${sources[@]}" >"$out/all.json"
python3 - "$out/all.json" <<'PYTHON'
import json, os, sys

data = json.load(open(sys.argv[1]))["data"][0]
print(f"{'file':<36} {'lines':>14} {'branches':>14}")
total = {"lines": [0, 0], "branches": [0, 0]}
missed = []
for file in sorted(data["files"], key=lambda f: f["filename"]):
    name = os.path.relpath(file["filename"])
    row = f"{name:<36}"
    for kind in ("lines", "branches"):
        s = file["summary"][kind]
        total[kind][0] += s["covered"]
        total[kind][1] += s["count"]
        row += f" {s['covered']:>5}/{s['count']:<4}" + f"{s['percent']:4.0f}%"[:5]
    print(row)
    # Each instantiation of a template and each inlined function repeats its branches: a branch counts if it went both
    # ways in any of them.
    ways = {}
    for line, column, _, _, true_count, false_count, *_ in file["branches"]:
        way = ways.setdefault((line, column), [0, 0])
        way[0] += true_count
        way[1] += false_count
    text = open(file["filename"]).read().splitlines()
    for (line, _), (true_count, false_count) in sorted(ways.items()):
        if true_count == 0 or false_count == 0:
            never = "never reached" if true_count + false_count == 0 else "never true" if true_count == 0 else "never false"
            missed.append(f"{name}:{line}: {never}: {text[line - 1].strip()}")
row = f"{'all':<36}"
for kind in ("lines", "branches"):
    covered, count = total[kind]
    row += f" {covered:>5}/{count:<4}" + f"{100 * covered / count:4.0f}%"[:5]
print(row)
print("\nbranches that only ever went one way:")
print("\n".join(dict.fromkeys(missed)))
PYTHON
