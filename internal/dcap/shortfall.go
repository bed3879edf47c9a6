package dcap

import (
	"fmt"
	"strings"
)

// Shortfall says by how much a platform misses the highest level: what would have to be updated. It is text for
// diagnosis, empty when the level is met.
func (t *TCBInfo) Shortfall(pck *PCK, td *TDReport) string {
	var svn *[16]byte
	if td != nil {
		s := td.TEETCBSVN()
		svn = &s
	}
	if len(t.Levels) == 0 || t.Levels[0].metBy(pck, svn) {
		return ""
	}
	return t.Levels[0].misses(pck, svn)
}

// shortfall says what keeps a platform from the lowest level.
func (t *TCBInfo) shortfall(pck *PCK, svn *[16]byte) string {
	if len(t.Levels) == 0 {
		return "the document has no levels"
	}
	return "to meet even the lowest level: " + t.Levels[len(t.Levels)-1].misses(pck, svn)
}

func (l *Level) misses(pck *PCK, svn *[16]byte) string {
	var out []string
	for i, c := range l.SGX {
		if pck.Components[i] < c {
			out = append(out, fmt.Sprintf("SGX component %d is %d, %d is wanted", i+1, pck.Components[i], c))
		}
	}
	if pck.PCESVN < l.PCESVN {
		out = append(out, fmt.Sprintf("PCESVN is %d, %d is wanted", pck.PCESVN, l.PCESVN))
	}
	if svn != nil {
		from := 0
		if svn[1] > 0 {
			from = 2
		}
		for i := from; i < len(svn); i++ {
			if svn[i] < l.TDX[i] {
				out = append(out, fmt.Sprintf("TDX component %d is %d, %d is wanted", i+1, svn[i], l.TDX[i]))
			}
		}
	}
	return strings.Join(out, ", ")
}
