"""Placeholders as other programs have them, and ours for them.

Dovecot's %u and %{user | domain}, Exim's $local_part, automx's {0}, the {{email}} of
templates, the <email> of instructions. To clients all of them are plain text.
"""

from __future__ import annotations

import re

from ..address import DOMAIN_PLACEHOLDER, PLACEHOLDERS

ADDRESS, LOCAL_PART, _, REAL_NAME = PLACEHOLDERS
_DOMAIN = DOMAIN_PLACEHOLDER
_OURS = re.compile("|".join(PLACEHOLDERS))
# Their word for it, in whatever brackets it stands, or Dovecot's letter behind a %.
_THEIRS = re.compile(
    r"%\{(?P<a>[^{}]*)\}|%\((?P<b>\w+)\)s"
    r"|\$\{\s*(?P<c>\w+)[^{}]*\}|\$(?P<d>[A-Za-z_]\w*)\$?"
    r"|\{\{?\s*+(?P<e>[\w@.-]*+)[^{}]*+\}\}?"
    r"|<(?P<f>[\w@. -]+)>|\[(?P<g>[\w@. -]+)\]"
    r"|%(?P<h>[A-Za-z]\w*)%|%[LU]?(?P<i>[a-z])(?![A-Za-z])"
)
_MEANS = {
    ADDRESS: "email emailaddress mail mailaddress address useremail usermail u 0 upn "
    "userprincipalname e-mail youremail youraddress youremailaddress login account "
    "accountname primaryemail",
    LOCAL_PART: "localpart local n uid mailbox lhs emaillocalpart emailuser 1 "
    "samaccountname user username name yourname yourusername loginname",
    _DOMAIN: "domain d emaildomain maildomain domainpart dom rhs hostname host 2 "
    "domainname yourdomain",
    REAL_NAME: "realname fullname displayname cn",
}
_WORDS = {word: ours for ours, words in _MEANS.items() for word in words.split()}
# Alone these may be the whole address as well.
_EITHER = {"user", "username", "name", "loginname", "yourname", "yourusername"}


def meaning_of(word: str) -> str:
    """Our placeholder for another program's word, "" for a word of no known meaning."""
    plain = re.sub(r"[\s_.-]|^your(?=.)", "", word.lower())
    return _WORDS.get(word.lower()) or _WORDS.get(plain, "")


def theirs_in(text: str) -> str:
    """The first placeholder of another program in a text, "" where there is none."""
    found = _THEIRS.search(_OURS.sub(lambda it: " " * len(it[0]), text))
    return found[0] if found else ""


def translated(text: str) -> str:
    """The text with our placeholders instead of theirs, if there are any."""
    kept: list[str] = []

    def keep(placeholder: str) -> str:
        kept.append(placeholder)
        return f"\0{len(kept) - 1}\0"

    def ours_for(match: re.Match[str]) -> str:
        word = next((it for it in match.groups() if it is not None), "")
        *filtered, word = map(str.strip, word.split("|"))  # as Dovecot's user | domain
        alone = match[0] == text and not filtered
        ours = ADDRESS if alone and word.lower() in _EITHER else meaning_of(word)
        return keep(ours or ADDRESS)

    result = _OURS.sub(lambda match: keep(match[0]), text.replace("\0", ""))
    result = _THEIRS.sub(ours_for, result)
    result = re.sub("\0(\\d+)\0", lambda it: kept[int(it[1])], result)
    for whole in (f"{LOCAL_PART}@{_DOMAIN}", f"{ADDRESS}@{_DOMAIN}"):
        result = result.replace(whole, ADDRESS)
    return result


def login_for(text: str) -> str:
    """What to write for a user name that is the same for everybody."""
    if theirs_in(text):
        return translated(text)
    meaning = meaning_of(text)
    if meaning in (ADDRESS, LOCAL_PART) and text.lower() not in _EITHER:
        return meaning
    domain, backslash, _ = text.rpartition("\\")
    return f"{domain}\\{LOCAL_PART}" if backslash else ADDRESS
