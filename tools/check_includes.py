#!/usr/bin/env python3
"""Checks who may include whom, from the #include lines, and that the table in ARCHITECTURE.md says the same."""
import pathlib
import re
import sys

MAY_INCLUDE = {
    "base": set(),
    "schedule": {"base"},
    "cache": {"base"},
    "context": {"cache", "base"},
    "io": {"base"},
    "conversations": {"io", "base", "protocol"},
    "engine": {"io", "context", "schedule", "base", "protocol"},
    "catalog": {"engine", "context", "io", "schedule", "base"},
    "api": {"context", "cache", "base"},
    "ollama": {"api", "context", "base"},
    "router_api": {"api", "context", "base"},
    "llama_swap": {"api", "context", "base"},
    "config": {"api", "catalog", "engine", "context", "cache", "io", "schedule", "base"},
    "host": {"conversations", "catalog", "engine", "context", "cache", "io", "schedule", "base"},
    "pull": {"catalog", "engine", "context", "api", "io", "schedule", "base"},
    "server": {"conversations", "pull", "ollama", "router_api", "llama_swap", "host", "config", "catalog", "engine", "context", "cache", "api", "io", "schedule", "base"},
    "cli": {"cachesim", "config", "catalog", "engine", "api", "cache", "io", "base", "protocol"},
    "apps": {"server", "cli", "config", "base"},
    "cachesim": {"context", "cache", "base"},
}
# Asio and Beast stay in src/io/*.cc (and its private asio.h).
ASIO = re.compile(r'#include <boost/(asio|beast)')
INCLUDE = re.compile(r'#include "(?:minerva/)?([a-z_]+)/[^"]+"')

root = pathlib.Path(__file__).resolve().parent.parent
problems = []
files = [p for top in ("src", "include/minerva", "apps", "tools") for p in sorted((root / top).rglob("*")) if p.suffix in (".h", ".cc")]
for path in files:
    parts = path.relative_to(root).parts
    folder = "apps" if parts[0] == "apps" else parts[2] if parts[0] == "include" else parts[1]
    allowed = MAY_INCLUDE.get(folder)
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path.relative_to(root)}:{number}"
        if allowed is None:
            problems.append(f"{where}: the folder {folder} is not in the table")
            break
        if ASIO.match(line) and folder != "io":
            problems.append(f"{where}: Asio and Beast are included from src/io only")
        match = INCLUDE.match(line)
        if match and match[1] == "golden" and path.stem.endswith("_test"):
            continue  # tests/golden/golden.h
        if match and match[1] != folder and match[1] not in allowed:
            problems.append(f"{where}: {folder} may not include {match[1]}")
# The rows of ARCHITECTURE.md: | `folder` | what it hides | may include |
documented = re.findall(r"^\| `([\w/]+)` \|.*\| ([\w/, ]+) \|$", (root / "ARCHITECTURE.md").read_text(), re.M)
above = set()
for folder, allowed in documented:
    folder = folder.rpartition("/")[2]
    names = {name.strip().rpartition("/")[2] for name in allowed.split(",")} - {"nothing"}
    if MAY_INCLUDE.get(folder) != (above if names == {"all of the above"} else names):
        problems.append(f"ARCHITECTURE.md: the row of {folder} is not what tools/check_includes.py allows")
    above = above | {folder}
if {folder.rpartition("/")[2] for folder, _ in documented} != set(MAY_INCLUDE):
    problems.append("ARCHITECTURE.md: its folders are not those of tools/check_includes.py")
print("\n".join(problems), file=sys.stderr) if problems else print(f"include directions: {len(files)} files")
sys.exit(1 if problems else 0)
