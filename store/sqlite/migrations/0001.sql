-- Times are Unix nanoseconds, ids of sessions are SHA-256 digests.
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO meta VALUES ('generation', 1), ('ping', 0);

CREATE TABLE sessions (
  id BLOB PRIMARY KEY, version TEXT NOT NULL, tee TEXT NOT NULL, nonce TEXT NOT NULL, hash TEXT NOT NULL,
  created INTEGER NOT NULL, expires INTEGER NOT NULL, state TEXT NOT NULL, evidence BLOB
) STRICT;
CREATE INDEX sessions_expires ON sessions (expires);

CREATE TABLE secrets (
  path TEXT NOT NULL, version INTEGER NOT NULL, one_shot INTEGER NOT NULL, size INTEGER NOT NULL,
  created INTEGER NOT NULL, by TEXT NOT NULL, sealed BLOB, deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (path, version)
) STRICT;

CREATE TABLE documents (
  kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, created INTEGER NOT NULL, by TEXT NOT NULL,
  data BLOB, deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (kind, id, version)
) STRICT;

-- key is the ticket's first condition, the one it is found by; open counts its authorised slots.
CREATE TABLE tickets (
  id TEXT PRIMARY KEY, resource TEXT NOT NULL, secret TEXT NOT NULL, subject TEXT NOT NULL, key TEXT NOT NULL,
  conditions TEXT NOT NULL, uses INTEGER NOT NULL, not_after INTEGER NOT NULL, created INTEGER NOT NULL,
  by TEXT NOT NULL, revoked INTEGER NOT NULL DEFAULT 0, open INTEGER NOT NULL
) STRICT;
CREATE INDEX tickets_find ON tickets (resource, key, open, created);

CREATE TABLE slots (
  ticket TEXT NOT NULL REFERENCES tickets (id), n INTEGER NOT NULL, state TEXT NOT NULL,
  session BLOB, key BLOB, reserved INTEGER, released INTEGER, reply BLOB,
  PRIMARY KEY (ticket, n),
  CHECK (state IN ('authorised', 'reserved', 'released', 'burned', 'revoked')),
  CHECK ((state IN ('reserved', 'released')) <= (session IS NOT NULL AND key IS NOT NULL AND reserved IS NOT NULL)),
  CHECK ((state = 'released') = (released IS NOT NULL)),
  CHECK ((reply IS NOT NULL) <= (state = 'released'))
) STRICT;
CREATE INDEX slots_reserved ON slots (reserved) WHERE state = 'reserved';
CREATE INDEX slots_reply ON slots (released) WHERE reply IS NOT NULL;

CREATE TABLE records (seq INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
