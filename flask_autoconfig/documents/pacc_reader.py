"""Reads PACC's document, by the words of :mod:`pacc`."""

from __future__ import annotations

import json

from ..config.ports import standard_port
from . import pacc
from .setups import Account, MeaninglessError, Setup, check_host

_TYPES = {word: type_ for type_, words in pacc.HOSTS.items() for word in words}


def read(body: bytes) -> Setup:
    """Return what a PACC client sets up; raises MeaninglessError."""
    try:
        protocols = json.loads(body)[pacc.PROTOCOLS]
        hosts = {
            word: str(protocols[word][pacc.HOST])
            for word in _TYPES
            if word in protocols
        }
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise MeaninglessError("it is no JSON with protocols in it") from error
    for host in hosts.values():
        check_host(host)
    return Setup(tuple(_account(_TYPES[word], host) for word, host in hosts.items()))


def _account(type_: str, host: str) -> Account:
    return Account(type_, host, standard_port(type_, "SSL") or 0, "SSL")
