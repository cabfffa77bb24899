-- Customers by the thousand, for examples/customers.py. The primary key is the index that
-- the look-up takes: domains are stored folded, in lower case and as A-labels.
CREATE TABLE customer (
    domain text PRIMARY KEY,
    -- either the id of a provider in autoconfig.toml, or servers of the customer's own
    provider text,
    name text,
    imap_host text,
    smtp_host text,
    CHECK (provider IS NOT NULL OR (imap_host IS NOT NULL AND smtp_host IS NOT NULL))
);
