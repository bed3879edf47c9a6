package azvtpm

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"strconv"

	"github.com/assay-tee/assay/evidence/vtpm"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Layout of the HCL report (tsm-tpm.md section 14), little-endian.
const (
	hwOffset      = 0x020
	hwSize        = 1184
	runtimeHeader = hwOffset + hwSize // 0x4C0
	varOffset     = runtimeHeader + 20
	maxHCL        = 64 << 10 // bytes (performance.md section 11)
)

// Report types of the runtime data.
const (
	typeSNP = 2
	typeTDX = 4
)

// HCL is an HCL report. Its parts are slices of what was parsed; nothing in it is trusted.
type HCL struct {
	Version    uint32
	ReportType uint32
	HWReport   []byte // SNP report, or a TDREPORT in its first 1024 bytes
	Runtime    []byte // JSON runtime data as carried
}

// ParseHCL splits an HCL report. Errors are of class malformed, or unsupported for versions and hashes not known here.
func ParseHCL(b []byte) (*HCL, error) {
	if len(b) < varOffset || len(b) > maxHCL {
		return nil, fault.New(fault.Malformed, "an HCL report of %d bytes; %d to %d are expected", len(b), varOffset, maxHCL)
	}
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	if string(b[:4]) != "HCLA" {
		return nil, fault.New(fault.Malformed, "an HCL report begins with HCLA, not %q", b[:4])
	}
	h := &HCL{Version: u32(4), ReportType: u32(runtimeHeader + 8), HWReport: b[hwOffset:runtimeHeader]}
	size, varSize := u32(runtimeHeader), u32(runtimeHeader+16)
	switch {
	case h.Version != 1 && h.Version != 2:
		return nil, fault.New(fault.Unsupported, "HCL report of version %d; 1 and 2 are known", h.Version)
	case u32(12) != 2:
		return nil, fault.New(fault.Malformed, "HCL report of request type %d", u32(12))
	case u32(16) != 0:
		return nil, fault.New(fault.Malformed, "the paravisor reports status %d instead of a report", u32(16))
	case u32(runtimeHeader+4) != 1:
		return nil, fault.New(fault.Unsupported, "runtime data of version %d; 1 is known", u32(runtimeHeader+4))
	case uint64(varSize) > uint64(len(b)-varOffset):
		return nil, fault.New(fault.Malformed, "runtime data of %d bytes in an HCL report that has %d left", varSize, len(b)-varOffset)
	case uint64(size) != uint64(varSize)+20:
		return nil, fault.New(fault.Malformed, "the sizes of the runtime data, %d and %d, contradict each other", size, varSize)
	case uint64(u32(8)) != hwOffset+hwSize+uint64(size):
		return nil, fault.New(fault.Malformed, "the size of the HCL report, %d, contradicts that of its runtime data", u32(8))
	case h.ReportType != typeSNP && h.ReportType != typeTDX:
		return nil, fault.New(fault.Unsupported, "HCL report of type %d; 2 (SNP) and 4 (TDX) are known", h.ReportType)
	case u32(runtimeHeader+12) != 1:
		return nil, fault.New(fault.Unsupported, "the runtime data is hashed by algorithm %d; 1 (SHA-256) is known", u32(runtimeHeader+12))
	}
	h.Runtime = b[varOffset : varOffset+int(varSize) : varOffset+int(varSize)]
	return h, nil
}

// ReportData is what the CPU's report data must be: SHA-256 of the runtime data as carried, then zeros.
func (h *HCL) ReportData() [64]byte {
	var out [64]byte
	sum := sha256.Sum256(h.Runtime)
	copy(out[:], sum[:])
	return out
}

// Runtime is the decoded runtime data. It is immutable.
type Runtime struct {
	AK       *rsa.PublicKey // HCLAkPub
	EK       *rsa.PublicKey // HCLEkPub, nil when absent
	UserData []byte         // 64 bytes, nil when absent

	Configuration Configuration
}

// Configuration is vm-configuration: statements of the paravisor. What is absent is nil.
type Configuration struct {
	ConsoleEnabled, SecureBoot, TPMEnabled, TPMPersisted, FilteredVPCI *bool
	VMUniqueID, RootCertThumbprint                                     *string
	CurrentTime                                                        *uint64
}

const maxKeys = 16

// ParseRuntime decodes runtime data. Names and values that it does not know are passed over: they are hashed, not needed.
func ParseRuntime(b []byte) (*Runtime, error) {
	o, err := members(b)
	if err != nil {
		return nil, fault.Wrap(err, "runtime data")
	}
	r := &Runtime{}
	keys, err := jsonx.Array(o["keys"])
	if err != nil || len(keys) > maxKeys {
		return nil, fault.New(fault.Malformed, "runtime data without a list of at most %d keys", maxKeys)
	}
	for _, raw := range keys {
		if err := r.key(raw); err != nil {
			return nil, fault.Wrap(err, "runtime data")
		}
	}
	if r.AK == nil {
		return nil, fault.New(fault.Malformed, "the runtime data names no attestation key (HCLAkPub)")
	}
	if raw := o["user-data"]; raw != nil {
		s, err := jsonx.String(raw)
		if err != nil {
			return nil, fault.Wrap(err, "user-data")
		}
		if r.UserData, err = hex.DecodeString(s); err != nil || len(r.UserData) != 64 {
			return nil, fault.New(fault.Malformed, "user-data is not 64 bytes in hex")
		}
	}
	return r, r.Configuration.read(o["vm-configuration"])
}

// key takes the two keys that are used. key_ops says "encrypt" of signing keys in old reports and is not read.
func (r *Runtime) key(raw []byte) error {
	o, err := members(raw)
	if err != nil {
		return err
	}
	kid, err := o.text("kid")
	if err != nil {
		return err
	}
	var into **rsa.PublicKey
	switch kid {
	case "HCLAkPub":
		into = &r.AK
	case "HCLEkPub":
		into = &r.EK
	default:
		return nil
	}
	if *into != nil {
		return fault.New(fault.Malformed, "two keys with the kid %s", kid)
	}
	if kty, err := o.text("kty"); err != nil || kty != "RSA" {
		return fault.New(fault.Unsupported, "%s is a key of kind %q; RSA is known", kid, kty)
	}
	n, err1 := o.base64("n")
	e, err2 := o.base64("e")
	if err1 != nil || err2 != nil || len(n) > 1024 || len(e) == 0 || len(e) > 4 {
		return fault.New(fault.Malformed, "%s is no RSA key", kid)
	}
	k := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	*into = k
	if kid == "HCLAkPub" {
		return vtpm.CheckKey(k)
	}
	return nil
}

func (c *Configuration) read(raw []byte) error {
	if raw == nil {
		return nil
	}
	o, err := members(raw)
	if err != nil {
		return fault.Wrap(err, "vm-configuration")
	}
	for name, into := range map[string]**bool{"console-enabled": &c.ConsoleEnabled, "secure-boot": &c.SecureBoot, "tpm-enabled": &c.TPMEnabled,
		"tpm-persisted": &c.TPMPersisted, "filtered-vpci-devices-allowed": &c.FilteredVPCI} {
		switch string(bytes.TrimSpace(o[name])) {
		case "true", "false":
			v := bytes.TrimSpace(o[name])[0] == 't'
			*into = &v
		}
	}
	for name, into := range map[string]**string{"vmUniqueId": &c.VMUniqueID, "root-cert-thumbprint": &c.RootCertThumbprint} {
		if s, err := jsonx.String(o[name]); err == nil {
			*into = &s
		}
	}
	if v, err := strconv.ParseUint(string(bytes.TrimSpace(o["current-time"])), 10, 64); err == nil {
		c.CurrentTime = &v
	}
	return nil
}

type object map[string][]byte

// members splits an object; null members count as absent.
func members(text []byte) (object, error) {
	if len(text) > maxContainer {
		return nil, fault.New(fault.Malformed, "JSON of %d bytes; at most %d are read", len(text), maxContainer)
	}
	list, err := jsonx.Object(text)
	if err != nil {
		return nil, err
	}
	o := make(object, len(list))
	for _, x := range list {
		if !jsonx.IsNull(x.Raw) {
			o[x.Name] = x.Raw
		}
	}
	return o, nil
}

func (o object) text(name string) (string, error) {
	if o[name] == nil {
		return "", fault.New(fault.Malformed, "member %q is missing", name)
	}
	return jsonx.String(o[name])
}

func (o object) base64(name string) ([]byte, error) {
	s, err := o.text(name)
	if err != nil {
		return nil, err
	}
	return unbase64(s)
}

// unbase64 decodes base64url, with or without padding.
func unbase64(s string) ([]byte, error) {
	for n := 0; n < 2 && len(s) > 0 && s[len(s)-1] == '='; n++ {
		s = s[:len(s)-1]
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fault.New(fault.Malformed, "not base64url: %w", err)
	}
	return b, nil
}
