"""Hooks for customers in PostgreSQL, by domain, some with servers of their own.

Requires psycopg with its pool (`pip install 'psycopg[binary,pool]'`). customers.sql creates
the table; the environment names the database:

    export DATABASE_URL=postgresql:///mail
    flask-autoconfig serve --hooks customers
"""

from __future__ import annotations

import os
from typing import Any

from psycopg_pool import ConnectionPool

# Clients give up after five seconds, so a query fails after two. The pool reconnects to a
# restarted database within five.
pool = ConnectionPool(
    os.environ["DATABASE_URL"],
    min_size=1,
    max_size=4,
    timeout=2,
    reconnect_timeout=5,
    check=ConnectionPool.check_connection,
    kwargs={
        "autocommit": True,
        "connect_timeout": 2,
        "options": "-c statement_timeout=2s",
    },
    open=True,
)
_LOOK_UP = "SELECT provider, name, imap_host, smtp_host FROM customer WHERE domain = %s"


def find_provider(domain: str) -> str | dict[str, Any] | None:
    """Return the provider of a domain that is not in the file.

    If the database is down, this raises, and the last result for the domain is used.
    """
    with pool.connection() as connection:
        row = connection.execute(_LOOK_UP, [domain]).fetchone()
    if row is None:
        return None
    provider, name, imap_host, smtp_host = row
    if provider is not None:
        return str(provider)
    return {
        "display_name": name or domain,
        "incoming": [{"type": "imap", "hostname": imap_host}],
        "outgoing": [{"type": "smtp", "hostname": smtp_host}],
    }
