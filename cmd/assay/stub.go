package main

import (
	"context"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

type given [][]byte

func (g given) Given() [][]byte { return g }
func (given) Get(context.Context, evidence.Request) (evidence.Response, error) {
	return evidence.Response{}, fault.New(fault.Unavailable, "offline")
}

func (a *app) loadCollateral(certs, paths []string, offline bool) (evidence.Collateral, [][]byte, error) {
	var out [][]byte
	for _, n := range certs {
		b, err := a.read(n)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, b)
	}
	if len(paths) > 0 {
		return nil, nil, fault.New(fault.Unsupported, "--collateral is not wired yet")
	}
	return given(nil), out, nil
}

func (a *app) collateral(paths []string, offline bool) (evidence.Collateral, error) {
	c, _, err := a.loadCollateral(nil, paths, offline)
	return c, err
}
