package intel

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/dcap"
)

// Profiles of the tuples (corim-profiles.md section 1).
const (
	ProfileIntel = "2.16.840.1.113741.1.16.1"
	ProfileTDX   = "tag:assay.example,2026:tdx#1.0.0"
)

// classOID is the class-id 2.16.840.1.113741.1.2.3.<a>.<b> of Intel's profile.
func classOID(a, b byte) claim.ID {
	return claim.Bytes(claim.TagOID, []byte{0x60, 0x86, 0x48, 0x01, 0x86, 0xf8, 0x4d, 0x01, 0x02, 0x03, a, b})
}

// Environments of Intel's profile (corim-profiles.md section 4).
var (
	ClassQE       = classOID(4, 2)
	ClassSEAM     = classOID(4, 3)
	ClassPlatform = classOID(4, 6)
	ClassEnclave  = classOID(5, 1)
)

// Code points of Intel's profile.
const (
	KeyModel      int64 = -71
	KeyISVSVN     int64 = -73
	KeyPCEID      int64 = -80
	KeyMiscSelect int64 = -81
	KeyAttributes int64 = -82
	KeyMRTEE      int64 = -83
	KeyMRSigner   int64 = -84
	KeyISVProdID  int64 = -85
	KeyPIID       int64 = -101
	KeyTCBCompSVN int64 = -125
)

// Ext makes an extension of a value that is already encoded.
func Ext(key int64, cbor []byte) claim.Extension { return claim.Extension{Key: key, CBOR: cbor} }

func appendHead(b []byte, major byte, n uint64) []byte {
	m := major << 5
	switch {
	case n < 24:
		return append(b, m|byte(n))
	case n < 1<<8:
		return append(b, m|24, byte(n))
	case n < 1<<16:
		return append(b, m|25, byte(n>>8), byte(n))
	}
	return append(b, m|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// CBORUint, CBORBytes, CBORText and CBORDigests are the core deterministic encodings that the profile's code points use.
func CBORUint(n uint64) []byte { return appendHead(nil, 0, n) }

// CBORBytes is 560(b).
func CBORBytes(b []byte) []byte {
	return append(appendHead([]byte{0xd9, 0x02, 0x30}, 2, uint64(len(b))), b...)
}

// CBORBare is the byte string b.
func CBORBare(b []byte) []byte { return append(appendHead(nil, 2, uint64(len(b))), b...) }

// CBORText is the text string s.
func CBORText(s string) []byte { return append(appendHead(nil, 3, uint64(len(s))), s...) }

// CBORDigests is a list of one digest.
func CBORDigests(alg int64, value []byte) []byte {
	return append(appendHead([]byte{0x81, 0x82, byte(alg)}, 2, uint64(len(value))), value...)
}

// CBORComponents is an array of 16 unsigned integers.
func CBORComponents(c [16]uint8) []byte {
	b := make([]byte, 1, 33)
	b[0] = 0x90
	for _, v := range c {
		b = appendHead(b, 0, uint64(v))
	}
	return b
}

// Text is the mkey of a name.
func Text(s string) claim.ID { return claim.Text(claim.TagNone, s) }

// Raw, SHA256, SHA384 and Int are values in base code points.
func Raw(b []byte) claim.Values { return claim.Values{Raw: &claim.Raw{Value: b}} }

// SHA256 is one digest of 32 bytes.
func SHA256(b []byte) claim.Values {
	return claim.Values{Digests: []claim.Digest{{Alg: claim.SHA256, Value: b}}}
}

// SHA384 is one digest of 48 bytes.
func SHA384(b []byte) claim.Values {
	return claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: b}}}
}

// Int is an integer.
func Int(n uint64) claim.Values {
	return claim.Values{IntRange: &claim.IntRange{Value: &claim.Int{Mag: n}}}
}

// With returns v with extensions beside its base code points.
func With(v claim.Values, ext ...claim.Extension) claim.Values {
	v.Ext = ext
	return v
}

// Merged is one anonymous element with all extensions of others: a condition of several code points is met by one
// element only, so facts that a statement may ask for together have to stand together too.
func Merged(name, field string, elements []claim.Element) claim.Element {
	m := claim.Element{Name: name, Field: field}
	for _, e := range elements {
		if e.Key.IsZero() {
			m.Values.Ext = append(m.Values.Ext, e.Values.Ext...)
		}
	}
	return m
}

// platformECT is the platform environment as the PCK certificate describes it (corim-profiles.md section 6).
func platformECT(c *Chain) claim.ECT {
	env := claim.Environment{Class: claim.Class{ID: ClassPlatform}}
	p := &c.PCK
	fmspc := hex.EncodeToString(p.FMSPC[:])
	pceid := uint64(p.PCEID[0])<<8 | uint64(p.PCEID[1])
	els := []claim.Element{
		{Name: "pck.components", Field: "SGX extension .2.1 to .2.16", Values: With(Raw(p.Components[:]), Ext(KeyTCBCompSVN, CBORComponents(p.Components)))},
		{Name: "pck.fmspc", Field: "SGX extension .4", Values: With(Raw(p.FMSPC[:]), Ext(KeyModel, CBORText(fmspc)))},
		{Name: "pck.pceid", Field: "SGX extension .3", Values: With(Raw(p.PCEID[:]), Ext(KeyPCEID, CBORText(fmt.Sprintf("%04d", pceid))))},
	}
	if p.Platform {
		env.Instance = claim.Bytes(claim.TagBytes, p.PlatformInstanceID[:])
		els = append(els, claim.Element{Name: "pck.platform_instance_id", Field: "SGX extension .6", Values: With(Raw(p.PlatformInstanceID[:]), Ext(KeyPIID, CBORBare(p.PlatformInstanceID[:])))})
	}
	els = append(els, Merged("platform", "SGX extension", els))
	els = append(els,
		claim.Element{Key: claim.Uint(71), Name: "pck.fmspc.model", Field: "SGX extension .4", Values: claim.Values{Name: &fmspc}},
		claim.Element{Key: claim.Uint(80), Name: "pck.pceid.number", Field: "SGX extension .3", Values: Int(pceid)},
		claim.Element{Key: Text("pce"), Name: "pck.pcesvn", Field: "SGX extension .2.17", Values: claim.Values{SVN: &claim.SVN{Value: uint64(p.PCESVN)}, Ext: []claim.Extension{Ext(KeyISVSVN, CBORUint(uint64(p.PCESVN)))}}},
		claim.Element{Key: Text("pck.config"), Name: "pck.sgx_type", Field: "SGX extension .5", Values: Int(uint64(p.SGXType))})
	if p.Platform {
		for _, f := range []struct {
			name string
			v    bool
		}{{"dynamic_platform", p.DynamicPlatform}, {"cached_keys", p.CachedKeys}, {"smt_enabled", p.SMTEnabled}} {
			els = append(els, claim.Element{Key: Text("pck.config." + f.name), Name: "pck." + f.name, Field: "SGX extension .7",
				Values: claim.Values{Bool: &f.v}})
		}
	}
	return claim.ECT{Environment: env, Elements: els, Authority: c.Authority, Profile: ProfileIntel, CMType: claim.CMEvidence}
}

// Platform returns the platform environment.
func (r *Result) Platform() claim.ECT { return r.Chain.platform }

// PlatformWith returns the platform environment with more elements about it, made once for the bytes that they are
// made from.
func (r *Result) PlatformWith(from []byte, more func() []claim.Element) claim.ECT {
	e := r.Chain.platform
	e.Elements = r.Chain.tdPlatform.get(from, func() []claim.Element { return slices.Concat(e.Elements, more()) })
	return e
}

// QETuple returns the environment of the quoting enclave.
func (r *Result) QETuple() claim.ECT { return r.QE.ect }

// EnclaveElements are the facts of an enclave report that Intel's profile has code points for.
func EnclaveElements(prefix string, r dcap.EnclaveReport) []claim.Element {
	els := []claim.Element{
		{Name: prefix + "mr_enclave", Field: "MRENCLAVE at 64", Values: With(SHA256(r.MREnclave()), Ext(KeyMRTEE, CBORDigests(claim.SHA256, r.MREnclave())))},
		{Name: prefix + "mr_signer", Field: "MRSIGNER at 128", Values: With(SHA256(r.MRSigner()), Ext(KeyMRSigner, CBORDigests(claim.SHA256, r.MRSigner())))},
		{Name: prefix + "isv_prod_id", Field: "ISVPRODID at 256", Values: With(Int(uint64(r.ISVProdID())), Ext(KeyISVProdID, CBORUint(uint64(r.ISVProdID()))))},
		{Name: prefix + "isv_svn", Field: "ISVSVN at 258", Values: claim.Values{SVN: &claim.SVN{Value: uint64(r.ISVSVN())}, Ext: []claim.Extension{Ext(KeyISVSVN, CBORUint(uint64(r.ISVSVN())))}}},
		{Name: prefix + "misc_select", Field: "MISCSELECT at 16", Values: With(Raw(r.MiscSelect()), Ext(KeyMiscSelect, CBORBytes(r.MiscSelect())))},
		{Name: prefix + "attributes", Field: "ATTRIBUTES at 48", Values: With(Raw(r.Attributes()), Ext(KeyAttributes, CBORBytes(r.Attributes())))},
	}
	els = append(els, Merged(prefix+"enclave", "report body", els))
	// The same facts in base code points (corim-profiles.md section 4).
	return append(els,
		claim.Element{Key: claim.Uint(73), Name: prefix + "isv_svn.base", Field: "ISVSVN at 258", Values: claim.Values{SVN: &claim.SVN{Value: uint64(r.ISVSVN())}}},
		claim.Element{Key: claim.Uint(84), Name: prefix + "mr_signer.base", Field: "MRSIGNER at 128", Values: SHA256(r.MRSigner())},
		claim.Element{Key: claim.Uint(85), Name: prefix + "isv_prod_id.base", Field: "ISVPRODID at 256", Values: Int(uint64(r.ISVProdID()))})
}

func qeECT(r dcap.EnclaveReport, c *Chain) claim.ECT {
	// All but REPORT_DATA, which names another attestation key after each boot and is no element.
	els := c.qe.get(r[:320], func() []claim.Element { return EnclaveElements("qe.", dcap.EnclaveReport(bytes.Clone(r))) })
	return claim.ECT{Environment: claim.Environment{Class: claim.Class{ID: ClassQE}}, Elements: els, Authority: c.Authority,
		Profile: ProfileIntel, CMType: claim.CMEvidence}
}
