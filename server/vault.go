package server

import (
	"context"
	"fmt"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/release/seal"
	"github.com/assay-tee/assay/store"
)

// vault is the store's sealed secrets, opened.
type vault struct {
	store  store.Secrets
	sealer *seal.Sealer
}

var _ release.Secrets = vault{}

// SecretInfo implements release.Secrets.
func (v vault) SecretInfo(ctx context.Context, path string) (release.SecretInfo, bool, error) {
	return v.store.LatestSecret(ctx, path)
}

// OpenSecret implements release.Secrets.
func (v vault) OpenSecret(ctx context.Context, info release.SecretInfo) ([]byte, error) {
	sealed, found, err := v.store.SealedSecret(ctx, info.Path, info.Version)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fault.New(fault.Unavailable, "version %d of %s is gone", info.Version, info.Path)
	}
	return v.sealer.Open(sealLabel(info.Path, info.Version), sealed)
}

func (v vault) put(ctx context.Context, info release.SecretInfo, value []byte, r release.Record) (release.SecretInfo, error) {
	info.Size = len(value)
	return v.store.PutSecret(ctx, info, func(version int) ([]byte, error) {
		return v.sealer.Seal(sealLabel(info.Path, version), value)
	}, r)
}

func sealLabel(path string, version int) string { return fmt.Sprintf("%s@%d", path, version) }
