package endorse

// strata orders conditional relations so that a series, which takes the first item that matches, is looked at only
// after everything that could still add to what it matches against (section 8.3.4.4; specs corim.md section 14.3).
type strata struct{}

func (s *strata) add(rels []relation) error { return nil }
func (s *strata) drop(src *Source)          {}

func (s *strata) ranks() (map[*Series]int, map[*Endorsement]int) { return nil, nil }
