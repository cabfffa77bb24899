-- The table of examples/customers.py. The primary key is the index for the lookup; store
-- domains in lower case and as A-labels.
CREATE TABLE customer (
    domain text PRIMARY KEY,
    -- the id of a provider in autoconfig.toml, or else the customer's own servers
    provider text,
    name text,
    imap_host text,
    smtp_host text,
    CHECK (provider IS NOT NULL OR (imap_host IS NOT NULL AND smtp_host IS NOT NULL))
);
