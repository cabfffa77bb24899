"""The shop's only page, for whatever is asked."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import re_path


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"The shop at {request.path}")


urlpatterns = [re_path("", page)]
