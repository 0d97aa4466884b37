"""/metrics and its documentation name the same things."""
import re

from harness import ROOT


def test_every_metric_is_documented_and_every_documented_one_is_there(serve):
    m = serve(config='[model."b"]\npath = "b.gguf"\n[device."gpu0"]\nmemory_budget = "1GiB"\n')
    m.use("a")
    m.load("b")
    text = m.get("/metrics").body.decode()
    exported = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M):
        exported[name] = kind
    documented = {}
    for name, labels in re.findall(r"^\| `(minerva_\w+)` \|([^|]*)\|", (ROOT / "docs/metrics.md").read_text(), re.M):
        documented[name] = set(re.findall(r"`(\w+)`", labels))
    assert set(exported) == set(documented)
    for name, labels in documented.items():
        samples = re.findall(rf"^{name}(?:\{{(.*?)\}})? ", text, re.M)
        assert samples, f"{name} has no sample"
        for sample in samples:
            assert set(re.findall(r"(\w+)=\"", sample)) == labels, (name, sample)
    for name, kind in exported.items():
        assert name.endswith("_total") == (kind == "counter"), (name, kind)
