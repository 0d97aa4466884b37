#!/usr/bin/env python3
"""Runs clang-tidy on the given files, several at a time. Skips files that it has found clean before.

Its result for a file depends on the preprocessed text (with comments, because of NOLINT), the compiler's flags, and its own
configuration and version. The hash of all these is the name of an empty file in the cache for each clean result.

Usage: tools/tidy.py [--analyzer] BUILD_DIR FILE...     --analyzer: the static analyzer instead of .clang-tidy's list"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import resource
import shlex
import subprocess
import sys
import time

TIDY = "clang-tidy-19"
ROOT = pathlib.Path(__file__).resolve().parents[1]
KEPT_DAYS = 30
ANALYZER = "--checks=-*,clang-analyzer-core.*,clang-analyzer-cplusplus.NewDelete*"


def cache_folder():
    home = os.environ.get("MINERVA_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "minerva")
    folder = pathlib.Path(home) / "tidy"
    folder.mkdir(parents=True, exist_ok=True)
    oldest = time.time() - KEPT_DAYS * 86400
    for entry in folder.iterdir():
        if entry.stat().st_mtime < oldest:
            entry.unlink(missing_ok=True)
    return folder


def preprocessing(command):
    """The compiler's command, changed into one that prints the preprocessed text."""
    words = shlex.split(command)
    if os.path.basename(words[0]) == "ccache":
        words = words[1:]
    at = words.index("-o")
    del words[at:at + 2]
    words.remove("-c")
    return words + ["-E", "-C"]


def key_of(entry, settings):
    words = preprocessing(entry["command"])
    done = subprocess.run(words, cwd=entry["directory"], capture_output=True)
    if done.returncode != 0:
        return None  # clang-tidy says it better
    # With this a clone in another place finds the results.
    text = (" ".join(words).encode() + b"\0" + done.stdout).replace(str(ROOT).encode(), b".")
    return hashlib.sha256(settings + text).hexdigest()


def look_at(file, entry, build, cache, settings, options):
    """Returns (whether it was looked at, whether it is clean, what clang-tidy printed)."""
    key = key_of(entry, settings)
    if key and (cache / key).exists():
        (cache / key).touch()
        return False, True, ""
    done = subprocess.run([TIDY, "-p", build, "--quiet", *options, file], capture_output=True, text=True)
    clean = done.returncode == 0
    if clean and key and not done.stdout.strip():
        (cache / key).touch()
    # stderr only counts the warnings of system headers. It matters if stdout is empty.
    return True, clean, done.stdout if clean or done.stdout.strip() else done.stdout + done.stderr


def main():
    arguments = sys.argv[1:]
    options = [ANALYZER] if arguments[:1] == ["--analyzer"] else []
    build, *files = arguments[len(options):]
    with open(pathlib.Path(build) / "compile_commands.json") as commands:
        entries = {os.path.normpath(os.path.join(e["directory"], e["file"])): e for e in json.load(commands)}
    version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    settings = version + (ROOT / ".clang-tidy").read_bytes() + " ".join(options).encode()
    cache = cache_folder()
    looked_at = 0
    failed = False
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = []
        for file in files:
            entry = entries.get(str(ROOT / file))
            if entry is None:
                sys.exit(f"tidy: {file} is in no CMakeLists.txt")
            jobs.append(pool.submit(look_at, file, entry, build, cache, settings, options))
        for job in concurrent.futures.as_completed(jobs):
            anew, clean, said = job.result()
            looked_at += anew
            failed |= not clean
            if said.strip():
                print(said.strip(), flush=True)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"clang-tidy: {len(files)} files, {looked_at} of them anew "
          f"({usage.ru_utime + usage.ru_stime:.0f} s of processor time)")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
