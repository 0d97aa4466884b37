"""The results of benchmarks: values by row and subject, comparisons with their aims, one table, one JSON file.

Subjects are measured in turns, so that the values of one round belong together. A comparison is the median, over the
rounds, of the ratio (or difference) of two subjects in each round. So a disturbance in one round counts no more than once.
"""
import dataclasses
import json
import os
import platform
import statistics
import subprocess

from subjects import ROOT

BUSY = " (busy with something else: the figures mean little)"


@dataclasses.dataclass
class Comparison:
    """Compares `subject` with `other` in `row`. At most one of `least` and `most` is the aim; without one it is only
    shown."""

    row: str
    subject: str
    other: str
    how: str = "ratio"  # "ratio": subject / other; "sooner": other / subject; "more": subject - other
    least: float | None = None
    most: float | None = None
    paired: bool = True  # by round; otherwise it compares the two medians

    def figure(self, mine, others):
        if self.how == "ratio":
            return mine / others
        return others / mine if self.how == "sooner" else mine - others

    def words(self, figure, unit):
        if self.how == "more":
            return f"{figure:+.3g} {unit} over {self.other}"
        return f"{figure:.4g} x {self.other}" if self.how == "ratio" else f"{figure:.3g} x sooner than {self.other}"

    def reached(self, figure):
        """Whether the aim is reached; None if there is no aim."""
        if self.least is not None:
            return figure >= self.least
        return None if self.most is None else figure <= self.most

    def aim(self):
        return f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"


class Figures:
    def __init__(self):
        self.rows = {}  # row -> (unit, {subject: [values]})
        self.comparisons = []
        self.notes = []  # sentences that stand above the table
        self.load_before = os.getloadavg()[0]

    def add(self, row, unit, subject, value):
        self.rows.setdefault(row, (unit, {}))[1].setdefault(subject, []).append(value)

    def compare(self, row, subject, other, how="ratio", **more):
        """May be added before the values. Left out of the table if one of the two was not measured."""
        comparison = Comparison(row, subject, other, how, **more)
        if comparison not in self.comparisons:
            self.comparisons.append(comparison)

    def note(self, sentence):
        self.notes.append(sentence)

    def values(self, row, subject):
        return self.rows.get(row, ("", {}))[1].get(subject, [])

    def median(self, row, subject):
        return statistics.median(self.values(row, subject))

    def compared(self, comparison):
        """The figure of the comparison; None if it is not known."""
        mine, others = (self.values(comparison.row, subject) for subject in (comparison.subject, comparison.other))
        if not mine or not others:
            return None
        if not comparison.paired or len(mine) != len(others):
            return comparison.figure(statistics.median(mine), statistics.median(others))
        return statistics.median(comparison.figure(m, o) for m, o in zip(mine, others))

    def print_table(self):
        print(f"\n{machine()}")
        print(f"load of the machine before: {self.load_before:.1f}" + (BUSY if self.load_before > 0.5 else ""))
        for sentence in self.notes:
            print(sentence)
        for row, (unit, subjects) in self.rows.items():
            print(f"\n{row}")
            for subject in subjects:
                line = f"  {subject:34}{shown(self.median(row, subject)):>9} {unit:11}"
                told = [c for c in self.comparisons if (c.row, c.subject) == (row, subject)]
                pieces = [self.tell(comparison, unit) for comparison in told if self.compared(comparison) is not None]
                # One comparison per line, one below the other.
                print((line + f"\n{'':{len(line)}}".join(pieces)).rstrip())

    def tell(self, comparison, unit):
        figure = self.compared(comparison)
        text = comparison.words(figure, unit)
        reached = comparison.reached(figure)
        return text if reached is None else f"{text} (aim: {comparison.aim()}) {'REACHED' if reached else 'MISSED'}"

    def write(self, file):
        compared = [{**dataclasses.asdict(c), "figure": self.compared(c),
                     "reached": None if self.compared(c) is None else c.reached(self.compared(c))}
                    for c in self.comparisons]
        rows = {row: {"unit": unit, "values": subjects} for row, (unit, subjects) in self.rows.items()}
        file.write_text(json.dumps({"machine": machine(), "load_before": self.load_before, "notes": self.notes,
                                    "rows": rows, "comparisons": compared}, indent=1))


def shown(value):
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def machine():
    """The commit, and the machine."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True,
                            check=False).stdout.strip()
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = int(next(line for line in open("/proc/meminfo") if line.startswith("MemTotal")).split()[1]) >> 20
    return f"minerva {commit}; {os.cpu_count()} x {cpu}, {memory} GiB, Linux {platform.release()}"
