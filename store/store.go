// Package store is the contract of persistence, in the verbs of the domain. Back ends share no query code; they share
// the suite in storetest.
package store

import (
	"context"
	"time"

	"github.com/assay-tee/assay/registry"
	"github.com/assay-tee/assay/release"
)

// Store is everything that the server keeps.
type Store interface {
	Sessions
	Secrets
	Policies
	Statements
	Records
	Journal
	Machines
	release.Ledger
	// Ping reports whether the store can be written to; its errors are of class unavailable.
	Ping(ctx context.Context) error
	Close() error
}

// SessionState is where a handshake stands.
type SessionState string

// The states (keylime-broker.md section 6). Attesting, attested and failed are final for the nonce.
const (
	Challenged SessionState = "challenged"
	Attesting  SessionState = "attesting"
	Attested   SessionState = "attested"
	Failed     SessionState = "failed"
)

// Session is one handshake.
type Session struct {
	ID       [32]byte // SHA-256 of the cookie; the cookie itself is not kept
	Version  string
	TEE      string
	Nonce    string
	Hash     string // selected hash algorithm, "" when none
	Created  time.Time
	Expires  time.Time
	State    SessionState
	Evidence []byte // the attest body of an attested session, so that any process can appraise it again
}

// Sessions keeps handshakes.
type Sessions interface {
	// CreateSession stores a new session. When the store holds as many as it may, the error is of class unavailable.
	CreateSession(ctx context.Context, s Session) error
	// Session returns an unexpired session; false when there is none.
	Session(ctx context.Context, id [32]byte, now time.Time) (Session, bool, error)
	// UseNonce turns a challenged session into an attesting one. It reports false when somebody was there before, or
	// the session is gone: of many concurrent calls one gets true.
	UseNonce(ctx context.Context, id [32]byte, now time.Time) (bool, error)
	// FinishSession records the outcome of an attesting session.
	FinishSession(ctx context.Context, id [32]byte, state SessionState, evidence []byte) error
	// SweepSessions deletes at most limit expired sessions, found by an index, and reports how many.
	SweepSessions(ctx context.Context, now time.Time, limit int) (int, error)
}

// Secret is a sealed secret.
type Secret struct {
	release.SecretInfo
	Sealed []byte
}

// Secrets keeps sealed secrets, every version of them.
type Secrets interface {
	// PutSecret stores a new version of s.Path; seal is called with the version's number and must give the sealed bytes.
	PutSecret(ctx context.Context, info release.SecretInfo, seal func(version int) ([]byte, error), r release.Record) (release.SecretInfo, error)
	// LatestSecret returns the newest version; false when there is none or it was deleted.
	LatestSecret(ctx context.Context, path string) (release.SecretInfo, bool, error)
	// SealedSecret returns the sealed bytes of one version.
	SealedSecret(ctx context.Context, path string, version int) ([]byte, bool, error)
	// SecretList lists the newest versions by path, those after after.
	SecretList(ctx context.Context, after string, limit int) ([]release.SecretInfo, error)
	// DeleteSecret removes all versions. It reports whether there were any.
	DeleteSecret(ctx context.Context, path string, r release.Record) (bool, error)
}

// Document is a policy or a statement.
type Document struct {
	ID      string    `json:"id"`
	Version int       `json:"version"`
	Created time.Time `json:"created"`
	By      string    `json:"by,omitempty"`
	Data    []byte    `json:"-"`
	Deleted bool      `json:"deleted,omitempty"`
}

// Policies keeps policy texts by id, with their history.
type Policies interface {
	PutPolicy(ctx context.Context, id string, data []byte, r release.Record) (Document, error)
	Policy(ctx context.Context, id string) (Document, bool, error)
	PolicyList(ctx context.Context) ([]Document, error) // newest versions, without Data
	PolicyHistory(ctx context.Context, id string) ([]Document, error)
	DeletePolicy(ctx context.Context, id string, r release.Record) (bool, error)
}

// Statements keeps signed statements by id and reference values by name, as submitted.
type Statements interface {
	PutStatement(ctx context.Context, id string, data []byte, r release.Record) (Document, error)
	Statement(ctx context.Context, id string) (Document, bool, error)
	StatementList(ctx context.Context) ([]Document, error)
	DeleteStatement(ctx context.Context, id string, r release.Record) (bool, error)
	// Generation changes whenever a policy or a statement does, in any process over this store.
	Generation(ctx context.Context) (int64, error)
}

// Records is the log.
type Records interface {
	release.Log
	// Records lists lines after seq, oldest first.
	Records(ctx context.Context, after int64, limit int) ([]release.Record, error)
}

// Journal keeps the Merkle tree over the records (internal/translog).
type Journal interface {
	// GrowLog gives grow at most limit records that the tree has not taken in, oldest first, and stores what it answers, all
	// in one step. It reports how many there were.
	GrowLog(ctx context.Context, limit int, grow func(LogBatch) (LogGrowth, error)) (int, error)
	// LogCheckpoint returns the newest signed head, nil when there is none.
	LogCheckpoint(ctx context.Context) ([]byte, error)
	// LogLeaves returns the texts of the records in the tree, from the place from.
	LogLeaves(ctx context.Context, from int64, limit int) ([]string, error)
}

// LogBatch is what the tree is to take in.
type LogBatch struct {
	Size   int64                             // leaves of the tree so far
	Leaves [][]byte                          // texts of the records, as stored
	Read   func([]int64) ([][32]byte, error) // stored hashes by index
}

// LogGrowth is what the tree becomes.
type LogGrowth struct {
	First      int64      // index of the first new hash
	Hashes     [][32]byte // to store
	Checkpoint []byte     // the signed head
}

// Machines keeps the registry.
type Machines interface {
	// SeeMachine has s judged against what is known, and keeps the outcome and one log line like r per raised alarm, durably
	// and in one step. Those who see the same machine or endorsement key at a time take turns.
	SeeMachine(ctx context.Context, s registry.Seen, live time.Duration, r release.Record) (registry.Outcome, error)
	// Machine returns one entry; false when there is none.
	Machine(ctx context.Context, id string) (registry.Machine, bool, error)
	// MachineList lists entries by id, those after q.After.
	MachineList(ctx context.Context, q MachineQuery) ([]registry.Machine, error)
	// ClearMachine takes back all alarms of an entry and appends r to the log, in one step. It reports whether there is
	// such an entry.
	ClearMachine(ctx context.Context, id string, now time.Time, r release.Record) (bool, error)
}

// MachineQuery selects machines.
type MachineQuery struct {
	Suspect bool   // only those with alarms
	EK      string // only the one that has this endorsement key, unless ""
	After   string // id to continue after
	Limit   int    // 0: [MaxMachines]
}

// MaxMachines is the longest page of machines.
const MaxMachines = 1000

// PageSize is the limit in force.
func (q MachineQuery) PageSize() int {
	if q.Limit <= 0 || q.Limit > MaxMachines {
		return MaxMachines
	}
	return q.Limit
}

// AlarmRecord is the log line of an alarm about m, like r.
func AlarmRecord(r release.Record, m registry.Machine, a registry.Alarm) release.Record {
	r.Kind, r.Event, r.Subject, r.Detail, r.Time = "alarm", string(a.Signal), m.ID, a.Detail, a.Last
	return r
}
