package vtpm

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// maxContainer bounds evidence in any form, in bytes: an event log of 2 MiB in base64, and the rest.
const maxContainer = 3 << 20

// Forms of evidence.
const (
	FormatKBS         = "kbs-json"     // {"tpm_quote": {…}, "ak_public": "…"} of Trustee's guests
	FormatAttestation = "go-tpm-tools" // the protobuf attest.Attestation
)

// container is evidence with its wrappings taken off. Nothing in it is trusted.
type container struct {
	format string
	ak     attestationKey
	quotes []signedQuote
	want   Want // what the form demands of each quote
	logs   Logs
	cpu    *cpuEvidence // evidence of a CPU TEE that came along
}

type signedQuote struct {
	msg   []byte
	sig   Signature
	given Bank
}

// cpuEvidence is evidence for the driver of that name.
type cpuEvidence struct {
	tee string
	ev  evidence.Evidence
}

// Detect names the form of data, and reports whether it looks like a TPM quote at all.
func Detect(data []byte) (format string, ok bool) {
	if isJSON(data) {
		o, err := members(data)
		if err != nil {
			return "", false
		}
		if inner, err := o.inner(); err == nil && inner != nil {
			if o, err = members(inner); err != nil {
				return "", false
			}
		}
		return FormatKBS, o["ak_public"] != nil && o["tpm_quote"] != nil
	}
	return FormatAttestation, looksLikeAttestation(data)
}

func (d *Driver) unwrap(ev evidence.Evidence) (*container, error) {
	switch {
	case ev.TEE != "" && ev.TEE != Name:
		return nil, fault.New(fault.Unsupported, "evidence of TEE %q was given to the driver of %q", ev.TEE, Name)
	case len(ev.Data) == 0:
		return nil, fault.New(fault.Malformed, "empty evidence")
	case len(ev.Data) > maxContainer:
		return nil, fault.New(fault.Malformed, "evidence of %d bytes; at most %d are read", len(ev.Data), maxContainer)
	}
	read := readAttestation
	if isJSON(ev.Data) {
		read = readKBS
	}
	c, err := read(ev.Data)
	if err != nil {
		return nil, err
	}
	if ev.Format != "" && ev.Format != c.format {
		return nil, fault.New(fault.Malformed, "the evidence is in the form %q, %q was said", c.format, ev.Format)
	}
	if ev.EventLog != nil {
		c.logs.Firmware = ev.EventLog
	}
	c.ak.inters = append(c.ak.inters, ev.Endorsements...)
	return c, d.decodeKey(&c.ak)
}

func isJSON(text []byte) bool {
	t := bytes.TrimLeft(text[:min(len(text), 64)], " \t\r\n")
	return len(t) > 0 && t[0] == '{'
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
	o := object{}
	for _, x := range list {
		if !jsonx.IsNull(x.Raw) {
			o[x.Name] = x.Raw
		}
	}
	return o, nil
}

// inner returns what stands in the wrapping of a KBS client, nil when there is none.
func (o object) inner() ([]byte, error) {
	raw := o["primary_evidence"]
	if raw == nil || raw[0] != '"' {
		return raw, nil
	}
	s, err := jsonx.String(raw)
	return []byte(s), err
}

func (o object) base64(name string) ([]byte, error) {
	if o[name] == nil {
		return nil, fault.New(fault.Malformed, "member %q is missing", name)
	}
	s, err := jsonx.String(o[name])
	if err != nil {
		return nil, fault.Wrap(err, "%s", name)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fault.New(fault.Malformed, "%s is not base64: %w", name, err)
	}
	return b, nil
}

// readKBS reads kbs-evidence.md section 8. Its quote is over PCR 0 to 23 of the SHA-256 bank, nothing else.
func readKBS(text []byte) (*container, error) {
	o, err := members(text)
	if err != nil {
		return nil, err
	}
	if inner, err := o.inner(); err != nil {
		return nil, err
	} else if inner != nil {
		if o, err = members(inner); err != nil {
			return nil, err
		}
	}
	if o["tpm_quote"] == nil {
		return nil, fault.New(fault.Malformed, "JSON without a member \"tpm_quote\" is no evidence of a TPM")
	}
	quote, err := members(o["tpm_quote"])
	if err != nil {
		return nil, fault.Wrap(err, "tpm_quote")
	}
	c := &container{format: FormatKBS, want: Want{Bank: SHA256, Exact: AllPCRs}}
	q := signedQuote{given: Bank{Hash: SHA256}}
	if q.msg, err = quote.base64("message"); err != nil {
		return nil, err
	}
	raw, err := quote.base64("signature")
	if err != nil {
		return nil, err
	}
	if q.sig, err = ParseSignature(raw); err != nil {
		return nil, err
	}
	if err := readValues(&q.given, quote["pcrs"]); err != nil {
		return nil, err
	}
	c.quotes = []signedQuote{q}
	if c.ak.spki, err = o.base64("ak_public"); err != nil {
		return nil, err
	}
	for name, into := range map[string]*[]byte{"event_log": &c.logs.Firmware, "userspace_log": &c.logs.Userspace} {
		if o[name] == nil {
			continue
		}
		if *into, err = o.base64(name); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// decodedKey is a key in SubjectPublicKeyInfo with what is made from it.
type decodedKey struct {
	key  crypto.PublicKey
	spki []byte // in our own encoding, in which keys are compared, not in the sender's
	auth claim.Authority
}

// decodeKey decodes the key of a container, unless it came decoded in a public area or certificate.
func (d *Driver) decodeKey(k *attestationKey) error {
	if k.key != nil {
		return nil
	}
	sum := sha256.Sum256(k.spki)
	x, ok := d.keys.Get(sum)
	if !ok {
		x = &decodedKey{}
		var err error
		if x.key, err = x509.ParsePKIXPublicKey(k.spki); err != nil {
			return fault.New(fault.Malformed, "ak_public: %w", err)
		}
		if x.spki, err = x509.MarshalPKIXPublicKey(x.key); err != nil {
			return fault.New(fault.Unsupported, "ak_public: %w", err)
		}
		if x.auth, err = claim.KeyAuthority(x.key); err != nil {
			return fault.New(fault.Unsupported, "ak_public: %w", err)
		}
		d.keys.Put(sum, x, int64(8*len(k.spki)+2<<10))
	}
	k.key, k.spki, k.auth = x.key, x.spki, x.auth
	return nil
}

// authority is the key under all its names.
func (k *attestationKey) authority() (claim.Authority, error) {
	if k.auth != nil {
		return k.auth, nil
	}
	a, err := claim.KeyAuthority(k.key)
	if err != nil {
		return nil, fault.New(fault.Unsupported, "attestation key: %w", err)
	}
	return a, nil
}

// readValues reads 24 values in hex, in the order of their PCRs.
func readValues(b *Bank, raw []byte) error {
	list, err := jsonx.Array(raw)
	if err != nil {
		return fault.Wrap(err, "pcrs")
	}
	if len(list) != NumPCRs {
		return fault.New(fault.Malformed, "%d PCR values, %d are expected", len(list), NumPCRs)
	}
	all := make([]byte, NumPCRs*b.Hash.Size())
	for i, raw := range list {
		// The array has been checked; what is hex between quotes needs no decoding as text.
		size := b.Hash.Size()
		if len(raw) != 2+2*size || raw[0] != '"' {
			return fault.New(fault.Malformed, "PCR value %d is not %d bytes in hex", i, size)
		}
		v := all[i*size : (i+1)*size : (i+1)*size]
		if _, err := hex.Decode(v, raw[1:len(raw)-1]); err != nil {
			return fault.New(fault.Malformed, "PCR value %d is not hex: %w", i, err)
		}
		b.Values[i] = v
	}
	return nil
}
