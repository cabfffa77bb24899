CREATE TABLE provider (id INTEGER, name TEXT, short_name TEXT);
CREATE TABLE domain (id INTEGER, name TEXT, provider_id INTEGER);
CREATE TABLE server (id INTEGER, prio INTEGER, name TEXT, port INTEGER, type TEXT,
    socket_type TEXT, user_name TEXT, authentication TEXT);
CREATE TABLE server_domain (server_id INTEGER, domain_id INTEGER);
INSERT INTO provider VALUES (1, 'Example Inc.', 'Example');
INSERT INTO domain VALUES (1, 'example.com', 1);
INSERT INTO server VALUES
    (1, 1, 'imap.example.com', 993, 'imap', 'SSL', '%EMAILADDRESS%', 'plain'),
    (2, 1, 'smtp.example.com', 465, 'smtp', 'SSL', '%EMAILADDRESS%', 'plain');
INSERT INTO server_domain VALUES (1, 1), (2, 1);
