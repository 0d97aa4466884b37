#!/usr/bin/env python3
"""Every test has its own time limit, so that a test that hangs is reported by its name, and does not wait for ctest's limit.

Usage: check_time_limits.py CTEST BUILD_FOLDER
"""
import json
import subprocess
import sys

LONGEST_S = 45 * 60  # with a sanitizer

ctest, folder = sys.argv[1:]
listed = subprocess.run([ctest, "--test-dir", folder, "--show-only=json-v1"], capture_output=True, text=True, check=True)
problems = []
tests = json.loads(listed.stdout)["tests"]
for test in tests:
    if test["name"].endswith("_NOT_BUILT"):  # a program whose tests are not known yet: it fails under that name
        continue
    limits = [float(p["value"]) for p in test.get("properties", []) if p["name"] == "TIMEOUT"]
    if not limits or not 0 < limits[0] <= LONGEST_S:
        problems.append(f"{test['name']}: " + (f"{limits[0]:.0f} s is not between 0 and {LONGEST_S}" if limits else
                                               "no TIMEOUT: add one with set_tests_properties"))
if not tests:
    problems.append("there are no tests")
print("\n".join(problems) if problems else f"{len(tests)} tests, each with a time limit")
sys.exit(1 if problems else 0)
