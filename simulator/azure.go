package simulator

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"

	"github.com/assay-tee/assay/internal/fault"
)

// AzureGuest describes a confidential VM of the kind that Azure runs on SEV-SNP: a paravisor at VMPL 0 with a vTPM.
type AzureGuest struct {
	Report   Report          // REPORT_DATA is set to the hash of the runtime data
	AK       *rsa.PrivateKey // attestation key of the vTPM; a new one when nil
	PCRs     [24][32]byte    // SHA-256 bank
	Nonce    []byte          // extraData of the quote
	UserData [64]byte        // user-data of the runtime data
	Version  int             // of the JSON, 1 or 2; 0 is the form without version, of arrays
}

// Azure makes the evidence of g on chip c, as Trustee's guests send it.
func (c *Chip) Azure(g AzureGuest) ([]byte, error) {
	if g.AK == nil {
		var err error
		if g.AK, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return nil, fault.New(fault.Internal, "randomness: %w", err)
		}
	}
	runtime, err := g.runtimeData()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(runtime)
	g.Report.ReportData = [64]byte{}
	copy(g.Report.ReportData[:], sum[:])
	report, err := c.Report(g.Report)
	if err != nil {
		return nil, err
	}
	vcek, err := c.VCEK(g.Report.ReportedTCB)
	if err != nil {
		return nil, err
	}
	msg, sig, err := g.quote()
	if err != nil {
		return nil, err
	}
	return g.render(hclReport(report, runtime), msg, sig, vcek.Raw)
}

func (g *AzureGuest) runtimeData() ([]byte, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	key := map[string]any{"kid": "HCLAkPub", "key_ops": []string{"sign"}, "kty": "RSA", "e": "AQAB", "n": b64(g.AK.N.FillBytes(make([]byte, g.AK.Size())))}
	b, err := json.Marshal(map[string]any{"keys": []any{key}, "user-data": hex.EncodeToString(g.UserData[:]),
		"vm-configuration": map[string]any{"console-enabled": true, "secure-boot": true, "tpm-enabled": true, "vmUniqueId": "00000000-0000-4000-8000-53494D554C41"}})
	if err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	return b, nil
}

// hclReport lays out an HCL report of version 1 in an area of 2600 bytes.
func hclReport(report, runtime []byte) []byte {
	const header, area, head = 32, 1184, 20
	b := make([]byte, max(2600, header+area+head+len(runtime)))
	u32 := func(at int, v int) { binary.LittleEndian.PutUint32(b[at:], uint32(v)) }
	copy(b, "HCLA")
	u32(4, 1)
	u32(8, header+area+head+len(runtime))
	u32(12, 2)
	copy(b[header:], report)
	at := header + area
	u32(at, head+len(runtime))
	u32(at+4, 1)
	u32(at+8, 2)
	u32(at+12, 1)
	u32(at+16, len(runtime))
	copy(b[at+head:], runtime)
	return b
}

// quote makes a TPMS_ATTEST over PCR 0 to 23 of the SHA-256 bank, and its RSASSA signature with SHA-256.
func (g *AzureGuest) quote() (msg, sig []byte, err error) {
	be := binary.BigEndian
	digest := sha256.New()
	for _, v := range g.PCRs {
		digest.Write(v[:])
	}
	b := be.AppendUint32(nil, 0xFF544347)
	b = be.AppendUint16(b, 0x8018)
	b = be.AppendUint16(b, 34)
	b = append(b, 0, 0x0B)
	b = append(b, make([]byte, 32)...)
	b = append(be.AppendUint16(b, uint16(len(g.Nonce))), g.Nonce...)
	b = be.AppendUint64(b, 1000)
	b = be.AppendUint32(b, 1)
	b = be.AppendUint32(b, 0)
	b = append(b, 1)
	b = be.AppendUint64(b, 0x53494D)
	b = be.AppendUint32(b, 1)
	b = append(b, 0, 0x0B, 3, 0xFF, 0xFF, 0xFF)
	b = append(be.AppendUint16(b, 32), digest.Sum(nil)...)
	sum := sha256.Sum256(b)
	sig, err = rsa.SignPKCS1v15(rand.Reader, g.AK, crypto.SHA256, sum[:])
	if err != nil {
		return nil, nil, fault.New(fault.Internal, "signing a quote: %w", err)
	}
	return b, sig, nil
}

func (g *AzureGuest) render(hcl, msg, sig, vcek []byte) ([]byte, error) {
	var doc map[string]any
	if g.Version == 0 {
		var pcrs [][]int
		for _, v := range g.PCRs {
			pcrs = append(pcrs, numbers(v[:]))
		}
		doc = map[string]any{"quote": map[string]any{"signature": numbers(sig), "message": numbers(msg), "pcrs": pcrs},
			"report": numbers(hcl), "vcek": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: vcek}))}
	} else {
		var pcrs []string
		for _, v := range g.PCRs {
			pcrs = append(pcrs, hex.EncodeToString(v[:]))
		}
		b64 := base64.URLEncoding.EncodeToString
		doc = map[string]any{"version": g.Version, "tpm_quote": map[string]any{"signature": hex.EncodeToString(sig), "message": hex.EncodeToString(msg), "pcrs": pcrs},
			"hcl_report": b64(hcl), "vcek": b64(vcek)}
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	return b, nil
}

func numbers(b []byte) []int {
	out := make([]int, len(b))
	for i, v := range b {
		out[i] = int(v)
	}
	return out
}
