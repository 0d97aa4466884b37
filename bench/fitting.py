#!/usr/bin/env python3
"""Whether models that do not fit the memory budget are fitted into it: twenty pairs of a model and a budget.

For each pair: whether the model runs, what gave way, what it was told to take, and what the kernel saw it take at most
(VmHWM of its engine: memory of its own and the pages of its file) once every slot had been filled. A model has to run
whenever the smallest shape fits (mapped weights, one slot, 2048 tokens, 1 MiB of prompt cache, one checkpoint), and stay
within the budget.

usage: bench/fitting.py [--only PART_OF_A_NAME ...] [--tokens N]      exits 1 when a pair does not hold
"""
import argparse
import concurrent.futures
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.dont_write_bytecode = True

import harness  # noqa: E402
import tiny_models  # noqa: E402

MIB = 1 << 20
MODELS = {
    "20 MB": ["--embd", "384", "--layers", "6", "--ffn", "1536", "--quant", "q8_0", "--ctx", "8192"],
    "60 MB": ["--embd", "768", "--layers", "8", "--ffn", "3072", "--quant", "q4_0", "--ctx", "8192"],
    "0.3 GB": ["--embd", "1024", "--layers", "24", "--ffn", "4096", "--quant", "q4_0", "--ctx", "8192"],
    "0.6 GB": ["--embd", "1536", "--layers", "24", "--ffn", "6144", "--quant", "q4_0", "--ctx", "8192"],
    "1.2 GB": ["--embd", "2048", "--layers", "22", "--ffn", "8192", "--quant", "q4_0", "--ctx", "8192"],
}
BUDGETS = [1.1, 1.6, 2.5, 4]  # times the file


def least_of(model):
    """MiB that the smallest shape takes, as the engine says."""
    return -(-harness.inspect(model, *harness.LEAST)["memory"]["total_bytes"] // MIB)


def peak(pid):
    """MiB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("the kernel does not say what the engine took")


def fill(m, slots, context, most):
    """Every slot with a conversation that ends near the end of its context."""
    tokens = min(context, most) - 80
    text = "a " * tokens
    with concurrent.futures.ThreadPoolExecutor(slots) as pool:
        answers = list(pool.map(lambda i: m.post("/v1/completions", {"model": "m", "prompt": f"{i} {text}"[:2 * tokens],
                                                                     "max_tokens": 8, "ignore_eos": True},
                                                 timeout=1800), range(slots)))
    for answer in answers:
        if answer.status != 200:
            raise SystemExit(f"a conversation failed: {answer}")


def try_pair(name, model, times, most):
    budget = int(model.stat().st_size * times / MIB)
    least = least_of(model)
    m = harness.Minerva({"m": model}, "--memory-budget", f"{budget}MiB")
    m.start()
    try:
        loaded = m.load("m")
        row = {"model": name, "budget": budget, "least": least, "runs": loaded.status == 200}
        if row["runs"]:
            lower = {each["setting"]: each["to"] for each in loaded.json.get("gave_way", [])}
            row["told"] = loaded.json["estimated_memory_mb"]
            fill(m, lower.get("parallel", 2), lower.get("context", 8192), most)
            row["peak"] = peak(m.engine("m"))
            row["gave way"] = ", ".join(f"{setting} {value}" for setting, value in lower.items()) or "nothing"
        row["holds"] = row["runs"] == (budget >= least) and (not row["runs"] or row["peak"] <= budget)
        return row
    finally:
        m.kill()
        m.clean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--tokens", type=int, default=2048, help="of a slot that are filled at most")
    options = parser.parse_args()
    good = True
    print(f"{'model':8} {'file':>6} {'budget':>7} {'least':>6} {'told':>6} {'peak':>6}  (MiB)  what gave way")
    for name, arguments in MODELS.items():
        if options.only and not any(part in name for part in options.only):
            continue
        model = tiny_models.generate(f"fitting-{name.replace(' ', '-').replace('.', '-')}", arguments)
        for times in BUDGETS:
            row = try_pair(name, model, times, options.tokens)
            good = good and row["holds"]
            told = f"{row['told']:6} {row['peak']:6.0f}" if row["runs"] else f"{'-':>6} {'-':>6}"
            words = row.get("gave way", "refused")
            print(f"{name:8} {model.stat().st_size // MIB:6} {row['budget']:7} {row['least']:6} {told}         {words}"
                  f"{'' if row['holds'] else '   DOES NOT HOLD'}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
