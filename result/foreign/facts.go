package foreign

import (
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
)

// facts reads what the kinds have in common, and refuses a token that is not of its kind.
func (t *Token) facts() error {
	switch t.Kind {
	case MAA:
		t.maa()
	case ConfidentialSpace:
		t.confidentialSpace()
	case TrustAuthority:
		t.trustAuthority()
	}
	if t.TEE == "" {
		return fault.New(fault.Malformed, "the token names no TEE in the way of %s", t.Kind)
	}
	return nil
}

func text(o claim.Object, name string) string {
	n, _ := o.Get(name)
	if n.Kind != claim.NodeText {
		return ""
	}
	return n.Text()
}

func flag(o claim.Object, name string) *bool {
	n, ok := o.Get(name)
	if !ok || n.Kind != claim.NodeBool {
		return nil
	}
	b := n.Bool()
	return &b
}

func is(b bool) *bool { return &b }

// maa: for a confidential VM that attested as a guest the CPU's claims are in x-ms-isolation-tee, else at the top.
func (t *Token) maa() {
	o := t.Claims
	t.SecureBoot = flag(o, "secureboot")
	if in, ok := o.Get("x-ms-isolation-tee"); ok {
		o = in.Object()
	}
	t.TEE = text(o, "x-ms-attestation-type")
	for _, prefix := range []string{"x-ms-sevsnpvm-", "x-ms-tdx-", "tdx_", "x-ms-sgx-"} {
		for name, into := range map[string]*string{prefix + "launchmeasurement": &t.Measurement, prefix + "mrtd": &t.Measurement, prefix + "mrenclave": &t.Measurement} {
			if v := text(o, name); v != "" && *into == "" {
				*into = v
			}
		}
		for _, name := range []string{prefix + "is-debuggable", prefix + "td-attributes-debug"} {
			if v := flag(o, name); v != nil && t.Debug == nil {
				t.Debug = v
			}
		}
	}
	if s := text(o, "x-ms-compliance-status"); s != "" {
		t.Compliant = is(s == "azure-compliant-cvm")
	}
}

func (t *Token) confidentialSpace() {
	o := t.Claims
	t.TEE = text(o, "hwmodel")
	t.SecureBoot = flag(o, "secboot")
	if d := text(o, "dbgstat"); d != "" {
		t.Debug = is(d != "disabled-since-boot")
	}
	if text(o, "swname") != "" {
		t.Compliant = is(text(o, "swname") == "CONFIDENTIAL_SPACE" && t.Debug != nil && !*t.Debug)
	}
	if sub, ok := o.Get("submods"); ok {
		if c, ok := sub.Object().Get("container"); ok {
			t.Measurement = text(c.Object(), "image_digest")
		}
	}
}

// trustAuthority: claims are at the top, or below the TEE's name in newer tokens.
func (t *Token) trustAuthority() {
	o := t.Claims
	t.TEE = strings.ToLower(text(o, "attester_type"))
	for _, tee := range []string{"tdx", "sgx"} {
		in := o
		if n, ok := o.Get(tee); ok {
			in = n.Object()
		}
		m := text(in, tee+"_mrtd")
		if tee == "sgx" {
			m = text(in, "sgx_mrenclave")
		}
		if m == "" {
			continue
		}
		if t.TEE == "" {
			t.TEE = tee
		}
		t.Measurement, t.Debug = m, flag(in, tee+"_is_debuggable")
		if s := text(in, "attester_tcb_status"); s != "" {
			t.Compliant = is(s == "UpToDate")
		}
	}
}
