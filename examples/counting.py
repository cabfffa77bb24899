"""A Flask site that counts the responses to mail clients for Prometheus.

Requires prometheus-client. Run `flask --app examples/counting run`, request some settings,
then open /metrics. With several workers, set PROMETHEUS_MULTIPROC_DIR as the manual of
prometheus_client describes.
"""

from __future__ import annotations

from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest

from flask_autoconfig import autoconfig
from flask_autoconfig.signals import answered

app = Flask(__name__)
app.config["AUTOCONFIG_FILE"] = "autoconfig.toml"
app.register_blueprint(autoconfig)

ANSWERS = Counter(
    "autoconfig_answers", "Responses to mail clients", ["family", "outcome"]
)


@answered.connect
def count(_: object, family: str, outcome: str, **__: object) -> None:
    """Count a response; the signal carries no address."""
    ANSWERS.labels(family, outcome).inc()


@app.get("/metrics")
def metrics() -> Response:
    """Return the counters; let the web server restrict this path to Prometheus."""
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
