package statement

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
	"github.com/assay-tee/assay/corim/profiles/assaytdx"
	"github.com/assay-tee/assay/internal/fault"
)

// Options of the manifest around predicted values.
type Options struct {
	ID         string // corim id; "" takes a random UUID
	TagID      string // id of the CoMID, by which newer versions supersede it; "" takes the corim id
	TagVersion uint64
	Entity     string // who makes the tag
	Validity   *corim.Validity
}

// Elements that say what a predicted measurement was launched from. They are endorsements: they become claims when the
// measurement that they hang on was accepted.
const (
	MKeyFirmware  = "launch.firmware"     // 2: digests of the firmware file
	MKeyKernel    = "launch.kernel"       // 2
	MKeyInitrd    = "launch.initrd"       // 2
	MKeyCmdline   = "launch.cmdline"      // 11
	MKeyVMM       = "launch.vmm"          // 11
	MKeyVCPUs     = "launch.vcpus"        // 15
	MKeySignature = "launch.vcpu-sig"     // 15
	MKeyFeatures  = "launch.sev-features" // 15
)

// CoRIM encodes p as an unsigned manifest: one CoMID that holds one reference triple per predicted value (and per kind of
// signing key, for SNP), and a conditional endorsement series that says, for each value, what it was launched from. The
// launch is not part of the environment, because the AMD profile allows a class-id only (specs corim-profiles.md section 2.1).
func (p *Prediction) CoRIM(o Options) ([]byte, error) {
	m, err := p.Manifest(o)
	if err != nil {
		return nil, err
	}
	return corim.Encode(m, corim.Options{Profiles: profiles.All()})
}

// Manifest is what [Prediction.CoRIM] encodes.
func (p *Prediction) Manifest(o Options) (*corim.Manifest, error) {
	id := claim.Text(claim.TagNone, o.ID)
	if o.ID == "" {
		u := make([]byte, 16)
		if _, err := rand.Read(u); err != nil {
			return nil, fault.New(fault.Internal, "randomness: %w", err)
		}
		u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80 // RFC 9562 section 5.4
		id = claim.Bytes(claim.TagNone, u)
	}
	tag := corim.CoMID{TagIdentity: corim.TagIdentity{TagID: id, TagVersion: o.TagVersion}}
	if o.TagID != "" {
		tag.TagID = claim.Text(claim.TagNone, o.TagID)
	}
	if o.Entity != "" {
		tag.Entities = []corim.Entity{{Name: o.Entity, Roles: []int64{0, 1}}}
	}
	m := &corim.Manifest{ID: id, Validity: o.Validity}
	var err error
	switch p.Technology {
	case SNP:
		m.Profile = amdsnp.ID
		tag.Triples, err = p.snpTriples()
	case TDX:
		m.Profile = assaytdx.ID
		tag.Triples, err = p.tdxTriples()
	default:
		err = fault.New(fault.Unsupported, "there is no CoRIM profile for %s: its launch digest never appears in evidence of the hardware", p.Technology)
	}
	if err != nil {
		return nil, err
	}
	m.CoMIDs = []corim.CoMID{tag}
	return m, nil
}

func (p *Prediction) snpTriples() (corim.Triples, error) {
	var t corim.Triples
	for _, vlek := range []bool{false, true} {
		env := amdsnp.Class(vlek)
		series := corim.SeriesTriple{Environment: env}
		for _, v := range p.Values {
			if v.Name != "measurement" {
				return t, fault.New(fault.Usage, "%s is a state on the way to a measurement and never appears in a report; it cannot be a reference value", v.Name)
			}
			is := []claim.Element{{Key: claim.Uint(amdsnp.KeyMeasurement), Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: v.Digest}}}}}
			t.Reference = append(t.Reference, corim.ValueTriple{Environment: env, Elements: is})
			if add := p.launchElements(v); len(add) > 0 {
				series.Items = append(series.Items, corim.SeriesItem{Condition: is, Addition: add})
			}
		}
		if len(series.Items) > 0 {
			t.Series = append(t.Series, series)
		}
	}
	return t, nil
}

// tdxTriples makes one reference triple per variant of MRTD, with the registers that were predicted.
func (p *Prediction) tdxTriples() (corim.Triples, error) {
	var t corim.Triples
	var regs []claim.Register
	for i := range 4 {
		r := claim.Register{ID: claim.Uint(uint64(i))}
		for _, v := range p.Values {
			if v.Name == "rtmr"+strconv.Itoa(i) {
				r.Digests = append(r.Digests, claim.Digest{Alg: claim.SHA384, Value: v.Digest})
			}
		}
		switch len(r.Digests) {
		case 0:
		case 1:
			regs = append(regs, r)
		default:
			return t, fault.New(fault.Usage, "RTMR%d has %d alternatives; a reference value needs one", i, len(r.Digests))
		}
	}
	var rtmr []claim.Element
	if len(regs) > 0 {
		rtmr = []claim.Element{{Key: claim.Text(claim.TagNone, assaytdx.MKeyRTMR), Values: claim.Values{Registers: regs}}}
	}
	series := corim.SeriesTriple{Environment: assaytdx.TD()}
	for _, v := range p.Values {
		if v.Name != "mrtd" {
			continue
		}
		is := claim.Element{Key: claim.Text(claim.TagNone, assaytdx.MKeyMRTD), Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: v.Digest}}}}
		t.Reference = append(t.Reference, corim.ValueTriple{Environment: assaytdx.TD(), Elements: append([]claim.Element{is}, rtmr...)})
		if add := p.launchElements(v); len(add) > 0 {
			series.Items = append(series.Items, corim.SeriesItem{Condition: []claim.Element{is}, Addition: add})
		}
	}
	if len(t.Reference) == 0 {
		return t, fault.New(fault.Usage, "no MRTD was predicted, and registers alone say nothing about the firmware: give --firmware, or --mrtd")
	}
	if len(series.Items) > 0 {
		t.Series = append(t.Series, series)
	}
	return t, nil
}

// launchElements says what the value v was launched from.
func (p *Prediction) launchElements(v Value) []claim.Element {
	var out []claim.Element
	add := func(key string, val claim.Values) {
		out = append(out, claim.Element{Key: claim.Text(claim.TagNone, key), Values: val})
	}
	for _, f := range []struct{ role, key string }{{"firmware", MKeyFirmware}, {"kernel", MKeyKernel}, {"initrd", MKeyInitrd}} {
		if in := p.input(f.role); in != nil {
			add(f.key, claim.Values{Digests: fileDigests(in.Digests)})
		}
	}
	for _, f := range []struct{ param, key string }{{"append", MKeyCmdline}, {"vmm_type", MKeyVMM}} {
		if s := p.param(f.param); s != "" {
			add(f.key, claim.Values{Name: &s})
		}
	}
	if v.VCPUs > 0 {
		add(MKeyVCPUs, intValue(uint64(v.VCPUs)))
	}
	for _, f := range []struct{ param, key string }{{"vcpu_sig", MKeySignature}, {"guest_features", MKeyFeatures}} {
		if n, err := strconv.ParseUint(p.param(f.param), 0, 64); err == nil {
			add(f.key, intValue(n))
		}
	}
	return out
}

func intValue(n uint64) claim.Values {
	i := claim.Int{Mag: n}
	return claim.Values{IntRange: &claim.IntRange{Value: &i}}
}

func fileDigests(d Digests) []claim.Digest {
	var out []claim.Digest
	for _, x := range []struct {
		alg int64
		hex string
	}{{claim.SHA256, d.SHA256}, {claim.SHA384, d.SHA384}} {
		if b, err := hex.DecodeString(x.hex); err == nil && len(b) > 0 {
			out = append(out, claim.Digest{Alg: x.alg, Value: b})
		}
	}
	return out
}
