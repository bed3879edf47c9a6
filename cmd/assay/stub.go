package main

import (
	"context"
	"time"

	"github.com/assay-tee/assay/endorse"
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

func (a *app) admit(at time.Time, signers []*endorse.Anchor, files []string, expect []endorse.Expectation) (*endorse.Set, error) {
	if len(files) > 0 {
		return nil, fault.New(fault.Unsupported, "--statement is not wired yet")
	}
	b, err := endorse.NewBuilder(endorse.Config{Time: at, Anchors: signers})
	if err != nil {
		return nil, err
	}
	if len(expect) > 0 {
		if err := b.Local("local operator", "", expect); err != nil {
			return nil, err
		}
	}
	return b.Set(), nil
}
