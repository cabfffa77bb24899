"""The shop's pages, the last one for whatever else is asked."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt  # type: ignore[untyped-decorator]
def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body.upper(), status=202)


def stream(_: HttpRequest) -> StreamingHttpResponse:
    def pieces() -> Iterator[bytes]:
        yield from (b"one ", b"two ", b"three")

    return StreamingHttpResponse(pieces())


def anything(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"The shop at {request.path}")


urlpatterns = [
    path("echo", echo),
    path("stream", stream),
    re_path("", anything),
]
