"""A Flask site with a database of its customers' domains and their users.

A login differs from the address (fred@customer.test logs in as u1001), so a placeholder
cannot express it. The mailboxes are on several servers. Requires flask-sqlalchemy.
Run it with `flask --app examples/user_database run`.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_autoconfig import Autoconfig


class Base(DeclarativeBase):
    """The base class of the tables."""


db = SQLAlchemy(model_class=Base)
autoconfig = Autoconfig()


class Domain(Base):
    """A customer's domain, and the id of its provider in autoconfig.toml."""

    __tablename__ = "domain"
    name: Mapped[str] = mapped_column(primary_key=True)
    provider: Mapped[str]


class User(Base):
    """A mailbox, its login, and its server if that is not the provider's usual one."""

    __tablename__ = "user"
    address: Mapped[str] = mapped_column(primary_key=True)
    login: Mapped[str]
    server: Mapped[str | None]


@autoconfig.find_provider
def provider_of(domain: str) -> str | None:
    """Return the provider of a domain that is not in the file."""
    return db.session.scalar(select(Domain.provider).where(Domain.name == domain))


@autoconfig.find_provider_by_address
def provider_of_user(address: str) -> dict[str, Any] | None:
    """Return the servers of a user who is not on the usual ones.

    An address that does not exist gets None, as most users do.
    """
    server = db.session.scalar(select(User.server).where(User.address == address))
    if server is None:
        return None
    return {
        "incoming": [{"type": "imap", "hostname": server}],
        "outgoing": [{"type": "smtp", "hostname": server}],
    }


@autoconfig.find_username
def login_of(address: str) -> str | None:
    """Return the user's login, or a made-up one for an address that does not exist.

    Otherwise anybody could find out which mailboxes exist.
    """
    login = db.session.scalar(select(User.login).where(User.address == address))
    return login or f"u{_number(address)}"


def _number(address: str) -> int:
    key = b"a secret of this site"
    digest = hmac.new(key, address.encode(), hashlib.sha256).digest()
    return 1000 + int.from_bytes(digest[:4], "big") % 9000


def create_app() -> Flask:
    """Create the site, with a customer in its database."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    app.config["AUTOCONFIG_FILE"] = "autoconfig.toml"
    db.init_app(app)
    app.register_blueprint(autoconfig)
    with app.app_context():
        db.create_all()
        db.session.add(Domain(name="customer.test", provider="example.com"))
        db.session.add(User(address="fred@customer.test", login="u1001"))
        shard = "shard7.example.com"
        db.session.add(User(address="anna@customer.test", login="u1002", server=shard))
        db.session.commit()
    return app
