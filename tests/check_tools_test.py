#!/usr/bin/env python3
"""What tools/check_wording.py and tools/check_papers.py find in a small repository, and what they let pass."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

DECISIONS = "docs" + "/adr"  # in two parts: the check reads this file too
TOOLS = pathlib.Path(__file__).resolve().parent.parent / "tools"


class Repository:
    """A repository in a folder that ends with the test."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder)
        self.git("init", "-q")

    def git(self, *arguments, **options):
        identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        subprocess.run(["git", "-C", str(self.root), *identity, *arguments], check=True, capture_output=True, **options)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, subject):
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject)

    def check(self, tool):
        done = subprocess.run([sys.executable, "-B", str(TOOLS / tool), str(self.root)], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


class Checks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tree = Repository(folder.name)
        self.tree.write("src/good.h", "// Counts the good ones.\n#pragma once\nint good_count();\n")

    def test_long_subject(self):
        self.tree.commit("x" * 72)
        self.assertEqual(self.tree.check("check_wording.py"), (0, "wording: 1 headers, 1 commits\n"))
        self.tree.commit("x" * 73)
        status, said = self.tree.check("check_wording.py")
        self.assertEqual(status, 1)
        self.assertIn("its subject has 73 characters", said)

    def test_subjects_of_a_shallow_clone(self):
        for subject in ("x" * 73, "short"):
            self.tree.commit(subject)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{self.tree.root}", folder], check=True)
            shallow = Repository.__new__(Repository)
            shallow.root = pathlib.Path(folder)
            self.assertEqual(shallow.check("check_wording.py"), (0, "wording: 1 headers, 1 commits\n"))

    def test_header_without_purpose(self):
        self.tree.write("src/bad.h", "#pragma once\n// Too late to say what it is for.\n")
        self.tree.write("src/curt.h", "// Curt.\n#pragma once\n")
        status, said = self.tree.check("check_wording.py")
        self.assertEqual(status, 1)
        self.assertEqual([line.split(":")[0] for line in said.splitlines()], ["src/bad.h", "src/curt.h"])

    def test_long_source_without_reason(self):
        lines = "int x;\n" * 499
        self.tree.write("src/short.cc", "// Counts.\n" + lines)
        self.tree.write("src/long_test.cc", lines * 2)
        self.tree.write("src/table.cc", "// Counts.\n// Long because it is one table.\n" + lines)
        self.assertEqual(self.tree.check("check_wording.py"), (0, "wording: 1 headers, 0 commits\n"))
        self.tree.write("src/long.cc", "// Counts.\n\n// Long because the reason comes too late.\n" + lines)
        status, said = self.tree.check("check_wording.py")
        self.assertEqual(status, 1)
        self.assertEqual(said.split(" lines")[0], "src/long.cc: 502")

    def test_papers_that_point_at_what_exists(self):
        self.tree.write(f"{DECISIONS}/0001-counting.md", "# 1. Counting\n\n`src/good.h`, `good.h`, `good_count()`, [here](../../README.md)\n")
        self.tree.write("README.md", "ADR 1 says why. `/v1/some_route`, `some-model.gguf`, `org/some_model`\n")
        self.assertEqual(self.tree.check("check_papers.py"), (0, "papers: 2 of them\n"))

    def test_papers_that_point_at_nothing(self):
        self.tree.write("README.md", "`src/gone.h`\n`gone.cc`\n`gone_count`\n`gone.limit`\n[here](docs/gone.md)\nADR 7\n")
        self.tree.write("src/pointer.cc", f"// See {DECISIONS}/0009-gone.md.\n")
        status, said = self.tree.check("check_papers.py")
        self.assertEqual(status, 1)
        self.assertEqual([":".join(line.split(":")[:2]) for line in said.splitlines()],
                         [*(f"README.md:{line}" for line in range(1, 7)), "src/pointer.cc:1"])


if __name__ == "__main__":
    unittest.main()
