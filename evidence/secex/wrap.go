package secex

import (
	"context"
	"crypto/ecdh"
	"crypto/subtle"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// MaxSecret implements evidence.SecretWrapper.
func (d *Driver) MaxSecret() int { return maxPlaintextSecret }

// WrapSecret implements evidence.SecretWrapper: an add-secret request for a plaintext secret with the id
// [SecretID](req.Name). It is wrapped to the one host key that answered, tied to the header tags of the image that was
// measured and to the configuration UID: all three as the Ultravisor's measurement covers them. Whether the document of
// the host key still holds is judged again.
func (d *Driver) WrapSecret(ctx context.Context, v *evidence.Verified, req evidence.SecretRequest) ([]byte, error) {
	if !v.Valid() || v.TEE() != Name {
		return nil, fault.New(fault.Unsupported, "only evidence of Secure Execution names a guest that an add-secret request can be made for")
	}
	if req.Time.IsZero() || req.Anchors == nil {
		return nil, fault.New(fault.Internal, "an add-secret request needs a clock and anchors")
	}
	c := v.Claims()
	tags, err := hexClaim(c, "image_hdr_tags", tagsSize)
	if err != nil {
		return nil, err
	}
	cuid, err := hexClaim(c, "cuid", cuidSize)
	if err != nil {
		return nil, err
	}
	answered, err := hexClaim(c, "attestation_phkh", phkhSize)
	if err != nil {
		return nil, err
	}
	mat, err := d.material(ctx, req.Collateral, req.Anchors, req.Time)
	if err != nil {
		return nil, err
	}
	cfg := AddSecretConfig{Tags: (*HeaderTags)(tags), CUID: cuid, Type: SecretPlaintext, ID: SecretID(req.Name)}
	for _, h := range mat.hosts {
		if subtle.ConstantTimeCompare(h.Hash[:], answered) == 1 {
			cfg.HostKeys = []*ecdh.PublicKey{h.Key}
		}
	}
	if cfg.HostKeys == nil {
		return nil, fault.New(fault.Signature, "the host key %x that answered does not belong to a verified host key document any more", answered)
	}
	if cfg.Secret, err = PlaintextSecret(req.Secret); err != nil {
		return nil, err
	}
	defer clear(cfg.Secret)
	return NewAddSecretRequest(cfg)
}

func hexClaim(c claim.Object, name string, size int) ([]byte, error) {
	n, ok := c.Get(name)
	if ok && n.Kind == claim.NodeHex {
		if b := n.Bytes(); len(b) == size {
			return b, nil
		}
	}
	return nil, fault.New(fault.Unsupported, "the evidence has no %s of %d bytes", name, size)
}
