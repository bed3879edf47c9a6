package translog

import "crypto/ed25519"

func publicOf(seed []byte) ed25519.PublicKey {
	if len(seed) != ed25519.SeedSize {
		return nil
	}
	return ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
}
