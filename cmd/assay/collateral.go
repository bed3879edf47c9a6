package main

import (
	"path/filepath"
	"time"

	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/collateral/crldp"
	"github.com/assay-tee/assay/collateral/kds"
	"github.com/assay-tee/assay/collateral/pcs"
	"github.com/assay-tee/assay/evidence"
)

// collateral is vendor data in the order in which it is asked for: what was named, then, unless offline, the vendors'
// services through a cache on disk. Offline never opens a connection.
func (a *app) collateral(paths []string, offline bool) (evidence.Collateral, error) {
	files, err := collateral.LoadFiles(paths)
	if err != nil {
		return nil, err
	}
	origin, err := a.origin(offline)
	if err != nil {
		return nil, err
	}
	return collateral.Chain{files, origin}, nil
}

func (a *app) origin(offline bool) (evidence.Collateral, error) {
	if offline {
		return collateral.Offline{}, nil
	}
	k, err := kds.New(kds.Config{BaseURL: a.getenv("ASSAY_KDS_URL"), Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	p, err := pcs.New(pcs.Config{BaseURL: a.getenv("ASSAY_PCS_URL"), Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	l, err := crldp.New(crldp.Config{MirrorURL: a.getenv("ASSAY_CRL_MIRROR")})
	if err != nil {
		return nil, err
	}
	services := collateral.Services{kds.Service: k, pcs.Service: p, crldp.Service: l}
	return collateral.NewCache(collateral.CacheConfig{Origin: services, Dir: cacheDir(a.getenv)})
}

// cacheDir is $CACHE_DIRECTORY (systemd), $XDG_CACHE_HOME/assay or ~/.cache/assay; "" keeps answers in memory only.
func cacheDir(getenv func(string) string) string {
	switch {
	case getenv("CACHE_DIRECTORY") != "":
		return filepath.Join(getenv("CACHE_DIRECTORY"), "collateral")
	case getenv("XDG_CACHE_HOME") != "":
		return filepath.Join(getenv("XDG_CACHE_HOME"), "assay", "collateral")
	case getenv("HOME") != "":
		return filepath.Join(getenv("HOME"), ".cache", "assay", "collateral")
	}
	return ""
}

// certificates reads --cert. They count as if they had come with the evidence.
func (a *app) certificates(files []string) ([][]byte, error) {
	var out [][]byte
	for _, n := range files {
		b, err := a.read(n)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}
