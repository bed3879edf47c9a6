package snp_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/simulator"
)

// A missing VCEK is asked for by the service's own path, built from the report.
func TestVCEKFromKDS(t *testing.T) {
	for _, tc := range []struct {
		p    simulator.Product
		path func(*simulator.Chip) string
	}{
		{simulator.Milan, func(c *simulator.Chip) string {
			return fmt.Sprintf("/vcek/v1/Milan/%x?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219", c.ID)
		}},
		{simulator.Genoa, func(c *simulator.Chip) string {
			return fmt.Sprintf("/vcek/v1/Genoa/%x?blSPL=10&teeSPL=0&snpSPL=23&ucodeSPL=84", c.ID)
		}},
		{simulator.Turin, func(c *simulator.Chip) string {
			return fmt.Sprintf("/vcek/v1/Turin/%x?fmcSPL=1&blSPL=1&teeSPL=1&snpSPL=4&ucodeSPL=81", c.ID[:8])
		}},
	} {
		t.Run(string(tc.p), func(t *testing.T) {
			c := chip(t, tc.p)
			ev := evidence.Evidence{Data: must[[]byte](t)(c.Report(c.NewReport()))}
			vek := must[[]byte](t)(c.VCEKWith(c.TCB, simulator.VEKOptions{}))
			kds := &vendor{kds: map[string][]byte{tc.path(c): vek}}
			e := env(t)
			e.Collateral = kds
			check(t, newDriver(t), ev, e, "")
			if !slices.Contains(kds.asked, tc.path(c)) {
				t.Errorf("asked for %q, want %q", kds.asked, tc.path(c))
			}
			kds.kds[tc.path(c)] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: vek})
			check(t, newDriver(t), ev, e, "")
			kds.kds[tc.path(c)] = []byte("<html>busy</html>")
			check(t, newDriver(t), ev, e, "unavailable")
			kds.kds[tc.path(c)] = amd(t).ASK(tc.p).Raw
			check(t, newDriver(t), ev, e, "unavailable")
			kds.kds[tc.path(c)] = must[[]byte](t)(chip(t, tc.p).VCEKWith(c.TCB, simulator.VEKOptions{}))
			check(t, newDriver(t), ev, e, "signature")
		})
	}
}

func TestVersion2AsksLineByLine(t *testing.T) {
	for _, p := range []simulator.Product{simulator.Milan, simulator.Genoa} {
		c := chip(t, p)
		r := c.NewReport()
		r.Version = 2
		kds := &vendor{kds: map[string][]byte{"/vcek/v1/" + string(p) + fmt.Sprintf("/%x", c.ID): must[[]byte](t)(c.VCEKWith(c.TCB, simulator.VEKOptions{}))}}
		e := env(t)
		e.Collateral = kds
		v := check(t, newDriver(t), evidence.Evidence{Data: must[[]byte](t)(c.Report(r))}, e, "")
		if v.Product() != string(p) || !strings.HasPrefix(kds.asked[0], "/vcek/v1/Milan/") {
			t.Errorf("product %q after %q", v.Product(), kds.asked)
		}
	}
}

// The vendor is asked only about a report that passed the cheap checks and is the one that was asked for.
func TestNoRequestBeforeCheapChecks(t *testing.T) {
	c := chip(t, simulator.Milan)
	other := must[evidence.Binding](t)(evidence.ExpectExact(make([]byte, 63)))
	for _, tc := range []struct {
		name, class string
		edit        func(*simulator.Report)
		env         func(*evidence.Env)
	}{
		{"malformed", "malformed", func(r *simulator.Report) { r.Policy = 0 }, func(*evidence.Env) {}},
		{"other binding", "binding", func(*simulator.Report) {}, func(e *evidence.Env) { e.Binding = other }},
		{"VLEK", "unavailable", byVLEK, func(*evidence.Env) {}},
		{"masked CHIP_ID", "unavailable", func(r *simulator.Report) { r.ChipID = [64]byte{} }, func(*evidence.Env) {}},
		{"no root for the line", "signature", func(*simulator.Report) {}, func(e *evidence.Env) {
			e.Anchors = anchors(t, evidence.AnchorsConfig{Roots: []*x509.Certificate{amd(t).ARK(simulator.Turin)}, OnlyThese: true, AllowSimulatorUnsafe: true})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := c.NewReport()
			tc.edit(&r)
			e, kds := env(t), &vendor{}
			e.Collateral = kds
			tc.env(&e)
			check(t, newDriver(t), evidence.Evidence{Data: must[[]byte](t)(c.Report(r))}, e, tc.class)
			if len(kds.asked) != 0 {
				t.Errorf("asked for %q", kds.asked)
			}
		})
	}
}

func TestMissingVEKSaysWhatToDo(t *testing.T) {
	c := chip(t, simulator.Milan)
	ev := evidence.Evidence{Data: must[[]byte](t)(c.Report(c.NewReport()))}
	_, err := newDriver(t).Authenticate(t.Context(), ev, env(t))
	for _, word := range []string{"--cert", "--collateral", fmt.Sprintf("%x", c.ID)} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not say %q", err, word)
		}
	}
}

// VEKs are chosen by content; certificates of the past or of another level do not stand in the way of the right one.
func TestTheRightVEKIsFound(t *testing.T) {
	c := chip(t, simulator.Milan)
	report := must[[]byte](t)(c.Report(c.NewReport()))
	right := must[[]byte](t)(c.VCEKWith(c.TCB, simulator.VEKOptions{}))
	expired := must[[]byte](t)(c.VCEKWith(c.TCB, simulator.VEKOptions{NotAfter: now.Add(-time.Hour)}))
	old := c.TCB
	old.SNP--
	oldLevel := must[[]byte](t)(c.VCEKWith(old, simulator.VEKOptions{}))
	otherChip := must[[]byte](t)(chip(t, simulator.Milan).VCEKWith(c.TCB, simulator.VEKOptions{}))
	kds := fmt.Sprintf("/vcek/v1/Milan/%x", c.ID)
	for _, tc := range []struct {
		name            string
		with, given     [][]byte
		fromKDS         []byte
		class           string
		mayAskForNoVCEK bool
	}{
		{"among others", [][]byte{otherChip, oldLevel, right}, nil, nil, "", true},
		{"expired one first", [][]byte{expired, right}, nil, nil, "", true},
		{"in the operator's bundle", nil, [][]byte{otherChip, oldLevel, right}, nil, "", true},
		{"supplied one is expired, the bundle has another", [][]byte{expired}, [][]byte{right}, nil, "", true},
		{"supplied one is expired, the KDS has another", [][]byte{expired}, nil, right, "", false},
		{"supplied one is of an old level, the KDS has the right one", [][]byte{oldLevel}, nil, right, "", false},
		{"only an expired one", [][]byte{expired}, nil, nil, "stale", false},
		{"only an expired one in the bundle", nil, [][]byte{expired}, nil, "stale", false},
		{"only one of an old level", [][]byte{oldLevel}, nil, nil, "signature", false},
		{"only one of another chip", [][]byte{otherChip}, nil, nil, "signature", false},
		{"others in the bundle are none of its business", nil, [][]byte{otherChip, oldLevel}, nil, "unavailable", false},
		{"no certificate at all", [][]byte{{0x30, 0x03, 1, 2, 3}}, nil, nil, "malformed", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := &vendor{given: tc.given, kds: map[string][]byte{}}
			if tc.fromKDS != nil {
				v.kds[kds] = tc.fromKDS
			}
			e := env(t)
			e.Collateral = v
			d := newDriver(t)
			for range 2 {
				check(t, d, evidence.Evidence{Data: report, Endorsements: tc.with}, e, tc.class)
			}
			if asked := slices.ContainsFunc(v.asked, func(p string) bool { return strings.HasPrefix(p, kds) }); tc.mayAskForNoVCEK && asked {
				t.Errorf("asked for %q", v.asked)
			}
		})
	}
}

// A report that names no chip may fit the certificates of many; the right one is found by its key.
func TestTheRightKeyIsFoundWithoutChipID(t *testing.T) {
	c := chip(t, simulator.Milan)
	masked, vlek := c.NewReport(), c.NewReport()
	masked.ChipID = [64]byte{}
	byVLEK(&vlek)
	for _, tc := range []struct {
		name         string
		report       simulator.Report
		right, other []byte
	}{
		{"masked CHIP_ID", masked, must[[]byte](t)(c.VCEKWith(c.TCB, simulator.VEKOptions{})), must[[]byte](t)(chip(t, simulator.Milan).VCEKWith(c.TCB, simulator.VEKOptions{}))},
		{"VLEK", vlek, must[[]byte](t)(amd(t).VLEKWith(simulator.Milan, vlek.CSP, c.TCB, simulator.VEKOptions{})),
			must[[]byte](t)(amd(t).VLEKWith(simulator.Milan, "CN=another.example", c.TCB, simulator.VEKOptions{}))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data := must[[]byte](t)(c.Report(tc.report))
			d, e := newDriver(t), env(t)
			check(t, d, evidence.Evidence{Data: data, Endorsements: [][]byte{tc.other, tc.right}}, e, "")
			check(t, d, evidence.Evidence{Data: data, Endorsements: [][]byte{tc.other}}, e, "signature")
			e.Collateral = &vendor{given: [][]byte{tc.other, tc.right}}
			check(t, d, evidence.Evidence{Data: data}, e, "")
			check(t, d, evidence.Evidence{Data: data, Endorsements: [][]byte{tc.other}}, e, "")
			e.Collateral = &vendor{given: [][]byte{tc.other}}
			check(t, d, evidence.Evidence{Data: data}, e, "unavailable")
		})
	}
}

func TestRevocation(t *testing.T) {
	w := amd(t)
	g := newGuest(t, simulator.Milan, nil, simulator.VEKOptions{})
	vlek := newGuest(t, simulator.Milan, byVLEK, simulator.VEKOptions{})
	ask, asvk := w.ASK(simulator.Milan).SerialNumber.Int64(), w.ASVK(simulator.Milan).SerialNumber.Int64()
	forger := must[*simulator.Issuer](t)(w.Issuer(simulator.Milan, false))
	forger.Name = w.ARK(simulator.Milan)
	crl := func(p simulator.Product, o simulator.CRLOptions) []byte { return must[[]byte](t)(w.CRL(p, o)) }
	before, after := now.Add(-time.Hour), now.Add(time.Hour)
	for _, tc := range []struct {
		name          string
		guest         guest
		given         [][]byte
		kds           []byte
		class, status string
		number        uint64
	}{
		{"no list", g, nil, nil, "", "not checked", 0},
		{"good list given", g, [][]byte{crl(simulator.Milan, simulator.CRLOptions{Number: 7})}, nil, "", "good", 7},
		{"good list from the KDS", g, nil, crl(simulator.Milan, simulator.CRLOptions{Number: 8}), "", "good", 8},
		{"newest of two", g, [][]byte{crl(simulator.Milan, simulator.CRLOptions{Number: 9}), crl(simulator.Milan, simulator.CRLOptions{Number: 4})}, nil, "", "good", 9},
		{"PEM", g, [][]byte{pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crl(simulator.Milan, simulator.CRLOptions{Number: 7})})}, nil, "", "good", 7},
		{"list of another line", g, [][]byte{crl(simulator.Genoa, simulator.CRLOptions{Serials: []int64{ask}})}, nil, "", "not checked", 0},
		{"serial 0 names nobody", g, [][]byte{crl(simulator.Milan, simulator.CRLOptions{Serials: []int64{0}, Number: 7})}, nil, "", "good", 7},
		{"ASVK revoked, VCEK used", g, [][]byte{crl(simulator.Milan, simulator.CRLOptions{Serials: []int64{asvk}, Number: 7})}, nil, "", "good", 7},
		{"ASK revoked, VLEK used", vlek, [][]byte{crl(simulator.Milan, simulator.CRLOptions{Serials: []int64{ask}, Number: 7})}, nil, "", "good", 7},
		{"ASK revoked", g, [][]byte{crl(simulator.Milan, simulator.CRLOptions{Serials: []int64{ask}})}, nil, "revoked", "", 0},
		{"ASK revoked, says the KDS", g, nil, crl(simulator.Milan, simulator.CRLOptions{Serials: []int64{1, ask}}), "revoked", "", 0},
		{"ASVK revoked", vlek, [][]byte{crl(simulator.Milan, simulator.CRLOptions{Serials: []int64{asvk}})}, nil, "revoked", "", 0},
		{"revoked by the older list", g, [][]byte{crl(simulator.Milan, simulator.CRLOptions{Number: 9}), crl(simulator.Milan, simulator.CRLOptions{Serials: []int64{ask}, Number: 4})}, nil, "revoked", "", 0},
		{"revoked by an expired list", g, [][]byte{crl(simulator.Milan, simulator.CRLOptions{Serials: []int64{ask}, ThisUpdate: before.Add(-time.Hour), NextUpdate: before})}, nil, "revoked", "", 0},
		{"expired", g, [][]byte{crl(simulator.Milan, simulator.CRLOptions{ThisUpdate: before.Add(-time.Hour), NextUpdate: before})}, nil, "stale", "", 0},
		{"expires this second", g, [][]byte{crl(simulator.Milan, simulator.CRLOptions{ThisUpdate: before, NextUpdate: now, Number: 7})}, nil, "", "good", 7},
		{"not yet valid", g, [][]byte{crl(simulator.Milan, simulator.CRLOptions{ThisUpdate: after})}, nil, "stale", "", 0},
		{"expired, from the KDS", g, nil, crl(simulator.Milan, simulator.CRLOptions{ThisUpdate: before.Add(-time.Hour), NextUpdate: before}), "stale", "", 0},
		{"newer than the clock, from the KDS", g, nil, crl(simulator.Milan, simulator.CRLOptions{ThisUpdate: after}), "", "not checked", 0},
		{"newer than the clock and revoked, from the KDS", g, nil, crl(simulator.Milan, simulator.CRLOptions{ThisUpdate: after, Serials: []int64{ask}}), "revoked", "", 0},
		{"forged by the ASK in the name of the ARK", g, [][]byte{crl(simulator.Milan, simulator.CRLOptions{IssuedBy: forger})}, nil, "signature", "", 0},
		{"forged, from the KDS", g, nil, crl(simulator.Milan, simulator.CRLOptions{IssuedBy: forger}), "signature", "", 0},
		{"PKCS#1 v1.5", g, [][]byte{crl(simulator.Milan, simulator.CRLOptions{Algorithm: x509.SHA384WithRSA})}, nil, "signature", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := env(t)
			kds := &vendor{given: tc.given, kds: map[string][]byte{}}
			if tc.kds != nil {
				kds.kds["/vcek/v1/Milan/crl"] = tc.kds
			}
			e.Collateral = kds
			d := newDriver(t)
			for range 2 {
				v := check(t, d, tc.guest.evidence(), e, tc.class)
				if tc.class != "" {
					continue
				}
				if got := claimOf(t, v, "crl", "status").Text(); got != tc.status {
					t.Errorf("status %q, want %q", got, tc.status)
				}
				if tc.status == "good" {
					if got := claimOf(t, v, "crl", "number").Uint(); got != tc.number {
						t.Errorf("number %d, want %d", got, tc.number)
					}
					if w := v.Window(); w.NotAfter.After(now.AddDate(0, 0, 180)) {
						t.Errorf("the window %v outlives the list", w)
					}
				}
			}
		})
	}
	t.Run("list with the evidence", func(t *testing.T) {
		ev := g.evidence()
		ev.Endorsements = append(ev.Endorsements, crl(simulator.Milan, simulator.CRLOptions{Serials: []int64{ask}}))
		check(t, newDriver(t), ev, env(t), "revoked")
	})
}
