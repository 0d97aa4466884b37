#!/usr/bin/env python3
"""Checks the rules of wording that a machine can check.

* The subject of each commit since SINCE has at most 72 characters; merges, whose subjects git may write, do not count.
  SINCE is a date and not a commit: a shallow clone has no commit of that day, and checks the commits that it has. A
  tree without a repository has no subjects to check.
* Each header begins with a comment that says what the header is for.

Usage: tools/check_wording.py [ROOT]
"""
import pathlib
import subprocess
import sys

SINCE = "2026-11-29T19:00:00+00:00"
LONGEST_SUBJECT = 72
FEWEST_WORDS = 3  # of a header's first comment

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


headers = git("ls-files", "-co", "--exclude-standard", "*.h")
if headers is None:
    headers = [str(path.relative_to(root)) for top in ("src", "include", "apps", "tools", "engine", "tests", "bench")
               for path in sorted((root / top).rglob("*.h"))]
headers = [name for name in headers if (root / name).is_file()]  # a deleted file stays listed until it is committed
for name in headers:
    if len(purpose((root / name).read_text())) < FEWEST_WORDS:
        problems.append(f"{name}: begin it with a comment that says what the header is for")

subjects = git("log", "--no-merges", f"--since={SINCE}", "--format=%h %s") or []
for line in subjects:
    commit, _, subject = line.partition(" ")
    if len(subject) > LONGEST_SUBJECT:
        problems.append(f"commit {commit}: its subject has {len(subject)} characters, more than {LONGEST_SUBJECT}")

print("\n".join(problems), file=sys.stderr) if problems else print(f"wording: {len(headers)} headers, {len(subjects)} commits")
sys.exit(1 if problems else 0)
