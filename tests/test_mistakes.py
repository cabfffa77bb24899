"""What people write that is no TOML, and what they are told: the place and a guess."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from documents import blocks
from hypothesis import given
from hypothesis import strategies as st
from support import TWO_DOMAINS

from flask_autoconfig import ConfigError, load
from flask_autoconfig.config import reading
from flask_autoconfig.errors import Problem
from flask_autoconfig.tools.cli import cli

AROUND = """[[provider]]
domains = ["example.com"]

[[provider.incoming]]
type = "imap"
@
[[provider.outgoing]]
type = "smtp"
hostname = "smtp.example.com"
"""


def problem_of(text: str) -> Problem:
    with pytest.raises(ConfigError) as caught:
        reading.loads(text)
    (problem,) = caught.value.problems
    return problem


def told_of(problem: Problem, above: int = 0) -> str:
    assert problem.line
    message = problem.message.removeprefix("not TOML: ")
    return f"{problem.line - above}:{problem.column}: {message}; {problem.cure}"


# A mistake in the place of a server's line; the line that is told, counted from there,
# and the column; what is wrong, and what to write.
# fmt: off
MISTAKES = [
    ("hostname = “imap.example.com”",
     '1:12: a curly quote (“); write a straight one: "'),
    ('hostname = "imap.example.com”',
     '1:29: a curly quote (”); write a straight one: "'),
    ("hostname = ‘imap.example.com’",
     "1:12: a curly quote (‘); write a straight one: '"),
    ("hostname = imap.example.com",
     '1:12: a quote is missing; write hostname = "imap.example.com"'),
    ('hostname = "imap.example.com',
     "1:29: a quote is missing at the end; write hostname = "
     '"imap.example.com"'),
    ("hostname = 'imap.example.com",
     "1:29: a quote is missing at the end; write hostname = "
     '"imap.example.com"'),
    ('hostname = \'imap.example.com"',
     '1:12: the text begins with \' and ends with "; write hostname = '
     '"imap.example.com"'),
    ('hostname = imap.example.com"',
     '1:12: a quote is missing; write hostname = "imap.example.com"'),
    ('hostname "imap.example.com"',
     '1:10: an = is missing; write hostname = "imap.example.com"'),
    ("hostname imap.example.com",
     '1:10: an = is missing; write hostname = "imap.example.com"'),
    ('hostname: "imap.example.com"',
     "1:9: a : stands where an = belongs; write hostname = "
     '"imap.example.com"'),
    ("hostname: imap.example.com # x",
     "1:9: a : stands where an = belongs; write hostname = "
     '"imap.example.com"'),
    ('hostname == "imap.example.com"',
     "1:10: a == stands where an = belongs; write hostname = "
     '"imap.example.com"'),
    ('hostname := "imap.example.com"',
     "1:10: a := stands where an = belongs; write hostname = "
     '"imap.example.com"'),
    ('hostname => "imap.example.com"',
     "1:10: a => stands where an = belongs; write hostname = "
     '"imap.example.com"'),
    ("hostname =",
     '1:11: the value is missing; write hostname = "…", or remove the line'),
    ("hostname",
     '1:9: a key without a value; write hostname = "…", or # before it'),
    ('hostname = ""imap.example.com""',
     '1:14: a quote too many; write hostname = "imap.example.com"'),
    ("hostname = 192.168.1.5",
     '1:12: a quote is missing; write hostname = "192.168.1.5"'),
    ('hostname = "a" "b"',
     "1:16: two texts where one belongs; write one of them, or a list where "
     "the key takes one"),
    ('hostname = "imap.example.com",',
     "1:30: a , at the end of the line; remove it"),
    ('hostname = "imap.example.com";',
     "1:30: a ; at the end of the line; remove it"),
    ('hostname = "imap.example.com" // the server',
     '1:31: a comment begins with #, not with "//"; write #'),
    ("// hostname",
     '1:1: a comment begins with #, not with "//"; write #'),
    ("; hostname",
     '1:1: a comment begins with #, not with ";"; write #'),
    ("/* hostname */",
     '1:1: a comment begins with #, not with "/*"; write #'),
    ("-- hostname",
     '1:1: a comment begins with #, not with "--"; write #'),
    ("<!-- hostname -->",
     '1:1: a comment begins with #, not with "<!--"; write #'),
    ("port = 0993",
     "1:9: a number that begins with 0; write port = 993"),
    ("port = 993 SSL",
     "1:12: a number, and then more; write the number alone: port = 993"),
    ("port = 993/tcp",
     "1:11: a number, and then more; write the number alone: port = 993"),
    ("port = 99 # ok\nport = 143",
     "2:1: port stands twice in this table, first on line 6; remove one of "
     "the two"),
    ("use_global_preferred_server = True",
     "1:31: true is written small; write use_global_preferred_server = true"),
    ("use_global_preferred_server = yes",
     "1:31: yes is no word of TOML; write use_global_preferred_server = true"),
    ("use_global_preferred_server = None",
     "1:31: TOML has no None; remove the line"),
    ("use_global_preferred_server = FALSE # x",
     "1:31: false is written small; write use_global_preferred_server = "
     "false"),
    ('hostname\xa0= "x"',
     "1:9: a no-break space (U+00A0); write an ordinary space"),
    ('hostname =\xa0"x"',
     "1:11: a no-break space (U+00A0); write an ordinary space"),
    ('\xa0hostname = "x"',
     "1:1: a no-break space (U+00A0); write an ordinary space"),
    ('host\u200bname = "x"',
     "1:5: a zero width space (U+200B); remove it: it cannot be seen"),
    ('\ufeffhostname = "x"',
     "1:1: a byte order mark (U+FEFF); remove it: it cannot be seen"),
    ('username = "DOMAIN\\user"',
     "1:19: a backslash begins an escape between double quotes; write it in "
     "single quotes: 'DOMAIN\\user'"),
    ('username = "C:\\users\\x"',
     "1:15: a backslash begins an escape between double quotes; write it in "
     "single quotes: 'C:\\users\\x'"),
    ('display_name = "1 \\"',
     '1:21: a quote is missing at the end; write display_name = "1"'),
    ('host name = "imap.example.com"',
     '1:6: "host name" is no key; write host_name = "imap.example.com"'),
    ("- imap.example.com",
     "1:1: a list as YAML writes it; write the whole list: domains = "
     '["example.com", "example.net"]'),
    ('authentication = ["OAuth2" "password-cleartext"]',
     "1:28: a comma is missing; write a comma between two values"),
    ('authentication = ["OAuth2", "password-cleartext"',
     "1:18: the list that begins here has no ]; write ] behind its last "
     "value"),
    ('authentication = ["OAuth2",\n "password-cleartext"\n',
     "1:18: the list that begins here has no ]; write ] behind its last "
     "value"),
    ('authentication = ["OAuth2",',
     "1:18: the list that begins here has no ]; write ] behind its last "
     "value"),
    ("authentication = [OAuth2, plain]",
     '1:19: a quote is missing; write "OAuth2"'),
    ('authentication = [\n"OAuth2"\n"password-cleartext"\n]',
     "3:1: a comma is missing; write a comma between two values"),
    ('authentication = ["OAuth2"]]',
     "1:28: a ] too many; remove it"),
    ("authentication = [“OAuth2”]",
     '1:19: a curly quote (“); write a straight one: "'),
    ("pop3 = {check_interval = 3,}",
     "1:28: a comma before the }; remove the comma"),
    ("pop3 = {\n check_interval = 3\n}",
     "1:9: a table in { } goes over several lines; write it on one line"),
    ("pop3 = {check_interval = 3",
     "1:8: the table that begins here has no }; write } behind its last "
     "value"),
    ("pop3 = {check_interval: 3}",
     "1:23: a : stands where an = belongs; write check_interval = 3"),
    ('hostname = "a"\nhostname = "b"',
     "2:1: hostname stands twice in this table, first on line 6; remove one "
     "of the two"),
    ('type = "imap" hostname = "x"',
     "1:1: type stands twice in this table, first on line 5; remove one of "
     "the two"),
    ('type = "imap", hostname = "x"',
     "1:1: type stands twice in this table, first on line 5; remove one of "
     "the two"),
    ("[provider.incoming.pop3\ncheck_interval = 1",
     "1:24: the heading has not as many [ as ]; write "
     "[provider.incoming.pop3]"),
    ("[[provider.incoming]",
     "1:20: the heading has not as many [ as ]; write [[provider.incoming]]"),
    ("[provider.incoming]]",
     "1:19: the heading has not as many [ as ]; write [[provider.incoming]]"),
    ("[[provider incoming]]",
     "1:12: a heading's words have dots between them; write "
     "[[provider.incoming]]"),
    ("[[provider/incoming]]",
     "1:11: a heading's words have dots between them; write "
     "[[provider.incoming]]"),
    ("[[ ]]",
     "1:4: a heading without a name; write [[provider]]"),
    ("[provider.webmail]\n[provider.webmail]",
     "2:1: the heading of provider.webmail stands twice, first on line 6; "
     "keep one, or begin another [[provider]] before this one"),
    ('hostname = """imap.example.com',
     '1:12: the text that begins here with """ has no end; write """ behind '
     "it"),
    ('hostname = """imap.example.com"',
     '1:12: the text that begins here with """ has no end; write """ behind '
     "it"),
    ("hostname = '''x",
     "1:12: the text that begins here with ''' has no end; write ''' behind "
     "it"),
    ('hostname = "imap\x07"',
     "1:17: a control character (U+0007); remove it: it cannot be seen"),
    ('hostnäme = "x"',
     '1:6: "hostnäme" is no key; write hostname = "x"'),
    ("hostname = <imap>",
     '1:12: a quote is missing; write hostname = "<imap>"'),
    ("hostname = $HOST",
     '1:12: a quote is missing; write hostname = "$HOST"'),
    ("username = %EMAILADDRESS%",
     '1:12: a quote is missing; write username = "%EMAILADDRESS%"'),
    ('hostname = "x" [y]',
     "1:16: something stands behind the value; write # before it"),
    ("hostname = (x)",
     '1:12: a quote is missing; write hostname = "(x)"'),
    ('[[provider.incoming]] type = "imap"',
     "1:23: a heading stands on a line of its own; begin a new line behind "
     "it"),
    ('hostname = "say "hi" there"',
     '1:18: a " within the text; write hostname = \'say "hi" there\', or \\" '
     "for each"),
    ("hostname = imap.example.com:993",
     '1:12: a quote is missing; write hostname = "imap.example.com:993"'),
    ("pop3 = ",
     '1:8: the value is missing; write pop3 = "…", or remove the line'),
    ("type = IMAP",
     '1:8: a quote is missing; write type = "IMAP"'),
    ('domains = ["a" , , "b"]',
     "1:18: two commas, and no value between; remove one"),
    ('display_name = "Bücher 漢字" x',
     "1:28: something stands behind the value; write # before it"),
    ('username = "\\%EMAILADDRESS%"',
     "1:13: a backslash begins an escape between double quotes; write it in "
     "single quotes: '\\%EMAILADDRESS%'"),
    ("x = 2020-13-45",
     '1:5: a quote is missing; write x = "2020-13-45"'),
    ('"hostname = "x"',
     '1:14: "hostname" is no key; write hostname = "x"'),
    ('hostname" = "x"',
     '1:9: "hostname" is no key; write hostname = "x"'),
    ('`hostname` = "x"',
     "1:1: a curly quote (`); write a straight one: '"),
    ("hostname = `x`",
     "1:12: a curly quote (`); write a straight one: '"),
    ("port = ",
     '1:8: the value is missing; write port = "…", or remove the line'),
    ("[provider]\n",
     "1:1: the heading of provider stands twice, first on line 1; head each "
     "of them [[provider]], with two brackets"),
    ("[[provider]] x = 1",
     "1:14: a heading stands on a line of its own; begin a new line behind it"),
]
# The same of a whole file.
FILES = [
    ('<?xml version="1.0"?>\n<clientConfig>',
     "1:1: this is XML; `flask-autoconfig import FILE` makes TOML of a "
     "config-v1.1.xml"),
    ('{"provider": []}',
     '1:1: this is JSON; write TOML: key = "value" a line'),
    ("---\nprovider:\n  - domains: x\n",
     '1:1: this is YAML; write TOML: key = "value" a line'),
    ("provider:\n  - domains:\n",
     "1:9: a : stands where an = belongs; write [[provider]], and its keys "
     "below it"),
    ('[provider]\ndomains=["a"]\n[provider]\n',
     "3:1: the heading of provider stands twice, first on line 1; head each "
     "of them [[provider]], with two brackets"),
    ("[provider]\nx=1\n[[provider]]\n",
     "3:1: the heading of provider stands twice, first on line 1; head each "
     "of them [[provider]], with two brackets"),
    ("[[provider]]\n[provider]\n",
     "2:1: the heading of provider stands twice, first on line 1; head each "
     "of them [[provider]], with two brackets"),
    ("d\x00o\x00m\x00",
     "1:2: it is UTF-16, not UTF-8; save it as UTF-8"),
    ('domains = ["a.test"\n[[provider.incoming]]\ntype="x"\n',
     "1:11: the list that begins here has no ]; write ] behind its last "
     "value"),
    ('domains = [\n  "a.test",\n  "b.test",\n\n[[provider.incoming]]\ntype="x"\n',
     "1:11: the list that begins here has no ]; write ] behind its last "
     "value"),
    ('domains = [\n  "a.test",\ntype = "x"\n',
     "1:11: the list that begins here has no ]; write ] behind its last "
     "value"),
    ("domains = [a.test, b.test]",
     '1:12: a quote is missing; write "a.test"'),
    ('domains = ["a.test]\n',
     '1:20: a quote is missing at the end; write "a.test"'),
    ("[[provider",
     "1:11: the heading has not as many [ as ]; write [[provider]]"),
    ('provider = [\n{domains = ["a"]}\n{domains=["b"]}]',
     "3:1: a comma is missing; write a comma between two values"),
    ('display_name = "x\ny = 1\n',
     '1:18: a quote is missing at the end; write display_name = "x"'),
    ('[provider]\ndomains = ["x"]\n\n[[provider.incoming]\ntype="imap"',
     "4:20: the heading has not as many [ as ]; write [[provider.incoming]]"),
    ("clients = ['a'\n",
     "1:11: the list that begins here has no ]; write ] behind its last "
     "value"),
    ("max_age = 3600s",
     "1:15: a number, and then more; write the number alone: max_age = 3600"),
    ("max_age = 1 hour",
     "1:13: a number, and then more; write the number alone: max_age = 1"),
    ('max_age = "3600',
     '1:16: a quote is missing at the end; write max_age = "3600"'),
]
# fmt: on


@pytest.mark.parametrize(("mistake", "told"), MISTAKES)
def test_a_mistake_in_a_file_is_shown_and_guessed(mistake: str, told: str) -> None:
    problem = problem_of(AROUND.replace("@", mistake))
    assert told_of(problem, above=5) == told


@pytest.mark.parametrize(("text", "told"), FILES)
def test_a_file_of_another_kind_is_shown_and_guessed(text: str, told: str) -> None:
    problem = problem_of(text)
    assert told_of(problem) == told


# --- Keys, tables and values of other programs -----------------------------------------

SOUND = """# top
[[provider]]
domains = ["example.com"]
# prov
[[provider.incoming]]
type = "imap"
hostname = "imap.example.com"
# in
[[provider.outgoing]]
type = "smtp"
hostname = "smtp.example.com"
# end
"""
OAUTH2 = """[provider.oauth2]
issuer = "auth.example.com"
auth_url = "https://auth.example.com/a"
token_url = "https://auth.example.com/t"
client_id = "mail"
"""
# What of that file is replaced, and by what; then each problem: its line and place, and
# what to write.
# fmt: off
INSTEAD = [
    ("# in", "ssl = true",
     '8 provider[0].incoming[0].ssl: write socket_type = "SSL"'),
    ("# in", "ssl = false",
     '8 provider[0].incoming[0].ssl: write socket_type = "STARTTLS"'),
    ("# in", "tls = true",
     '8 provider[0].incoming[0].tls: write socket_type = "SSL"'),
    ("# in", 'tls = "starttls"',
     '8 provider[0].incoming[0].tls: write socket_type = "STARTTLS"'),
    ("# in", "starttls = true",
     '8 provider[0].incoming[0].starttls: write socket_type = "STARTTLS"'),
    ("# in", 'use_tls = "yes"',
     '8 provider[0].incoming[0].use_tls: write socket_type = "SSL"'),
    ("# in", "port = 143\nssl = true",
     '9 provider[0].incoming[0].ssl: write socket_type = "STARTTLS"'),
    ("# in", 'security = "SSL/TLS"',
     '8 provider[0].incoming[0].security: write socket_type = "SSL"'),
    ("# in", 'encryption = "none"',
     '8 provider[0].incoming[0].encryption: write socket_type = "plain"'),
    ("# in", 'encryption = "STARTTLS"',
     '8 provider[0].incoming[0].encryption: write socket_type = "STARTTLS"'),
    ("# in", 'connection-security = "tls"',
     '8 provider[0].incoming[0].connection-security: write socket_type = "SSL"'),
    ("# in", "secure = 1",
     '8 provider[0].incoming[0].secure: write socket_type = "SSL"'),
    ("# in", 'socketType = "SSL"',
     "8 provider[0].incoming[0].socketType: did you mean socket_type?"),
    ("# in", 'server = "imap.example.com"',
     "8 provider[0].incoming[0].server: remove it: hostname is there"),
    ("# in", 'host = "https://imap.example.com:993/"',
     "8 provider[0].incoming[0].host: remove it: hostname is there"),
    ("# in", 'user = "%u"',
     '8 provider[0].incoming[0].user: write username = "%EMAILADDRESS%"'),
    ("# in", 'user = "fred"',
     '8 provider[0].incoming[0].user: write username = "%EMAILADDRESS%"'),
    ("# in", 'login = "{localpart}"',
     '8 provider[0].incoming[0].login: write username = "%EMAILLOCALPART%"'),
    ("# in", 'email = "fred@example.com"',
     '8 provider[0].incoming[0].email: write username = "%EMAILADDRESS%"'),
    ("# in", 'auth = "plain"',
     "8 provider[0].incoming[0].auth: write authentication = "
     '"password-cleartext"'),
    ("# in", 'auth = ["xoauth2", "plain"]',
     '8 provider[0].incoming[0].auth: write authentication = "OAuth2"'),
    ("# in", 'auth_method = "CRAM-MD5"',
     "8 provider[0].incoming[0].auth_method: write authentication = "
     '"password-encrypted"'),
    ("# in", 'protocol = "imaps"',
     "8 provider[0].incoming[0].protocol: remove it: type is there"),
    ("# in", 'name = "Example"',
     '8 provider[0].incoming[0].name: write display_name = "Example" in '
     "[[provider]]"),
    ("# in", 'password = "secret"',
     "8 provider[0].incoming[0].password: remove it: everybody can read this, "
     "and clients ask for it"),
    ("# in", 'Password = "secret"',
     "8 provider[0].incoming[0].Password: remove it: everybody can read this, "
     "and clients ask for it"),
    ("# in", 'domain = "example.com"',
     '8 provider[0].incoming[0].domain: write domains = ["example.com"] in '
     "[[provider]]"),
    ("# in", "timeout = 3",
     "8 provider[0].incoming[0].timeout: known are"),
    ("# in", 'imap_port = "993"',
     "8 provider[0].incoming[0].imap_port: write port = 993"),
    ("# in", 'Hostname = "x"',
     "8 provider[0].incoming[0].Hostname: did you mean hostname?"),
    ("# in", 'usernaem = "x"',
     "8 provider[0].incoming[0].usernaem: did you mean username?"),
    ("# in", 'display_name = "x"',
     "8 provider[0].incoming[0].display_name: display_name belongs into "
     "[[provider]]"),
    ("# in", 'webmail = "x"',
     "8 provider[0].incoming[0].webmail: webmail belongs into [[provider]]"),
    ("# in", 'socket_type = "TLS"',
     '8 provider[0].incoming[0].socket_type: write "SSL"'),
    ("# in", 'socket_type = "ssl"',
     '8 provider[0].incoming[0].socket_type: write "SSL"'),
    ("# in", 'socket_type = "SSL/TLS"',
     '8 provider[0].incoming[0].socket_type: write "SSL"'),
    ("# in", 'socket_type = "StartTLS"',
     '8 provider[0].incoming[0].socket_type: write "STARTTLS"'),
    ("# in", 'socket_type = "none"',
     '8 provider[0].incoming[0].socket_type: write "plain"'),
    ("# in", "socket_type = true",
     '8 provider[0].incoming[0].socket_type: write socket_type = "SSL"'),
    ("# in", "socket_type = false",
     '8 provider[0].incoming[0].socket_type: write socket_type = "STARTTLS"'),
    ("# in", 'socket_type = ["SSL", "STARTTLS"]',
     '8 provider[0].incoming[0].socket_type: write socket_type = "SSL"; '
     "another server is another table"),
    ("# in", "socket_type = 993",
     "8 provider[0].incoming[0].socket_type: write it in quotes"),
    ("# in", 'socket_type = "yes"',
     '8 provider[0].incoming[0].socket_type: write "SSL"'),
    ("# in", 'port = "993"',
     "8 provider[0].incoming[0].port: write port = 993"),
    ("# in", "port = 993.0",
     "8 provider[0].incoming[0].port: write port = 993"),
    ("# in", 'port = "imaps"',
     "8 provider[0].incoming[0].port: write an integer from 1 to 65535"),
    ("# in", 'port = "993/tcp"',
     "8 provider[0].incoming[0].port: write port = 993"),
    ("# in", "port = [993, 143]",
     "8 provider[0].incoming[0].port: write an integer from 1 to 65535"),
    ("# in", "port = true",
     "8 provider[0].incoming[0].port: write an integer from 1 to 65535"),
    ("# in", "port = 99999",
     "8 provider[0].incoming[0].port: write an integer from 1 to 65535"),
    ("# in", 'port = "993 (SSL)"',
     "8 provider[0].incoming[0].port: write port = 993"),
    ("# in", 'authentication = "plain"',
     '8 provider[0].incoming[0].authentication: write "password-cleartext"'),
    ("# in", 'authentication = "LOGIN"',
     '8 provider[0].incoming[0].authentication: write "password-cleartext"'),
    ("# in", 'authentication = "normal password"',
     '8 provider[0].incoming[0].authentication: write "password-cleartext"'),
    ("# in", 'authentication = "password_cleartext"',
     '8 provider[0].incoming[0].authentication: write "password-cleartext"'),
    ("# in", 'authentication = "oauth"',
     '8 provider[0].incoming[0].authentication: write "OAuth2"'),
    ("# in", 'authentication = ["cram-md5", "plain"]',
     '8 provider[0].incoming[0].authentication[0]: write "password-encrypted"',
     '8 provider[0].incoming[0].authentication[1]: write "password-cleartext"'),
    ("# in", 'authentication = "foo"',
     "8 provider[0].incoming[0].authentication: use one of them"),
    ("# in", "authentication = true",
     "8 provider[0].incoming[0].authentication: write authentication = "
     '"password-cleartext"'),
    ("# in", 'authentication = "secure"',
     '8 provider[0].incoming[0].authentication: write "password-encrypted"'),
    ("# in", "username = true",
     '8 provider[0].incoming[0].username: write username = "true"'),
    ("# in", "username = 5",
     '8 provider[0].incoming[0].username: write username = "5"'),
    ("# in", 'username = ["a", "b"]',
     '8 provider[0].incoming[0].username: write username = "a"; another server '
     "is another table"),
    ("# in", "username = {a = 1}",
     "8 provider[0].incoming[0].username: write a string"),
    ("# in", 'use_global_preferred_server = "yes"',
     "8 provider[0].incoming[0].use_global_preferred_server: write "
     "use_global_preferred_server = true"),
    ("# in", 'use_global_preferred_server = "True"',
     "8 provider[0].incoming[0].use_global_preferred_server: write "
     "use_global_preferred_server = true"),
    ("# in", "use_global_preferred_server = 0",
     "8 provider[0].incoming[0].use_global_preferred_server: write "
     "use_global_preferred_server = false"),
    ("# in", 'username = "%EMAIL%"',
     "8 provider[0].incoming[0].username: write %EMAILADDRESS%"),
    ("# in", 'username = "%USER%"',
     "8 provider[0].incoming[0].username: write %EMAILADDRESS%, or "
     "%EMAILLOCALPART% for what stands before the @"),
    ("# in", 'username = "%localpart%"',
     "8 provider[0].incoming[0].username: write %EMAILLOCALPART%"),
    ("# in", 'username = "%FOO%"',
     "8 provider[0].incoming[0].username: use %EMAILADDRESS%, "
     "%EMAILLOCALPART%, %EMAILDOMAIN% or %REALNAME%"),
    ("# in", 'username = "%emailaddress%"',
     "8 provider[0].incoming[0].username: write %EMAILADDRESS%"),
    ("# in", "pop3 = 3",
     "8 provider[0].incoming[0].pop3: write its keys below "
     "[provider.incoming.pop3]"),
    ("# in", 'url = "imap.example.com"',
     '8 provider[0].incoming[0].url: write "https://imap.example.com"'),
    ('type = "imap"', 'type = "IMAP"',
     '6 provider[0].incoming[0].type: write "imap"'),
    ('type = "imap"', 'type = "imaps"',
     '6 provider[0].incoming[0].type: write "imap"'),
    ('type = "imap"', 'type = "pop"',
     '6 provider[0].incoming[0].type: write "pop3"'),
    ('type = "imap"', 'type = "smtp"',
     "6 provider[0].incoming[0].type: head this server [[provider.outgoing]]"),
    ('type = "imap"', 'type = "caldav"',
     "6 provider[0].incoming[0].type: head this server [[provider.calendar]]"),
    ('type = "smtp"', 'type = "SMTPS"',
     '10 provider[0].outgoing[0].type: write "smtp"'),
    ('type = "smtp"', 'type = "imap"',
     "10 provider[0].outgoing[0].type: head this server [[provider.incoming]]"),
    ('type = "imap"', 'protocol = "imap"',
     '6 provider[0].incoming[0].protocol: write type = "imap"'),
    ('hostname = "imap', 'host = "imap',
     '7 provider[0].incoming[0].host: write hostname = "imap.example.com"'),
    ('"imap.example.com"', '"https://imap.example.com/"',
     '7 provider[0].incoming[0].hostname: write "imap.example.com"'),
    ('"imap.example.com"', '"imap.example.com:993"',
     '7 provider[0].incoming[0].hostname: write "imap.example.com", and port = '
     "993"),
    ('"imap.example.com"', '"imaps://imap.example.com:993"',
     '7 provider[0].incoming[0].hostname: write "imap.example.com", and port = '
     "993"),
    ('"imap.example.com"', '"[::1]"',
     '7 provider[0].incoming[0].hostname: write "::1"'),
    ('"imap.example.com"', '"[2001:db8::1]"',
     '7 provider[0].incoming[0].hostname: write "2001:db8::1"'),
    ('"imap.example.com"', '"[2001:db8::1]:993"',
     '7 provider[0].incoming[0].hostname: write "2001:db8::1", and port = 993'),
    ('"imap.example.com"', '["imap.example.com"]',
     '7 provider[0].incoming[0].hostname: write hostname = "imap.example.com"'),
    ('"imap.example.com"', '["a.test", "b.test"]',
     '7 provider[0].incoming[0].hostname: write hostname = "a.test"; another '
     "server is another table"),
    ('"imap.example.com"', '"imap.%d"',
     '7 provider[0].incoming[0].hostname: write "imap.%EMAILDOMAIN%"'),
    ('"imap.example.com"', '"imap.{domain}"',
     '7 provider[0].incoming[0].hostname: write "imap.%EMAILDOMAIN%"'),
    ('"imap.example.com"', '"mail_1.example.com"',
     "7 provider[0].incoming[0].hostname: write it as the DNS has it: there is "
     "no _ in a host name"),
    ('"imap.example.com"', '"mail server"',
     "7 provider[0].incoming[0].hostname: write a name like mail.example.com, "
     "without a scheme, port or space"),
    ('"imap.example.com"', '"fred@imap.example.com"',
     '7 provider[0].incoming[0].hostname: write "imap.example.com"'),
    ('["example.com"]', '"example.com"',
     '3 provider[0].domains: write domains = ["example.com"]'),
    ('["example.com"]', '"a.test, b.test"',
     '3 provider[0].domains: write domains = ["a.test", "b.test"]'),
    ('["example.com"]', '["a.test,b.test"]',
     '3 provider[0].domains[0]: write "a.test", "b.test"'),
    ('["example.com"]', '["a.test; b.test;"]',
     '3 provider[0].domains[0]: write "a.test", "b.test"'),
    ('["example.com"]', '["[::1]"]',
     "3 provider[0].domains[0]: write the mail domain"),
    ('["example.com"]', '["https://example.com"]',
     '3 provider[0].domains[0]: write "example.com"'),
    ('["example.com"]', '["@example.com"]',
     '3 provider[0].domains[0]: write "example.com"'),
    ('["example.com"]', '["fred@example.com"]',
     '3 provider[0].domains[0]: write "example.com"'),
    ('["example.com"]', "[5]",
     '3 provider[0].domains[0]: write "5"'),
    ("domains =", "domain =",
     '3 provider[0].domain: write domains = ["example.com"]'),
    ('domains = ["example.com"]', 'domain = "example.com"',
     '3 provider[0].domain: write domains = ["example.com"]'),
    ('domains = ["example.com"]', 'email = "fred@example.com"',
     '3 provider[0].email: write domains = ["example.com"]'),
    ("[[provider]]", "[provider]",
     "2 provider: head it [[provider]], with two brackets"),
    ('[[provider]]\ndomains = ["example.com"]\n', "",
     "3 provider: begin with [[provider]] and its domains; its other tables "
     "follow it"),
    ("[[provider.incoming]]", "[provider.incoming]",
     "5 provider[0].incoming: head it [[provider.incoming]], with two brackets"),
    ("[[provider.incoming]]", "[[incoming]]",
     "2 provider[0]: add [[provider.incoming]]",
     "5 incoming: head it [[provider.incoming]], below its [[provider]]"),
    ("[[provider.incoming]]", "[incoming]",
     "2 provider[0]: add [[provider.incoming]]",
     "5 incoming: head it [[provider.incoming]], below its [[provider]]"),
    ("[[provider.incoming]]", "[[provider.imap]]",
     "5 provider[0].imap: head it [[provider.incoming]]"),
    ("[[provider.incoming]]", "[provider.imap]",
     "5 provider[0].imap: head it [[provider.incoming]]"),
    ("[[provider.incoming]]", "[imap]",
     "2 provider[0]: add [[provider.incoming]]",
     "5 imap: head it [[provider.incoming]], below its [[provider]]"),
    ("[[provider.incoming]]", "[[provider.server]]",
     "2 provider[0]: add [[provider.incoming]]",
     "5 provider[0].server: head it [[provider.incoming]] or "
     "[[provider.outgoing]]"),
    ("[[provider.outgoing]]", "[[provider.smtp]]",
     "9 provider[0].smtp: head it [[provider.outgoing]]"),
    ("[[provider.outgoing]]", "[[provider.incoming.outgoing]]",
     "2 provider[0]: add [[provider.outgoing]]",
     "9 provider[0].incoming[0].outgoing: head it [[provider.outgoing]], below "
     "its [[provider]]"),
    ("[[provider]]", "[[providers]]",
     "2 providers: did you mean provider?",
     "5 provider: begin with [[provider]] and its domains; its other tables "
     "follow it"),
    ("[[provider]]", '["example.com"]',
     '2 "example.com": write [[provider]], and domains = ["example.com"] below '
     "it",
     "5 provider: begin with [[provider]] and its domains; its other tables "
     "follow it"),
    ("# top", "[general]\nmax_age = 5",
     "1 general: write its keys at the top of the file, without this heading"),
    ("# top", "[example.net]\nx = 1",
     '1 example: write [[provider]], and domains = ["example.net"] below it'),
    ("# top", 'name = "x"',
     '1 name: write display_name = "x" in [[provider]]'),
    ("# top", "ttl = 60",
     "1 ttl: write max_age = 60"),
    ("# top", 'host = "x"',
     '1 host: write hostname = "x" in [[provider.incoming]]'),
    ("# top", 'hostname = "x.test"',
     "1 hostname: hostname belongs into [[provider.incoming]]"),
    ("# top", 'max_age = "1h"',
     "1 max_age: write an integer from 0 to 31536000"),
    ("# top", 'max_age = "60"',
     "1 max_age: write max_age = 60"),
    ("# top", 'clients = "outlook"',
     '1 clients: write clients = ["outlook"]'),
    ("# top", 'clients = "all"',
     "1 clients: remove the key: without it all are served, but ispdb"),
    ("# top", 'clients = ["*"]',
     "1 clients[0]: remove the key: without it all are served, but ispdb"),
    ("# top", 'clients = ["autodiscover", "ios"]',
     '1 clients[0]: write "outlook"',
     '1 clients[1]: write "apple"'),
    ("# prov", 'name = "Example"',
     '4 provider[0].name: write display_name = "Example"'),
    ("# prov", 'logo = "https://x.test/l.png"',
     '4 provider[0].logo: write logo_url = "https://x.test/l.png"'),
    ("# prov", "max_age = 5",
     "4 provider[0].max_age: max_age belongs into the top of the file, before "
     "the first table"),
    ("# prov", "ssl = true",
     '4 provider[0].ssl: write socket_type = "SSL" in [[provider.incoming]]'),
    ("# prov", 'host = "imap.example.com"',
     '4 provider[0].host: write hostname = "imap.example.com" in '
     "[[provider.incoming]]"),
    ("# prov", "port = 993",
     "4 provider[0].port: port belongs into [[provider.incoming]]"),
    ("# prov", 'password = "x"',
     "4 provider[0].password: remove it: everybody can read this, and clients "
     "ask for it"),
    ("# prov", 'webmail = "https://mail.example.com/"',
     '4 provider[0].webmail: write login_page = "https://mail.example.com/" '
     "below [provider.webmail]"),
    ("# prov", 'webmail_url = "https://mail.example.com/"',
     "4 provider[0].webmail_url: did you mean webmail?"),
    ("# prov", '[[provider.webmail]]\nlogin_page = "https://m.test/"',
     "4 provider[0].webmail: head it [provider.webmail], with one bracket"),
    ("# prov", '[provider.webmail]\nurl = "https://m.test/"',
     '5 provider[0].webmail.url: write login_page = "https://m.test/"'),
    ("# prov", 'documentation = "https://x.test/"',
     "4 provider[0].documentation: write a table below "
     "[[provider.documentation]]"),
    ("# prov", 'list_domains = "no"',
     "4 provider[0].list_domains: write list_domains = false"),
    ("# prov", 'display_name = {en = "x"}',
     "4 provider[0].display_name: write a string"),
    ("# prov", '[[provider.documentation]]\nurl = "https://x.test/"\ndescr = "Help"',
     '6 provider[0].documentation[0].descr: name the language: {en = "Help"}'),
    ("# prov", "max-age = 3",
     "4 provider[0].max-age: max_age belongs into the top of the file, before "
     "the first table"),
    ("# prov", 'mx = "mx.example.com"',
     '4 provider[0].mx: write mx_domains = ["mx.example.com"]'),
    ("# end", '[[provider.caldav]]\nurl="https://x.test"',
     "12 provider[0].caldav: head it [[provider.calendar]], and write type = "
     '"caldav"'),
    ("# end", OAUTH2 + 'scope = ["https://mail.test/", "offline_access"]',
     "17 provider[0].oauth2.scope: write scope = "
     '"https://mail.test/ offline_access"'),
    ("# end", "[incoming.imap]\nx=1",
     "12 incoming: head it [[provider.incoming]], below its [[provider]]"),
    ("# end", '[provider.webmail]\nlogin_page = "m.test"',
     '13 provider[0].webmail.login_page: write "https://m.test"'),
    ("# prov", 'domainsfile = "x"',
     "4 provider[0].domainsfile: did you mean domains_file?"),
    ("# prov", 'flavour = "red"',
     "4 provider[0].flavour: known are"),
    ("# prov", 'colour = "red"',
     "4 provider[0].colour: colour belongs into [provider.page]"),
]
# fmt: on


@pytest.mark.parametrize("row", INSTEAD, ids=[row[1] for row in INSTEAD])
def test_what_other_programs_take_is_told_in_our_words(row: tuple[str, ...]) -> None:
    old, new, *told = row
    with pytest.raises(ConfigError) as caught:
        reading.loads(SOUND.replace(old, new, 1))
    problems = caught.value.problems
    assert len(problems) == len(told)
    for problem, words in zip(problems, told, strict=True):
        assert f"{problem.line} {problem.place}: {problem.cure}".startswith(words)


# What is sound and of no use: each warning with its line, place and cure.
# fmt: off
WARNED = [
    ('["example.com"]', '["example.com", "Example.COM"]',
     "3 provider[0].domains[1]: remove one of the two"),
    ('["example.com"]', '["example.com", "bücher.test", "xn--bcher-kva.test"]',
     "3 provider[0].domains[2]: remove one of the two"),
    ('["example.com"]', '["*.com"]',
     "3 provider[0].domains[0]: write the domain of your addresses, as "
     "example.com, or *.example.com"),
    ('["example.com"]', '["localhost"]',
     "3 provider[0].domains[0]: write the domain of your addresses, as example.com"),
    ('["example.com"]', '["localhost.localdomain"]',
     "3 provider[0].domains[0]: write the domain of your addresses, as example.com"),
    ("# end", '[[provider.calendar]]\ntype = "carddav"\nurl = "https://d.test/"',
     "13 provider[0].calendar[0].type: head this server [[provider.address_book]]"),
    ("# end", '[[provider.address_book]]\ntype = "caldav"\nurl = "https://d.test/"',
     "13 provider[0].address_book[0].type: head this server [[provider.calendar]]"),
    ("# end", '[[provider.chat]]\ntype = "imap"\nhostname = "i.test"\nport = 993',
     "13 provider[0].chat[0].type: head this server [[provider.incoming]]"),
]
# fmt: on


@pytest.mark.parametrize("row", WARNED, ids=[row[1] for row in WARNED])
def test_what_is_of_no_use_is_warned_of_with_what_to_write(
    row: tuple[str, str, str], tmp_path: Path
) -> None:
    old, new, told = row
    file = tmp_path / "autoconfig.toml"
    file.write_text(SOUND.replace(old, new, 1), encoding="utf-8")
    done = CliRunner().invoke(cli, ["--config", str(file), "validate", "--json"])
    assert done.exit_code == 0
    warnings = json.loads(done.stdout)["warnings"]
    assert told in [f"{it['line']} {it['place']}: {it['cure']}" for it in warnings]


@pytest.mark.parametrize("domain", ["*", "*.example.com", "office.lan", "mail.test"])
def test_a_domain_of_any_use_is_not_warned_of(domain: str, tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(SOUND.replace("example.com", domain, 1))
    done = CliRunner().invoke(cli, ["--config", str(file), "validate", "--json"])
    warnings = json.loads(done.stdout)["warnings"]
    assert not [it for it in warnings if ".domains" in it["place"]]


@pytest.mark.parametrize(
    ("line", "cure"),
    [
        (b"a.example,b.example\n", "write each domain on a line of its own, with "),
        (b"a.example, b.example\n", "write each domain on a line of its own, with "),
        (b"a.example;b.example\n", "write each domain on a line of its own, with "),
        ("bücher.example\n".encode("latin-1"), "save the file as UTF-8"),
    ],
)
def test_a_line_of_a_domains_file_is_told_what_to_write(
    line: bytes, cure: str, tmp_path: Path
) -> None:
    (tmp_path / "names").write_bytes(b"one.example\n" + line)
    text = SOUND.replace('domains = ["example.com"]', 'domains_file = "names"')
    file = tmp_path / "autoconfig.toml"
    file.write_text(text)
    (problem,) = reading.read(file).skipped
    assert (problem.line, problem.cure[: len(cure)]) == (2, cure)


# --- The display ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "shown", "mark"),
    [
        ("\thostname = imap", " hostname = imap", 12),
        ("display_name = “漢字", "display_name = “漢字", 15),
        ('x = ["漢字é\u0301", y]', 'x = ["漢字é\u0301", y]', 14),
        ("host\x07name = 1", "host?name = 1", 4),
        ("x = \u202e1", "x = ?1", 4),
    ],
)
def test_the_mark_stands_below_the_place(line: str, shown: str, mark: int) -> None:
    first, second = problem_of(f"\n\n{line}\ny = 1").excerpt.split("\n")
    assert first == f"  3 | {shown}"
    assert second == f"    | {' ' * mark}^"


def test_of_a_line_without_end_the_part_around_the_place_is_shown() -> None:
    text = f'x = ["{"a" * 10_000_000}", b, "{"c" * 1000}"]'
    problem = problem_of(text)
    first, second = problem.excerpt.split("\n")
    assert len(first) < 120
    assert first[second.index("^")] == "b"
    assert len(str(problem)) < 300


def test_validate_shows_the_line_and_a_log_has_one_for_each_problem(
    tmp_path: Path,
) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(AROUND.replace("@", "use_global_preferred_server = True"))
    told = "not TOML: true is written small; write use_global_preferred_server = true"
    done = CliRunner().invoke(cli, ["--config", str(file), "validate"])
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        f"{file}:6:31: error: not TOML: true is written small",
        "  6 | use_global_preferred_server = True",
        "    |                               ^",
        "  do: write use_global_preferred_server = true",
    ]
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value).splitlines() == [
        f"{file}: 1 problem",
        f"  line 6, column 31: {told}",
    ]
    done = CliRunner().invoke(cli, ["--config", str(file), "show"])
    assert done.stderr.splitlines() == [
        f"Error: {file}: 1 problem",
        f"{file}:6:31: error: not TOML: true is written small",
        "  6 | use_global_preferred_server = True",
        "    |                               ^",
        "  do: write use_global_preferred_server = true",
    ]


def test_contribs_readme_shows_what_validate_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = blocks("text")
    _, *told = block.code.split("$ ")
    monkeypatch.chdir(tmp_path)
    for line in ("hostname = “imap.example.com”", 'server = "imap.example.com"'):
        Path("autoconfig.toml").write_text(AROUND.replace("@", line), encoding="utf-8")
        done = CliRunner().invoke(cli, ["validate"])
        command, _, output = told.pop(0).partition("\n")
        assert command == "flask-autoconfig validate"
        assert done.stdout == output
    assert not told


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_of_windows_editor_is_told_to_be_utf_16(
    tmp_path: Path, encoding: str
) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS, encoding=encoding)
    with pytest.raises(ConfigError, match="it is UTF-16, not UTF-8; save it as UTF-8"):
        load(file)


def test_a_letter_that_is_no_utf_8_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_bytes(b"max_age = 1\r\n# \xc3\xbc B\xfccher\r\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 6)
    assert problem.excerpt == "  2 | # ü B\ufffdcher\n    |      ^"


@given(st.text("a=[]{}\"'#\n\r\\ .,1tTé“:\ufeff\0-", max_size=40))
def test_whatever_stands_there_the_place_is_one_of_the_text(text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        problem = problem_of(text)
        lines = text.replace("\r\n", "\n").split("\n")
        assert problem.line is not None
        assert problem.column is not None
        assert 0 < problem.column <= len(lines[problem.line - 1]) + 1
        assert problem.excerpt.endswith("^")


HOSTILE = {
    "deep lists": "[" * 300 + "]" * 300,
    "a number of thousands of digits": "0x" + "f" * 5000,
    "no number": "nan",
    "a long text of brackets": '"' + "{a" * 300_000 + '"',
    "a long text of underscores": '"' + "a_" * 300_000 + '"',
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize(
    "key", ["port", "hostname", "username", "domains", "ssl", "host", "user", "ttl"]
)
def test_no_value_breaks_the_hints(key: str, value: str) -> None:
    text = f"{key} = {value}\n[[provider]]\n{key} = {value}\n"
    with pytest.raises(ConfigError) as caught:
        reading.loads(f"{text}[[provider.incoming]]\n{key} = {value}\n")
    lines = [it.line for it in caught.value.problems if it.place.endswith(key)]
    assert lines[0] == 1
    assert all(len(str(it)) < 700 for it in caught.value.problems)


def test_a_key_of_thousands_of_parts_has_its_line() -> None:
    with pytest.raises(ConfigError) as caught:
        reading.loads(f"x = 1\n{'provider.' * 3000}y = 1\n")
    assert [it.line for it in caught.value.problems] == [2]
