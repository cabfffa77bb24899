"""A Django project as people have it: every host but its own refused, CSRF tokens."""

from __future__ import annotations

SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["www.example.com"]
ROOT_URLCONF = "django_shop.urls"
WSGI_APPLICATION = "django_shop.wsgi.application"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
LOGGING_CONFIG = None
USE_TZ = True
