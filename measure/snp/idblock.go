package snp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
)

// Sizes of the structures of SNP_LAUNCH_FINISH in bytes (SEV-SNP firmware ABI 56860, section 8.18).
const (
	IDBlockSize = 96
	IDAuthSize  = 4096

	idKeySize = 1028 // u32 curve, qx 72, qy 72, zeros
	idSigSize = 512  // r 72, s 72, zeros
	idIntSize = 72   // little-endian

	offIDSig, offIDKey, offAuthorSig, offAuthorKey = 0x40, 0x240, 0x680, 0x880

	algECDSAP384 = 1 // ECDSA P-384 with SHA-384
	curveP384    = 2
)

// DefaultPolicy is the guest policy that both sev-snp-measure and virtee/sev put into ID blocks: SMT allowed, and the
// reserved bit that is always 1.
const DefaultPolicy = 0x30000

// IDBlock is what the guest's owner fixes: a launch fails when measurement or policy differ.
type IDBlock struct {
	LD       measure.SHA384
	FamilyID [16]byte
	ImageID  [16]byte
	GuestSVN uint32
	Policy   uint64
}

// Bytes encodes b, version 1.
func (b IDBlock) Bytes() []byte {
	out := append(slices.Concat(b.LD[:], b.FamilyID[:], b.ImageID[:]), 1, 0, 0, 0)
	out = binary.LittleEndian.AppendUint32(out, b.GuestSVN)
	return binary.LittleEndian.AppendUint64(out, b.Policy)
}

// ParseIDBlock reads the 96 bytes of an ID block. Another version is [fault.Unsupported].
func ParseIDBlock(data []byte) (IDBlock, error) {
	var b IDBlock
	if len(data) != IDBlockSize {
		return b, fault.New(fault.Malformed, "an ID block has %d bytes, this has %d", IDBlockSize, len(data))
	}
	if v := binary.LittleEndian.Uint32(data[80:]); v != 1 {
		return b, fault.New(fault.Unsupported, "ID block of version %d; 1 is known", v)
	}
	copy(b.LD[:], data)
	copy(b.FamilyID[:], data[48:])
	copy(b.ImageID[:], data[64:])
	b.GuestSVN = binary.LittleEndian.Uint32(data[84:])
	b.Policy = binary.LittleEndian.Uint64(data[88:])
	return b, nil
}

// KeyDigest is what the report carries as ID_KEY_DIGEST or AUTHOR_KEY_DIGEST: SHA-384 of the key structure.
func KeyDigest(pub *ecdsa.PublicKey) (measure.SHA384, error) {
	k, err := keyStructure(pub)
	if err != nil {
		return measure.SHA384{}, err
	}
	return sha512.Sum384(k), nil
}

// SignIDBlock makes the ID authentication structure: the ID key signs the block and, if there is an author key, the author
// key signs the ID key. Both are ECDSA P-384. The private keys are not needed again to launch guests.
func SignIDBlock(block []byte, idKey, authorKey crypto.Signer) ([]byte, error) {
	if _, err := ParseIDBlock(block); err != nil {
		return nil, err
	}
	auth := make([]byte, IDAuthSize)
	binary.LittleEndian.PutUint32(auth, algECDSAP384)
	id, err := signStructure(idKey, block, auth[offIDSig:], "ID key")
	if err != nil {
		return nil, err
	}
	copy(auth[offIDKey:], id)
	if authorKey == nil {
		return auth, nil
	}
	binary.LittleEndian.PutUint32(auth[4:], algECDSAP384)
	author, err := signStructure(authorKey, id, auth[offAuthorSig:], "author key")
	if err != nil {
		return nil, err
	}
	copy(auth[offAuthorKey:], author)
	return auth, nil
}

// signStructure writes the signature over msg to sig and returns the structure of the key.
func signStructure(s crypto.Signer, msg, sig []byte, what string) ([]byte, error) {
	pub, ok := s.Public().(*ecdsa.PublicKey)
	if !ok {
		return nil, fault.New(fault.Unsupported, "the %s is a %T; an ECDSA key on P-384 is wanted", what, s.Public())
	}
	k, err := keyStructure(pub)
	if err != nil {
		return nil, fault.Wrap(err, "%s", what)
	}
	sum := sha512.Sum384(msg)
	der, err := s.Sign(rand.Reader, sum[:], crypto.SHA384)
	if err != nil {
		return nil, fault.New(fault.Internal, "signing with the %s: %w", what, err)
	}
	var rs struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &rs); err != nil || len(rest) > 0 {
		return nil, fault.New(fault.Internal, "the %s made a signature that is not ASN.1", what)
	}
	putLE(sig[:idIntSize], rs.R)
	putLE(sig[idIntSize:2*idIntSize], rs.S)
	return k, nil
}

func keyStructure(pub *ecdsa.PublicKey) ([]byte, error) {
	if pub.Curve != elliptic.P384() {
		return nil, fault.New(fault.Unsupported, "a key on %s; ID blocks need P-384", pub.Curve.Params().Name)
	}
	pt, err := pub.Bytes() // 4 ‖ x ‖ y
	if err != nil {
		return nil, fault.New(fault.Malformed, "public key: %w", err)
	}
	k := make([]byte, idKeySize)
	binary.LittleEndian.PutUint32(k, curveP384)
	putLE(k[4:4+idIntSize], new(big.Int).SetBytes(pt[1:49]))
	putLE(k[4+idIntSize:4+2*idIntSize], new(big.Int).SetBytes(pt[49:]))
	return k, nil
}

// putLE writes v little-endian over the whole of dst.
func putLE(dst []byte, v *big.Int) {
	v.FillBytes(dst)
	slices.Reverse(dst)
}

func getLE(src []byte) *big.Int {
	b := slices.Clone(src)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

// IDAuth is what an ID authentication structure proves once [VerifyIDAuth] has accepted it.
type IDAuth struct {
	IDKeyDigest     measure.SHA384
	AuthorKeyDigest measure.SHA384 // zero without author key
	HasAuthor       bool
}

// VerifyIDAuth checks both signatures of an ID authentication structure over block: [fault.Signature] when one does not
// hold. Whether the keys are the right ones is for the caller to decide by their digests.
func VerifyIDAuth(block, auth []byte) (*IDAuth, error) {
	if _, err := ParseIDBlock(block); err != nil {
		return nil, err
	}
	if len(auth) != IDAuthSize {
		return nil, fault.New(fault.Malformed, "an ID authentication structure has %d bytes, this has %d", IDAuthSize, len(auth))
	}
	if a := binary.LittleEndian.Uint32(auth); a != algECDSAP384 {
		return nil, fault.New(fault.Unsupported, "ID key algorithm %d; 1 (ECDSA P-384 with SHA-384) is known", a)
	}
	idKey := auth[offIDKey : offIDKey+idKeySize]
	if err := verifyStructure(idKey, auth[offIDSig:offIDSig+idSigSize], block, "ID key"); err != nil {
		return nil, err
	}
	out := &IDAuth{IDKeyDigest: sha512.Sum384(idKey)}
	authorKey := auth[offAuthorKey : offAuthorKey+idKeySize]
	// COCONUT writes algorithm 1 even without an author key; the empty key is what says that there is none.
	if !slices.ContainsFunc(authorKey, func(b byte) bool { return b != 0 }) {
		return out, nil
	}
	if a := binary.LittleEndian.Uint32(auth[4:]); a != algECDSAP384 {
		return nil, fault.New(fault.Unsupported, "author key algorithm %d; 1 (ECDSA P-384 with SHA-384) is known", a)
	}
	if err := verifyStructure(authorKey, auth[offAuthorSig:offAuthorSig+idSigSize], idKey, "author key"); err != nil {
		return nil, err
	}
	out.HasAuthor, out.AuthorKeyDigest = true, sha512.Sum384(authorKey)
	return out, nil
}

func verifyStructure(key, sig, msg []byte, what string) error {
	if c := binary.LittleEndian.Uint32(key); c != curveP384 {
		return fault.New(fault.Unsupported, "%s on curve %d; 2 (P-384) is known", what, c)
	}
	x, y := getLE(key[4:4+idIntSize]), getLE(key[4+idIntSize:4+2*idIntSize])
	if x.BitLen() > 384 || y.BitLen() > 384 {
		return fault.New(fault.Malformed, "%s is no point of P-384", what)
	}
	pt := make([]byte, 97)
	pt[0] = 4
	x.FillBytes(pt[1:49])
	y.FillBytes(pt[49:])
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), pt)
	if err != nil {
		return fault.New(fault.Malformed, "%s is no point of P-384", what)
	}
	sum := sha512.Sum384(msg)
	if !ecdsa.Verify(pub, sum[:], getLE(sig[:idIntSize]), getLE(sig[idIntSize:2*idIntSize])) {
		return fault.New(fault.Signature, "the signature of the %s does not hold", what)
	}
	return nil
}
