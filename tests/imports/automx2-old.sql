CREATE TABLE provider (id INTEGER, name TEXT, short_name TEXT);
CREATE TABLE server (id INTEGER, name TEXT, port INTEGER, type TEXT,
    socket_type TEXT, user_name TEXT, authentication TEXT);
CREATE TABLE domain (id INTEGER, name TEXT, provider_id INTEGER,
    ldapserver_id INTEGER);
CREATE TABLE server_domain (server_id INTEGER, domain_id INTEGER);
INSERT INTO provider VALUES (1, 'Example Inc.', 'Example');
INSERT INTO domain VALUES (1, 'example.com', 1, 7), (2, 'example.net', 1, NULL),
    (3, 'other.example.org', 1, NULL), (4, 'empty.example.org', 1, NULL);
INSERT INTO server VALUES
    (1, 'imap.example.com', 993, 'imap', 'SSL', '%EMAILADDRESS%', 'plain'),
    (2, 'smtp.example.com', 25, 'smtp', 'plain', '%EMAILLOCALPART%', 'NTLM'),
    (3, 'x.example.com', 1, 'telex', 'SSL', 'x', 'plain');
INSERT INTO server_domain VALUES (1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (1, 3),
    (2, 3), (3, 3), (99, 1);
