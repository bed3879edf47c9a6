package oracle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/kds"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/validate"
	"github.com/google/go-sev-guest/verify"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/snp"
)

var at = time.Date(2026, 7, 15, 0, 0, 0, 0, time.UTC)

// input is a report with the certificate that is to verify it.
type input struct {
	name        string
	report, vek []byte
	mutation    string // "" for the original
}

// vectors are all reports of the manifest that come with a VEK.
func vectors(t testing.TB) (out []input) {
	t.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: nothing to compare")
	}
	dir = filepath.Join(dir, "snp")
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var m struct {
		Files []struct {
			Path string
			VEK  *string
		}
	}
	if err := json.Unmarshal(read("MANIFEST.json"), &m); err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Files {
		if strings.HasPrefix(f.Path, "reports/") && f.VEK != nil {
			out = append(out, input{name: f.Path, report: read(f.Path), vek: read(*f.VEK)})
		}
	}
	out = append(out, input{name: "trustee/snp/test-report.bin", report: read("../trustee/snp/test-report.bin"), vek: read("../trustee/snp/test-vcek.der")})
	return out
}

func ours(d *snp.Driver, in input) error {
	_, err := d.Authenticate(context.Background(), evidence.Evidence{Data: in.report, Endorsements: [][]byte{in.vek}},
		evidence.Env{Time: at, Binding: evidence.UnboundUnsafe(), Anchors: evidence.BuiltinAnchors()})
	return err
}

// theirs is what a careful user of go-sev-guest does: verify, then validate, which alone compares the certificate with
// the report; every policy that we leave to stage 4 is open.
func theirs(in input) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	report, err := abi.ReportToProto(in.report)
	if err != nil {
		return err
	}
	a := &spb.Attestation{Report: report, CertificateChain: &spb.CertificateChain{VcekCert: in.vek}}
	if report.Version < 3 {
		a.Product = &spb.SevProduct{Name: spb.SevProduct_SEV_PRODUCT_MILAN, MachineStepping: nil}
	}
	o := verify.DefaultOptions()
	o.DisableCertFetching, o.Now, o.Product = true, at, a.Product
	if err := verify.SnpAttestation(a, o); err != nil {
		return err
	}
	return validate.SnpAttestation(a, &validate.Options{
		GuestPolicy:               abi.SnpPolicy{SMT: true, MigrateMA: true, Debug: true, CXLAllowed: true},
		PermitProvisionalFirmware: true, MinimumTCB: kds.TCBParts{}, MinimumLaunchTCB: kds.TCBParts{},
	})
}

// The known differences. In all of them ours accepts real reports of real machines.
const (
	whyTurin = "Turin: go-sev-guest v0.15.0 knows neither its fmcSPL nor its 8-byte hwID (issues 153, 165)"
	whySiena = "Siena and Bergamo: go-sev-guest v0.15.0 does not know CPUID 19/A0"
)

// why gives the reason for a known difference, or "".
func why(in input, ours error) string {
	r := in.report
	switch {
	case ours == nil && r[0x188] == 0x1A:
		return whyTurin
	case ours == nil && r[0x188] == 0x19 && r[0x189] >= 0xA0:
		return whySiena
	}
	return ""
}

// mutate makes one change; what kind, rnd decides.
func mutate(rnd *rand.Rand, in input, all []input) input {
	in.report, in.vek = slices.Clone(in.report), slices.Clone(in.vek)
	flip := func(b []byte, from, to int) string {
		i, bit := from+rnd.IntN(to-from), rnd.IntN(8)
		b[i] ^= 1 << bit
		return fmt.Sprintf("bit %d of byte %#x", bit, i)
	}
	other := all[rnd.IntN(len(all))]
	switch rnd.IntN(10) {
	case 0, 1, 2:
		in.mutation = "report, " + flip(in.report, 0, 0x2A0)
	case 3:
		in.mutation = "signature, " + flip(in.report, 0x2A0, 0x330)
	case 4:
		in.mutation = "tail, " + flip(in.report, 0x330, snp.ReportSize)
	case 5, 6:
		in.mutation = "certificate, " + flip(in.vek, 0, len(in.vek))
	case 7:
		in.mutation, in.vek = "certificate of "+other.name, slices.Clone(other.vek)
	case 8:
		n := rnd.IntN(len(in.report))
		in.mutation, in.report = fmt.Sprintf("cut to %d bytes", n), in.report[:n]
	case 9:
		from := rnd.IntN(0x2A0 - 16)
		copy(in.report[from:from+16], other.report[from:])
		in.mutation = fmt.Sprintf("bytes %#x to %#x from %s", from, from+16, other.name)
	}
	return in
}

// TestSNPAgainstGoSEVGuest compares the verdicts on all vectors and on 1,000 mutations of them.
func TestSNPAgainstGoSEVGuest(t *testing.T) {
	all := vectors(t)
	d, err := snp.New(snp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1184, 672))
	inputs := slices.Clone(all)
	for len(inputs) < len(all)+1000 {
		if m := mutate(rnd, all[rnd.IntN(len(all))], all); !slices.ContainsFunc(all, func(o input) bool { return bytes.Equal(o.report, m.report) && bytes.Equal(o.vek, m.vek) }) {
			inputs = append(inputs, m)
		}
	}
	reasons, accepted := map[string]int{}, 0
	for _, in := range inputs {
		us, them := ours(d, in), theirs(in)
		if us == nil {
			accepted++
		}
		if (us == nil) == (them == nil) {
			continue
		}
		reason := why(in, us)
		if reason == "" {
			t.Errorf("%s (%s): ours %v, theirs %v", in.name, in.mutation, us, them)
		}
		reasons[reason]++
	}
	for _, reason := range []string{whyTurin, whySiena} {
		if reasons[reason] == 0 {
			t.Errorf("no difference any more: %s", reason)
		}
	}
	t.Logf("%d inputs, %d accepted by us", len(inputs), accepted)
	for r, n := range reasons {
		t.Logf("%4d × %s", n, r)
	}
}

// TestSNPParseAgainstGoSEVGuest compares the decoded fields.
func TestSNPParseAgainstGoSEVGuest(t *testing.T) {
	for _, in := range vectors(t) {
		r, err := snp.Parse(in.report)
		if err != nil {
			t.Errorf("%s: %v", in.name, err)
			continue
		}
		p, err := abi.ReportToProto(in.report)
		if err != nil {
			t.Logf("%s: theirs cannot parse: %v", in.name, err)
			continue
		}
		for name, same := range map[string]bool{
			"version": r.Version == p.Version, "guest svn": r.GuestSVN == p.GuestSvn, "policy": uint64(r.Policy) == p.Policy,
			"family id": bytes.Equal(r.FamilyID[:], p.FamilyId), "image id": bytes.Equal(r.ImageID[:], p.ImageId), "vmpl": r.VMPL == p.Vmpl,
			"platform info": uint64(r.PlatformInfo) == p.PlatformInfo, "key info": uint32(r.KeyInfo) == p.SignerInfo,
			"report data": bytes.Equal(r.ReportData[:], p.ReportData), "measurement": bytes.Equal(r.Measurement[:], p.Measurement),
			"host data": bytes.Equal(r.HostData[:], p.HostData), "id key": bytes.Equal(r.IDKeyDigest[:], p.IdKeyDigest),
			"author key": bytes.Equal(r.AuthorKeyDigest[:], p.AuthorKeyDigest), "report id": bytes.Equal(r.ReportID[:], p.ReportId),
			"report id ma": bytes.Equal(r.ReportIDMA[:], p.ReportIdMa), "chip id": bytes.Equal(r.ChipID[:], p.ChipId),
			"current tcb": tcb(r.CurrentTCB) == p.CurrentTcb, "reported tcb": tcb(r.ReportedTCB) == p.ReportedTcb,
			"committed tcb": tcb(r.CommittedTCB) == p.CommittedTcb, "launch tcb": tcb(r.LaunchTCB) == p.LaunchTcb,
			"current build": uint32(r.Current.Build) == p.CurrentBuild, "current minor": uint32(r.Current.Minor) == p.CurrentMinor, "current major": uint32(r.Current.Major) == p.CurrentMajor,
			"committed build": uint32(r.Committed.Build) == p.CommittedBuild, "committed minor": uint32(r.Committed.Minor) == p.CommittedMinor, "committed major": uint32(r.Committed.Major) == p.CommittedMajor,
			"cpuid": p.Version < 3 || abi.FmsToCpuid1Eax(r.CPUID.Family, r.CPUID.Model, r.CPUID.Stepping) == p.Cpuid1EaxFms,
		} {
			if !same {
				t.Errorf("%s: %s differs", in.name, name)
			}
		}
	}
}

func tcb(t snp.TCB) (v uint64) {
	for i, b := range t {
		v |= uint64(b) << (8 * i)
	}
	return v
}

// BenchmarkSNPCold is a whole authentication without any cache, ours by turns with theirs. x-peer is to be at most 1.
func BenchmarkSNPCold(b *testing.B) {
	all := vectors(b)
	i := slices.IndexFunc(all, func(in input) bool { return strings.Contains(in.name, "genoa-v3-8d8bfb3e540d") })
	in := all[i]
	d, err := snp.New(snp.Config{CacheBytes: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var mine, peer []time.Duration
	for b.Loop() {
		t0 := time.Now()
		if err := ours(d, in); err != nil {
			b.Fatal(err)
		}
		mine = append(mine, time.Since(t0))
		b.StopTimer()
		t0 = time.Now()
		if err := theirs(in); err != nil {
			b.Fatal(err)
		}
		peer = append(peer, time.Since(t0))
		b.StartTimer()
	}
	slices.Sort(mine)
	slices.Sort(peer)
	b.ReportMetric(float64(mine[len(mine)/2])/float64(peer[len(peer)/2]), "x-peer")
}
