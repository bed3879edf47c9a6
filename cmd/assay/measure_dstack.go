package main

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// dstackImage takes the parts of a dstack image from its metadata.json, unless they are given.
func (a *app) dstackImage(f *tdxFlags) error {
	b, err := a.readArtefact(filepath.Join(f.dstack, "metadata.json"), 1<<20)
	if err != nil {
		return err
	}
	if err := jsonx.Check(b); err != nil {
		return fault.Wrap(err, "metadata.json")
	}
	var m struct{ Bios, Kernel, Initrd, Cmdline string }
	if err := json.Unmarshal(b, &m); err != nil {
		return fault.New(fault.Malformed, "metadata.json: %w", err)
	}
	for _, x := range []struct {
		to   *string
		name string
	}{{&f.firmware, m.Bios}, {&f.kernel, m.Kernel}, {&f.initrd, m.Initrd}} {
		if *x.to != "" || x.name == "" {
			continue
		}
		if !filepath.IsLocal(x.name) {
			return fault.New(fault.Malformed, "metadata.json names %q, which lies outside the image", x.name)
		}
		*x.to = filepath.Join(f.dstack, x.name)
	}
	if f.cmdline == "" {
		f.cmdline = m.Cmdline
	}
	return nil
}

// parseSize reads a number of bytes with an optional K, M, G or T (powers of 1024); "" is 0.
func parseSize(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	num, shift := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(s), "B"), "I"), 0
	if num != "" {
		if i := strings.IndexByte("KMGT", num[len(num)-1]); i >= 0 {
			shift, num = 10*(i+1), num[:len(num)-1]
		}
	}
	v, err := strconv.ParseUint(num, 0, 64)
	if err != nil || v > 1<<52>>shift {
		return 0, fault.New(fault.Usage, "--memory %q is not a size in bytes, or with K, M, G, T", s)
	}
	return v << shift, nil
}
