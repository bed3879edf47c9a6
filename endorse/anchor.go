package endorse

type Anchor struct{}

func (a *Anchor) check() error { return nil }

type Profile struct{}
