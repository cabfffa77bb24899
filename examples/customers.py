"""Customers in PostgreSQL: their domains, and servers of their own where they have some.

It needs psycopg with its pool (`pip install 'psycopg[binary,pool]'`). The table is that of
customers.sql, its database is named by the environment:

    export DATABASE_URL=postgresql:///mail
    flask-autoconfig serve --hooks customers
"""

from __future__ import annotations

import os
from typing import Any

from psycopg_pool import ConnectionPool

# Clients leave after five seconds: whatever takes longer than two has failed. A database
# that comes back is found within five.
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
    """Who serves a domain that the file does not know.

    It raises where the database does not answer: then what it said last counts.
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
