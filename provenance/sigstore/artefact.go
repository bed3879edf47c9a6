package sigstore

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/hex"

	"github.com/assay-tee/assay/provenance/intoto"
)

type asn1OID = asn1.ObjectIdentifier

// All gives every digest of a that is known or can be computed.
func (a *Artefact) All() intoto.Digests {
	if a.Bytes == nil {
		return a.Digests
	}
	s256, s384, s512 := sha256.Sum256(a.Bytes), sha512.Sum384(a.Bytes), sha512.Sum512(a.Bytes)
	return intoto.Digests{"sha256": hex.EncodeToString(s256[:]), "sha384": hex.EncodeToString(s384[:]), "sha512": hex.EncodeToString(s512[:])}
}
