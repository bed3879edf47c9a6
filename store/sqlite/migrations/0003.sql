-- The registry of machines; body is the entry as JSON, the columns are what is searched for.
CREATE TABLE machines (id TEXT PRIMARY KEY, ek TEXT UNIQUE, suspect INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX machines_suspect ON machines (id) WHERE suspect;
-- Whether a ticket releases to a machine under a clone alarm.
ALTER TABLE tickets ADD COLUMN allow_clone INTEGER NOT NULL DEFAULT 0;
