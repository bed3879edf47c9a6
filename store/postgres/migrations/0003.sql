-- The registry of machines; body is the entry as JSON, the columns are what is searched for.
CREATE TABLE machines (id text PRIMARY KEY COLLATE "C", ek text UNIQUE, suspect boolean NOT NULL, body text NOT NULL);
CREATE INDEX machines_suspect ON machines (id) WHERE suspect;
-- Whether a ticket releases to a machine under a clone alarm.
ALTER TABLE tickets ADD COLUMN allow_clone boolean NOT NULL DEFAULT false;
