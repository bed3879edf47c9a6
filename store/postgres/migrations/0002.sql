-- leaf is the place of a record in the log's Merkle tree; NULL until the tree has taken it in.
ALTER TABLE records ADD COLUMN leaf bigint;
CREATE UNIQUE INDEX records_leaf ON records (leaf) WHERE leaf IS NOT NULL;
CREATE INDEX records_pending ON records (seq) WHERE leaf IS NULL;
CREATE TABLE log_hashes (i bigint PRIMARY KEY, hash bytea NOT NULL);
CREATE TABLE log_head (one integer PRIMARY KEY CHECK (one = 1), size bigint NOT NULL, checkpoint bytea NOT NULL);
