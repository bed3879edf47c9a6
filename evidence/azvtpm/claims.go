package azvtpm

import (
	"encoding/base64"
	"slices"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/internal/sealed"
	"github.com/assay-tee/assay/evidence/vtpm"
)

// facts are what authenticated evidence says. They are immutable once sealed.
type facts struct {
	driver        *Driver
	hcl           *HCL
	hash          [32]byte // SHA-256 of the runtime data
	runtime       *runtime
	quote         *vtpm.Quote
	userDataBound bool
	cpu           *evidence.Verified // nil when inspected
	boot          *vtpm.Boot
}

func m(name string, n claim.Node) claim.Member { return claim.Member{Name: name, Value: n} }

func (f *facts) content(env evidence.Env, bound evidence.Bound) sealed.Content {
	cpu := f.cpu
	out := sealed.Content{TEE: f.driver.name, Product: cpu.Product(), Time: env.Time, Root: cpu.Root(), Chain: cpu.Chain(), Window: cpu.Window(),
		Binding: bound, Unsafe: slices.Clone(cpu.Unsafe()), Claims: f.claims, Parts: []sealed.Part{{Label: f.driver.part, Verified: cpu}}}
	if !bound.Bound {
		out.Unsafe = append(out.Unsafe, "unbound")
	}
	if !f.userDataBound {
		out.Notes = append(out.Notes, "user_data_unbound")
	}
	els := f.quote.Elements()
	conf := f.runtime.Configuration
	if id := conf.VMUniqueID; id != nil {
		els = append(els, claim.Element{Key: claim.Text(claim.TagNone, "azure.vm-unique-id"), Name: "vm_unique_id", Field: "vm-configuration.vmUniqueId",
			Values: claim.Values{Serial: id}})
	}
	if sb := conf.SecureBoot; sb != nil {
		els = append(els, claim.Element{Key: claim.Text(claim.TagNone, "azure.secure-boot"), Name: "secure_boot", Field: "vm-configuration.secure-boot",
			Values: claim.Values{Bool: sb}})
	}
	class := claim.Class{ID: vtpm.ClassTPM, Vendor: claim.Some("Microsoft"), Model: claim.Some(f.driver.name)}
	out.ECTs = []claim.ECT{{Environment: claim.Environment{Class: class, Instance: claim.Bytes(claim.TagBytes, f.runtime.spki[:])}, Elements: els,
		Authority: slices.Concat(f.runtime.authority, cpu.ECTs()[0].Authority), Profile: vtpm.ProfileTPM, CMType: claim.CMEvidence}}
	return out
}

// claims are documented in doc.go.
func (f *facts) claims() claim.Object {
	q := f.quote
	pcrs := q.Bank.PCRClaims()
	o := slices.Clone(pcrs)
	o = append(o, q.Claims()...)
	o = append(o,
		m("ak_public_sha256", claim.H(f.runtime.spki[:])),
		m("ak_trust", claim.S(vtpm.TrustCPU)),
		m("ak_rooted", claim.B(true)),
		m("hcl_version", claim.U(uint64(f.hcl.Version))),
		m("runtime_data_sha256", claim.H(f.hash[:])),
		m("vm_configuration", f.configuration()),
		m("user_data", optHex(f.runtime.UserData)),
		m("user_data_bound", claim.B(f.userDataBound)),
		m("tpm", claim.O(pcrs...)),
		m("report_data", claim.H(q.ExtraData)),
		m("init_data", optHex(q.Bank.Values[8])),
	)
	o = append(o, f.boot.Claims()...)
	if f.cpu == nil {
		return o
	}
	cpu := f.cpu.Claims()
	o = append(o, m("cpu", claim.O(cpu...)))
	if f.driver.kind == typeSNP {
		return append(o, trusteeSNP(cpu)...)
	}
	if q, ok := cpu.Get("quote"); ok {
		o = append(o, m("quote", q))
	}
	return o
}

func (f *facts) configuration() claim.Node {
	c := f.runtime.Configuration
	flag := func(b *bool) claim.Node {
		if b == nil {
			return claim.Null()
		}
		return claim.B(*b)
	}
	text := func(s *string) claim.Node {
		if s == nil {
			return claim.Null()
		}
		return claim.S(*s)
	}
	now := claim.Null()
	if c.CurrentTime != nil {
		now = claim.U(*c.CurrentTime)
	}
	return claim.O(m("console_enabled", flag(c.ConsoleEnabled)), m("secure_boot", flag(c.SecureBoot)), m("tpm_enabled", flag(c.TPMEnabled)),
		m("tpm_persisted", flag(c.TPMPersisted)), m("filtered_vpci_devices_allowed", flag(c.FilteredVPCI)), m("vm_unique_id", text(c.VMUniqueID)),
		m("root_cert_thumbprint", text(c.RootCertThumbprint)), m("current_time", now))
}

// trusteeSNP are the claims that policies written for Trustee use (kbs-evidence.md section 7.2): numbers and booleans as
// text, the measurement in base64.
func trusteeSNP(cpu claim.Object) claim.Object {
	var o claim.Object
	for _, name := range []string{"policy_abi_major", "policy_abi_minor", "policy_smt_allowed", "policy_migrate_ma", "policy_debug_allowed", "policy_single_socket",
		"reported_tcb_bootloader", "reported_tcb_tee", "reported_tcb_snp", "reported_tcb_microcode", "platform_tsme_enabled", "platform_smt_enabled"} {
		if v, ok := cpu.Get(name); ok {
			o = append(o, m(name, claim.S(v.String())))
		}
	}
	if v, ok := cpu.Get("measurement"); ok {
		o = append(o, m("measurement", claim.S(base64.StdEncoding.EncodeToString(v.Bytes()))))
	}
	return o
}

func optHex(b []byte) claim.Node {
	if b == nil {
		return claim.Null()
	}
	return claim.H(b)
}
