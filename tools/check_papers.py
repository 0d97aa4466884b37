#!/usr/bin/env python3
"""Checks the papers against the tree: what they point at exists.

* A file in backticks whose first folder is one of the tree's: from the root, or from src/. A file without a folder, if it
  is one of the source kinds: anywhere in the tree.
* A name in backticks that has an underscore or `::`, such as a function, a type's member or a metric: it occurs, as a
  word, in a file that is no paper. A setting such as `pull.hosts` occurs there as it is.
* The target of a link. The number of an ADR, in papers and in sources.

Routes, command lines and names of models are not checked.

Usage: tools/check_papers.py [ROOT]
"""
import pathlib
import re
import subprocess
import sys

PAPERS = ("*.md", "docs/*.md", "docs/adr/*.md")
ELSEWHERE = {"snake_case", "GGML_AVX2", "GGML_AVX512", "unicode.cpp"}  # an example, and names of llama.cpp's
SOURCE = re.compile(r"[\w.-]+\.(?:cc|h|py|sh|js)")
SETTING = re.compile(r"[a-z_]+\.[a-z_]+")
PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)+/?")
NAME = re.compile(r"[A-Za-z]\w*(?:(?:::|\.)\w+)*(?:\(\))?")

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
root = root if root.is_dir() else root.parent.parent
listed = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
if listed.returncode:
    print("papers: not checked, as this is no git repository")
    sys.exit(0)
files = [root / name for name in listed.stdout.splitlines() if (root / name).is_file()]
basenames = {path.name for path in files}
top_folders = {path.relative_to(root).parts[0] for path in files} | {path.name for path in root.glob("src/*")}
texts = {path: path.read_text(errors="replace") for path in files}
sources = "\n".join(text for path, text in texts.items() if path.suffix != ".md")
words = set(re.findall(r"\w+", sources))
problems = []


def missing(token):
    """What is wrong with a token in backticks; nothing if it exists or is of a kind that is not checked."""
    if token in ELSEWHERE:
        return None
    if PATH.fullmatch(token):
        if token.split("/")[0] in top_folders and token.split("/")[0] != "build":
            if not (root / token).exists() and not (root / "src" / token).exists():
                return "no such file"
    elif SOURCE.fullmatch(token):
        if token not in basenames:
            return "no file of that name"
    elif SETTING.fullmatch(token):
        if token not in sources:
            return "no source has that setting"
    elif NAME.fullmatch(token) and ("_" in token or "::" in token):
        if not all(part in words for part in re.findall(r"\w+", token)):
            return "no source has that name"
    return None


papers = [path for pattern in PAPERS for path in sorted(root.glob(pattern))]
for paper in papers:
    prose = re.sub(r"```.*?```", lambda block: "\n" * block[0].count("\n"), texts.get(paper, ""), flags=re.S)
    for number, line in enumerate(prose.splitlines(), 1):
        where = f"{paper.relative_to(root)}:{number}"
        problems += [f"{where}: `{t}`: {missing(t)}" for t in re.findall(r"`([^`]+)`", line) if missing(t)]
        for target in re.findall(r"\]\(([^)#]+)", line):
            if "://" not in target and not (paper.parent / target).exists():
                problems.append(f"{where}: the link to {target} leads nowhere")

decisions = {int(path.name[:4]) for path in root.glob("docs/adr/[0-9]*.md")}
for path, text in texts.items():
    for match in re.finditer(r"\bADRs? (\d+)|docs/adr/(\d{4}-[a-z0-9-]+)", text):
        if (int(match[1]) not in decisions) if match[1] else not (root / f"docs/adr/{match[2]}.md").exists():
            line = text.count("\n", 0, match.start()) + 1
            problems.append(f"{path.relative_to(root)}:{line}: there is no {match[0]}")

print("\n".join(problems), file=sys.stderr) if problems else print(f"papers: {len(papers)} of them")
sys.exit(1 if problems else 0)
