"""The dashboard and the alert rules in deploy/ use only metrics and labels that docs/metrics.md lists."""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The labels that Prometheus adds to each series.
ADDED_LABELS = {"instance", "job"}


def documented():
    """Returns name -> labels."""
    rows = re.findall(r"^\| `(minerva_\w+)` \| ([^|]*)\|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def problems_of(where, expression, metrics):
    for name, selector in re.findall(r"\b(minerva_\w+)\b(?:\{([^}]*)\})?", expression):
        if name not in metrics:
            yield f"{where}: docs/metrics.md has no {name}"
            continue
        for label in re.findall(r"(\w+)\s*[=!]", selector):
            if label not in metrics[name] | ADDED_LABELS:
                yield f"{where}: {name} has no label {label}"
    for labels in re.findall(r"\bby \(([^)]*)\)", expression):
        known = ADDED_LABELS.union(*(metrics.get(name, set()) for name in re.findall(r"minerva_\w+", expression)))
        for label in re.split(r",\s*", labels):
            if label not in known:
                yield f"{where}: no metric of it has a label {label}"


def expressions():
    dashboard = json.loads((ROOT / "deploy/grafana.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield f"grafana.json, \"{panel['title']}\"", target["expr"]
    for variable in dashboard["templating"]["list"]:
        yield f"grafana.json, ${variable['name']}", variable["query"]
    rules = re.split(r"^ +- alert: ", (ROOT / "deploy/alerts.yml").read_text(), flags=re.MULTILINE)[1:]
    for rule in rules:
        name = rule.splitlines()[0]
        expression = re.search(r"^ +expr: (.+)$", rule, re.MULTILINE)
        assert expression and "summary:" in rule and "severity:" in rule, f"alerts.yml, {name}: incomplete"
        yield f"alerts.yml, {name}", expression[1]


def main():
    metrics = documented()
    found = [problem for where, text in expressions() for problem in problems_of(where, text, metrics)]
    # The check itself finds faults.
    assert list(problems_of("", 'minerva_no_such{a="b"}', metrics))
    assert list(problems_of("", 'minerva_queue_requests{model="b"}', metrics))
    assert list(problems_of("", "sum by (model) (minerva_queue_requests)", metrics))
    print("\n".join(found) or f"{len(list(expressions()))} expressions, all of documented metrics")
    return 1 if found else 0


sys.exit(main())
