package secex

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/binary"
	"io"

	"github.com/assay-tee/assay/internal/fault"
)

// Kinds of user data in an add-secret request: two bytes behind the magic. The Ultravisor does not look at user data;
// software in the guest checks the signature, so that a secret can be told from one that somebody else added.
const (
	userDataNone     = 0
	userDataUnsigned = 1
	userDataP521     = 2
	userDataRSA2048  = 3
	userDataRSA3072  = 4

	offASKind      = 0x06
	userDataSize   = 0x200
	offP521Sig     = 0x100
	maxP521Sig     = 139
	offP521SigSize = 0x190
)

// userDataForm says where data and signature of a kind lie within the 512 bytes.
func userDataForm(kind uint16) (data, sigAt, sigSize int, ok bool) {
	switch kind {
	case userDataUnsigned:
		return userDataSize, 0, 0, true
	case userDataP521:
		return offP521Sig, offP521Sig, userDataSize - offP521Sig, true
	case userDataRSA2048:
		return 256, 256, 256, true
	case userDataRSA3072:
		return 128, 128, 384, true
	}
	return 0, 0, 0, false
}

// kindOf is the kind of user data that a key signs: none is unsigned.
func kindOf(pub crypto.PublicKey) (uint16, error) {
	switch k := pub.(type) {
	case nil:
		return userDataUnsigned, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P521() {
			return userDataP521, nil
		}
	case *rsa.PublicKey:
		switch k.N.BitLen() {
		case 2048:
			return userDataRSA2048, nil
		case 3072:
			return userDataRSA3072, nil
		}
	}
	return 0, fault.New(fault.Unsupported, "user data is signed with EC P-521, RSA-2048 or RSA-3072 and no other key")
}

// signUserData puts the signature into a request that ends with its encrypted part, without the tag: "the signature area
// zeroed and the encrypted area in its encrypted form" (specs ibm-se.md section 9).
func signUserData(request []byte, key crypto.Signer, random io.Reader) error {
	kind, err := kindOf(key.Public())
	if err != nil {
		return err
	}
	_, at, size, _ := userDataForm(kind)
	area := request[offASUserData+at : offASUserData+at+size]
	sum := sha512.Sum512(request)
	var opts crypto.SignerOpts = crypto.SHA512
	if kind != userDataP521 {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA512}
	}
	sig, err := key.Sign(random, sum[:], opts)
	if err != nil {
		return fault.New(fault.Internal, "signature of the user data: %w", err)
	}
	copy(area, sig)
	if kind == userDataP521 {
		binary.BigEndian.PutUint16(area[offP521SigSize-offP521Sig:], uint16(len(sig)))
	}
	return nil
}

// UserData returns the user data of an add-secret request, nil for none, in the full length of its kind. With a key it
// must be signed by it: class signature; user data that nothing signs is then refused too.
func UserData(request []byte, key crypto.PublicKey) ([]byte, error) {
	if len(request) < offASSlots+gcmTagSize || len(request) > maxAddSecret || string(request[:offASKind]) != addSecretMagic ||
		int64(binary.BigEndian.Uint32(request[offLength:])) != int64(len(request)) {
		return nil, fault.New(fault.Malformed, "not an add-secret request: it starts with %s and has the length that it names", addSecretMagic)
	}
	kind := binary.BigEndian.Uint16(request[offASKind:])
	if kind == userDataNone {
		if key != nil {
			return nil, fault.New(fault.Signature, "the request has no user data, hence no signature")
		}
		return nil, nil
	}
	dataLen, at, size, ok := userDataForm(kind)
	if !ok {
		return nil, fault.New(fault.Unsupported, "user data of kind %d is not known", kind)
	}
	data := bytes.Clone(request[offASUserData : offASUserData+dataLen])
	if key == nil {
		return data, nil
	}
	if want, err := kindOf(key); err != nil {
		return nil, err
	} else if want != kind {
		return nil, fault.New(fault.Signature, "the user data is of kind %d; this key signs kind %d", kind, want)
	}
	signed := bytes.Clone(request[:len(request)-gcmTagSize])
	area := signed[offASUserData+at : offASUserData+at+size]
	sig := bytes.Clone(area)
	clear(area)
	sum := sha512.Sum512(signed)
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		n := int(binary.BigEndian.Uint16(sig[offP521SigSize-offP521Sig:]))
		if n > maxP521Sig {
			return nil, fault.New(fault.Malformed, "a signature of %d bytes; at most %d are possible", n, maxP521Sig)
		}
		// What lies around the signature must be zero, or the request could be changed without anybody noticing.
		if !zero(sig[n:offP521SigSize-offP521Sig]) || !zero(sig[offP521SigSize-offP521Sig+2:]) || !ecdsa.VerifyASN1(k, sum[:], sig[:n]) {
			return nil, errUserDataSignature()
		}
	case *rsa.PublicKey:
		if rsa.VerifyPSS(k, crypto.SHA512, sum[:], sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}) != nil {
			return nil, errUserDataSignature()
		}
	}
	return data, nil
}

func errUserDataSignature() error {
	return fault.New(fault.Signature, "the signature of the user data does not hold under this key")
}

// putUserData writes user data and its kind into a request.
func putUserData(b, data []byte, key crypto.Signer) error {
	if data == nil && key == nil {
		return nil
	}
	var pub crypto.PublicKey
	if key != nil {
		pub = key.Public()
	}
	kind, err := kindOf(pub)
	if err != nil {
		return err
	}
	if most, _, _, _ := userDataForm(kind); len(data) > most {
		return fault.New(fault.Usage, "%d bytes of user data; with this signature at most %d fit", len(data), most)
	}
	binary.BigEndian.PutUint16(b[offASKind:], kind)
	copy(b[offASUserData:offASUserData+userDataSize], data)
	return nil
}

// sealWithUserData encrypts what is behind head, and once more when the signature over the encrypted form is in place:
// the ciphertext stays, only the tag changes, and the first tag is thrown away.
func sealWithUserData(b, plain []byte, cfg *AddSecretConfig) ([]byte, error) {
	g, err := newGCM(cfg.key)
	if err != nil {
		return nil, err
	}
	out := g.Seal(bytes.Clone(b), cfg.iv, plain, b)
	if cfg.UserDataKey == nil {
		return out, nil
	}
	if err := signUserData(out[:len(out)-gcmTagSize], cfg.UserDataKey, rand.Reader); err != nil {
		return nil, err
	}
	head := out[:len(b)]
	return g.Seal(bytes.Clone(head), cfg.iv, plain, head), nil
}
