"""``@http``: a task that is a request to a service."""

from taskflow.pycompss.runners import RunnerDecorator


class HTTP(RunnerDecorator):
    """``@http(service_name="service", resource="path/{{p}}", request="GET")``."""

    name = "http"
    mandatory = ("service_name", "resource", "request")
    optional = ("payload", "payload_type", "produces", "updates")
    runs_body_plainly = True


http = HTTP

__all__ = ["HTTP", "http"]
