"""Renders a chart as `helm template` does (by Helm's own code, which a package brings), and holds what comes out against
Kubernetes' own schemas."""

from __future__ import annotations

import pathlib
from typing import Any

import helm_python
import kubernetes_validate
import yaml

KUBERNETES = "1.31"
Rendering = dict[str, dict[str, Any]]


def render(chart: pathlib.Path, values: dict[str, Any]) -> Rendering:
    """The documents by their kinds. Raises ValueError."""
    try:
        with helm_python.Chart.load(chart) as loaded:
            texts = loaded.render(values, name="r", namespace="models")
    except helm_python.HelmError as error:
        raise ValueError(str(error)) from None
    documents = [document for text in texts.values() for document in yaml.safe_load_all(text) if document]
    rendered = {document["kind"]: document for document in documents}
    assert len(rendered) == len(documents)
    return rendered


def validate(document: dict[str, Any]) -> None:
    """Raises kubernetes_validate.ValidationError."""
    kubernetes_validate.validate(document, KUBERNETES, strict=True)
