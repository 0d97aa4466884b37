#!/usr/bin/env python3
"""Checks the rules of wording that a machine can check.

* The subject of each commit since SINCE has at most 72 characters; merges, whose subjects git may write, do not count.
  SINCE is a date and not a commit: a shallow clone has no commit of that day, and checks the commits that it has. A
  tree without a repository has no subjects to check.
* Each header begins with a comment that says what the header is for.
* A source with more than LONGEST_SOURCE lines says why it is long, in a line of its first comment that begins with
  "// Long because ". Unit tests are lists of cases, and need no reason.

Usage: tools/check_wording.py [ROOT]
"""
import pathlib
import subprocess
import sys

SINCE = "2026-11-29T19:00:00+00:00"
LONGEST_SUBJECT = 72
FEWEST_WORDS = 3  # of a header's first comment
LONGEST_SOURCE = 500  # lines

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
root = root if root.is_dir() else root.parent.parent
problems = []


def git(*arguments):
    """The lines that git prints, or None where there is no repository or nothing was committed yet."""
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    return None if done.returncode else done.stdout.splitlines()


def purpose(text):
    """The words of the comment that a header begins with."""
    words = []
    for line in text.splitlines():
        if not line.startswith("//"):
            break
        words += line.lstrip("/").split()
    return words


def has_reason(lines):
    """Whether the comment that a source begins with says why the source is long."""
    for line in lines:
        if not line.startswith("//"):
            return False
        if line.startswith("// Long because "):
            return True
    return False


sources = git("ls-files", "-co", "--exclude-standard", "*.h", "*.cc")
if sources is None:
    sources = [str(path.relative_to(root)) for top in ("src", "include", "apps", "tools", "engine", "tests", "bench")
               for path in sorted((root / top).rglob("*")) if path.suffix in (".h", ".cc")]
sources = [name for name in sources if (root / name).is_file()]  # a deleted file stays listed until it is committed
headers = [name for name in sources if name.endswith(".h")]
for name in headers:
    if len(purpose((root / name).read_text())) < FEWEST_WORDS:
        problems.append(f"{name}: begin it with a comment that says what the header is for")
for name in sources:
    lines = (root / name).read_text().splitlines()
    if len(lines) > LONGEST_SOURCE and not name.endswith("_test.cc") and not has_reason(lines):
        problems.append(f'{name}: {len(lines)} lines: split it, or begin it with "// Long because ..."')

subjects = git("log", "--no-merges", f"--since={SINCE}", "--format=%h %s") or []
for line in subjects:
    commit, _, subject = line.partition(" ")
    if len(subject) > LONGEST_SUBJECT:
        problems.append(f"commit {commit}: its subject has {len(subject)} characters, more than {LONGEST_SUBJECT}")

print("\n".join(problems), file=sys.stderr) if problems else print(f"wording: {len(headers)} headers, {len(subjects)} commits")
sys.exit(1 if problems else 0)
