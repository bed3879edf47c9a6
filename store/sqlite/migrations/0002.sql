-- leaf is the place of a record in the log's Merkle tree; NULL until the tree has taken it in.
ALTER TABLE records ADD COLUMN leaf INTEGER;
CREATE UNIQUE INDEX records_leaf ON records (leaf) WHERE leaf IS NOT NULL;
CREATE INDEX records_pending ON records (seq) WHERE leaf IS NULL;
CREATE TABLE log_hashes (i INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
CREATE TABLE log_head (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, checkpoint BLOB NOT NULL) STRICT;
