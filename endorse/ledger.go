package endorse

type ledger struct{}

func newLedger() ledger { return ledger{} }
