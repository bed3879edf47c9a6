-- Times are Unix nanoseconds, ids of sessions are SHA-256 digests.
CREATE TABLE meta (key text PRIMARY KEY, value bigint NOT NULL);
INSERT INTO meta VALUES ('generation', 1), ('ping', 0);

CREATE TABLE sessions (
  id bytea PRIMARY KEY, version text NOT NULL, tee text NOT NULL, nonce text NOT NULL, hash text NOT NULL,
  created bigint NOT NULL, expires bigint NOT NULL, state text NOT NULL, evidence bytea
);
CREATE INDEX sessions_expires ON sessions (expires);

CREATE TABLE secrets (
  path text NOT NULL COLLATE "C", version integer NOT NULL, one_shot boolean NOT NULL, size integer NOT NULL,
  created bigint NOT NULL, by text NOT NULL, sealed bytea, deleted boolean NOT NULL DEFAULT false,
  PRIMARY KEY (path, version)
);

CREATE TABLE documents (
  kind text NOT NULL, id text NOT NULL COLLATE "C", version integer NOT NULL, created bigint NOT NULL, by text NOT NULL,
  data bytea, deleted boolean NOT NULL DEFAULT false,
  PRIMARY KEY (kind, id, version)
);

-- key is the ticket's first condition, the one it is found by; open counts its authorised slots.
CREATE TABLE tickets (
  id text PRIMARY KEY COLLATE "C", resource text NOT NULL, secret text NOT NULL, subject text NOT NULL, key text NOT NULL,
  conditions text NOT NULL, uses integer NOT NULL, not_after bigint NOT NULL, created bigint NOT NULL,
  by text NOT NULL, revoked boolean NOT NULL DEFAULT false, open integer NOT NULL
);
CREATE INDEX tickets_find ON tickets (resource, key, open, created);

CREATE TABLE slots (
  ticket text NOT NULL REFERENCES tickets (id), n integer NOT NULL, state text NOT NULL,
  session bytea, key bytea, reserved bigint, released bigint, reply bytea,
  PRIMARY KEY (ticket, n),
  CHECK (state IN ('authorised', 'reserved', 'released', 'burned', 'revoked')),
  CHECK ((state IN ('reserved', 'released')) <= (session IS NOT NULL AND key IS NOT NULL AND reserved IS NOT NULL)),
  CHECK ((state = 'released') = (released IS NOT NULL)),
  CHECK ((reply IS NOT NULL) <= (state = 'released'))
);
CREATE INDEX slots_reserved ON slots (reserved) WHERE state = 'reserved';
CREATE INDEX slots_reply ON slots (released) WHERE reply IS NOT NULL;

CREATE TABLE records (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, time bigint NOT NULL, body text NOT NULL);
