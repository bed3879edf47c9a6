package secex

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/internal/sealed"
)

// No published profile maps SE evidence to environments; this class-id is a UUIDv5 (namespace URL) of
// "tag:assay,2026:secex#image", in the manner of specs corim-profiles.md section 6.
var imageClass = claim.Bytes(claim.TagUUID, []byte{0x3e, 0x29, 0xd7, 0x6c, 0x07, 0xa5, 0x5d, 0x95, 0xa0, 0x7b, 0xf1, 0x11, 0xe8, 0xff, 0x20, 0xc6})

// TagsKey is the mkey of the header tags: PLD ‖ ALD ‖ TLD ‖ tag as one value, because they identify an image together
// and never apart.
var TagsKey = claim.Text(claim.TagNone, "se.image_hdr_tags")

// Environment is the environment that statements about SE images speak of.
func Environment() claim.Environment { return claim.Environment{Class: claim.Class{ID: imageClass}} }

func content(s *session, a *answer, add Additional, h *Header, host *HostKey, bound evidence.Bound, env evidence.Env) sealed.Content {
	ect := claim.ECT{
		Environment: claim.Environment{Class: claim.Class{ID: imageClass}, Instance: claim.Bytes(claim.TagBytes, a.cuid)},
		CMType:      claim.CMEvidence,
		Authority:   authority(host),
		Elements:    elements(a, add, h),
	}
	root := sealed.Root{Name: host.Root.Subject.CommonName, SHA256: sha256.Sum256(host.Root.Raw), Simulated: evidence.IsSimulated(host.Root)}
	c := sealed.Content{
		TEE: Name, Product: "IBM Secure Execution", Time: env.Time, ECTs: []claim.ECT{ect}, Root: root, Binding: bound,
		Claims: func() claim.Object { return claims(a, add, h, host) },
		Window: sealed.Window{NotBefore: host.NotBefore, NotAfter: earlier(host.NotAfter, s.expiry)},
		Chain: []sealed.Link{
			{Role: "host key document", Subject: host.Document.Subject.String(), SHA256: sha256.Sum256(host.Document.Raw), NotBefore: host.Document.NotBefore, NotAfter: host.Document.NotAfter},
			{Role: "IBM Z signing key", Subject: host.Signer.Subject.String(), SHA256: sha256.Sum256(host.Signer.Raw), NotBefore: host.Signer.NotBefore, NotAfter: host.Signer.NotAfter},
			{Role: "root", Subject: host.Root.Subject.String(), SHA256: root.SHA256, NotBefore: host.Root.NotBefore, NotAfter: host.Root.NotAfter},
		},
	}
	if root.Simulated {
		c.Unsafe = append(c.Unsafe, "simulator-root")
	}
	if !bound.Bound {
		c.Unsafe = append(c.Unsafe, "unbound")
	}
	if h.DumpAllowed() {
		c.Notes = append(c.Notes, "dump_allowed")
	}
	return c
}

func elements(a *answer, add Additional, h *Header) []claim.Element {
	text := func(s string) claim.ID { return claim.Text(claim.TagNone, "se."+s) }
	raw := func(name, field string, v []byte) claim.Element {
		return claim.Element{Key: text(name), Name: name, Field: field, Values: claim.Values{Raw: &claim.Raw{Value: v}}}
	}
	digest := func(name, field string, alg int64, v []byte) claim.Element {
		return claim.Element{Key: text(name), Name: name, Field: field, Values: claim.Values{Digests: []claim.Digest{{Alg: alg, Value: v}}}}
	}
	out := []claim.Element{
		{Key: TagsKey, Name: "image_hdr_tags", Field: "PLD, ALD, TLD and tag of the SE header", Values: claim.Values{Raw: &claim.Raw{Value: h.Tags[:]}}},
		raw("pcf", "plaintext control flags of the SE header", binary.BigEndian.AppendUint64(nil, h.Control)),
		digest("image_phkh", "additional data", claim.SHA256, add.ImagePHKH),
		digest("attestation_phkh", "additional data", claim.SHA256, add.AttestationPHKH),
		raw("cuid", "configuration UID", a.cuid),
	}
	if add.SecretStoreHash != nil {
		out = append(out, digest("secret_store_hash", "additional data", claim.SHA512, add.SecretStoreHash))
	}
	if add.FirmwareState != nil {
		out = append(out, raw("firmware_state", "additional data", add.FirmwareState))
	}
	return out
}

// authority is the host key in the forms that a statement may name it by: PHKH has no tag of its own, so the document
// and its key.
func authority(host *HostKey) claim.Authority {
	doc := sha256.Sum256(host.Document.Raw)
	spki := sha256.Sum256(host.Document.RawSubjectPublicKeyInfo)
	signer := sha256.Sum256(host.Signer.RawSubjectPublicKeyInfo)
	return claim.Authority{
		claim.Bytes(claim.TagPKIXASN1DERCert, host.Document.Raw),
		claim.DigestID(claim.TagCertThumbprint, claim.Digest{Alg: claim.SHA256, Value: doc[:]}),
		claim.DigestID(claim.TagKeyThumbprint, claim.Digest{Alg: claim.SHA256, Value: spki[:]}),
		claim.DigestID(claim.TagKeyThumbprint, claim.Digest{Alg: claim.SHA256, Value: signer[:]}),
	}
}

func claims(a *answer, add Additional, h *Header, host *HostKey) claim.Object {
	m := func(n string, v claim.Node) claim.Member { return claim.Member{Name: n, Value: v} }
	return claim.Object{
		m("version", claim.U(uint64(h.Version))),
		m("tag", claim.H(h.Tags.Tag())), m("pld", claim.H(h.Tags.PLD())), m("ald", claim.H(h.Tags.ALD())), m("tld", claim.H(h.Tags.TLD())),
		m("image_hdr_tags", claim.H(h.Tags[:])),
		m("image_phkh", opt(add.ImagePHKH)), m("attestation_phkh", opt(add.AttestationPHKH)),
		m("cuid", claim.H(a.cuid)), m("user_data", claim.H(a.userData)), m("report_data", claim.H(a.userData)),
		m("secret_store_hash", opt(add.SecretStoreHash)), m("firmware_state", opt(add.FirmwareState)), m("additional_unrecognised", opt(add.Unrecognised)),
		m("pcf", claim.O(m("raw", claim.S(fmt.Sprintf("%#016x", h.Control))), m("dump_allowed", claim.B(h.DumpAllowed())),
			m("components_unencrypted", claim.B(h.Control>>(63-35)&1 == 1)), m("backup_target_keys", claim.B(h.Control>>(63-62)&1 == 1)))),
		m("encrypted_pages", claim.U(h.EncryptedPages)),
		m("hkd", claim.O(m("serial", claim.S(hex.EncodeToString(host.Document.SerialNumber.Bytes()))),
			m("subject", claim.S(host.Document.Subject.String())),
			m("not_before", claim.S(host.Document.NotBefore.UTC().Format(time.RFC3339))),
			m("not_after", claim.S(host.Document.NotAfter.UTC().Format(time.RFC3339))))),
	}
}
