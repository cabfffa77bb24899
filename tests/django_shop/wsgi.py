"""The shop for WSGI servers, with the one line that answers mail clients."""

from __future__ import annotations

import os
from pathlib import Path

from django.core.wsgi import get_wsgi_application

from flask_autoconfig import AutoconfigMiddleware

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_shop.settings")
file = Path(__file__).with_name("autoconfig.toml")

application = AutoconfigMiddleware(get_wsgi_application(), file)
