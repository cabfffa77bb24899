"""A Flask site that counts what mail clients get, for Prometheus.

It needs prometheus-client.
Try it: `flask --app examples/counting run`, ask for some settings, then look at /metrics.
Under several workers set PROMETHEUS_MULTIPROC_DIR, as prometheus_client's manual has it.
"""

from __future__ import annotations

from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest

from flask_autoconfig import autoconfig
from flask_autoconfig.signals import answered

app = Flask(__name__)
app.config["AUTOCONFIG_FILE"] = "autoconfig.toml"
app.register_blueprint(autoconfig)

ANSWERS = Counter("autoconfig_answers", "Answers to clients", ["family", "outcome"])


@answered.connect
def count(_: object, family: str, outcome: str, **__: object) -> None:
    """One more; there is no address in it."""
    ANSWERS.labels(family, outcome).inc()


@app.get("/metrics")
def metrics() -> Response:
    """For the Prometheus server, and for nobody else: let the web server see to that."""
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
