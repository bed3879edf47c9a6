package snp_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/measuretest"
	"github.com/assay-tee/assay/measure/ovmf"
	"github.com/assay-tee/assay/measure/snp"
)

func image(t testing.TB, name string) *ovmf.Image {
	t.Helper()
	img, err := ovmf.Parse(measuretest.Read(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func kernel(t testing.TB, c measuretest.Case) *snp.KernelHashes {
	t.Helper()
	if c.Kernel == nil {
		return nil
	}
	var initrd io.Reader
	if c.Initrd != nil {
		initrd = bytes.NewReader(measuretest.Read(t, *c.Initrd))
	}
	k, err := snp.HashKernel(bytes.NewReader(measuretest.Read(t, *c.Kernel)), initrd, c.Append)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func config(t testing.TB, c measuretest.Case) snp.Config {
	t.Helper()
	vmm, err := snp.ParseVMM(c.VMM)
	if err != nil {
		t.Fatal(err)
	}
	var quirks []snp.Quirk
	if c.Option == "ec2 rdx 0" {
		quirks = append(quirks, snp.QuirkEC2RDXZero)
	}
	cfg := snp.Config{Firmware: image(t, c.OVMF), Plan: snp.PlanFor(vmm, quirks...), VCPUs: []int{c.VCPUs}, Kernel: kernel(t, c)}
	if cfg.Features, err = snp.ParseFeatures(c.Features); err != nil {
		t.Fatal(err)
	}
	if c.VCPUType != "" {
		if cfg.Signature, err = snp.SignatureByName(c.VCPUType); err != nil {
			t.Fatal(err)
		}
	}
	if c.OVMFHash != "" {
		d, err := measure.ParseSHA384(c.OVMFHash)
		if err != nil {
			t.Fatal(err)
		}
		cfg.FirmwareLD = &d
	}
	return cfg
}

func TestSNPVectors(t *testing.T) {
	for _, c := range measuretest.Cases(t, "snp") {
		t.Run(c.ID, func(t *testing.T) {
			res, err := snp.Predict(config(t, c))
			switch {
			case c.ExpectedError != "":
				if !fault.Is(err, fault.Unsupported) {
					t.Fatalf("error %v, want class unsupported", err)
				}
				return
			case err != nil:
				t.Fatal(err)
			}
			if want := c.ExpectedString(); want != "" && res.Values[0].Digest.String() != want {
				t.Errorf("launch digest %v, want %v", res.Values[0].Digest, want)
			}
		})
	}
}

func TestFirmwareDigestVector(t *testing.T) {
	for _, c := range measuretest.Cases(t, "snp:ovmf-hash") {
		d, err := snp.FirmwareDigest(image(t, c.OVMF))
		if err != nil || d.String() != c.ExpectedString() {
			t.Errorf("%s: %v, %v; want %v", c.ID, d, err, c.ExpectedString())
		}
	}
}

func TestSEVVectors(t *testing.T) {
	for _, c := range measuretest.Cases(t, "sev", "seves") {
		t.Run(c.ID, func(t *testing.T) {
			sc := config(t, c)
			res, err := snp.PredictSEV(snp.SEVConfig{Firmware: sc.Firmware, Kernel: sc.Kernel, ES: c.Mode == "seves", VCPUs: sc.VCPUs, Plan: sc.Plan, Signature: sc.Signature})
			switch {
			case c.ExpectedError != "":
				if !fault.Is(err, fault.Unsupported) {
					t.Fatalf("error %v, want class unsupported", err)
				}
				return
			case err != nil:
				t.Fatal(err)
			}
			if want := c.ExpectedString(); want != "" && hex.EncodeToString(res.Values[0].Digest[:]) != want {
				t.Errorf("launch digest %x, want %v", res.Values[0].Digest, want)
			}
		})
	}
}

func TestSVSMVectors(t *testing.T) {
	for _, c := range measuretest.Cases(t, "snp:svsm") {
		sig, err := snp.SignatureByName(c.VCPUType)
		if err != nil {
			t.Fatal(err)
		}
		res, err := snp.PredictSVSM(snp.SVSMConfig{Firmware: image(t, c.OVMF), SVSM: image(t, c.SVSM), VarsSize: c.VarsSize, VCPUs: []int{c.VCPUs}, Signature: sig})
		if err != nil {
			t.Fatalf("%s: %v", c.ID, err)
		}
		if want := c.ExpectedString(); want != "" && res.Values[0].Digest.String() != want {
			t.Errorf("%s: launch digest %v, want %v", c.ID, res.Values[0].Digest, want)
		}
		if want := measuretest.Read(t, "vmsa/snp_svsm.bin"); !bytes.Equal(res.BootVMSA, want) {
			t.Errorf("%s: VMSA differs from vmsa/snp_svsm.bin at byte 0x%x", c.ID, firstDiff(res.BootVMSA, want))
		}
	}
}

func TestGoogleToolVectors(t *testing.T) {
	for _, c := range measuretest.Cases(t, "gce-tcb-verifier") {
		plan := snp.PlanFor(snp.GCE)
		plan.VMSAGPA = snp.VMSAGPAByWidth(map[string]int{"Milan": 48, "Genoa": 52}[c.Product])
		res, err := snp.Predict(snp.Config{Firmware: image(t, c.Firmware), Plan: plan, VCPUs: []int{c.VCPUs}, Features: 1})
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		if got := res.Values[0].Digest.String(); got != c.ExpectedString() {
			t.Errorf("%s: launch digest %s, want %s", c.ID, got, c.ExpectedString())
		}
	}
}

func TestLaunchPagesVectors(t *testing.T) {
	want := map[string]string{}
	for _, c := range measuretest.Cases(t, "gctx") {
		want[c.ID] = c.ExpectedString()
	}
	var l snp.Launch
	data := make([]byte, 3*snp.PageSize)
	copy(data, strings.Repeat("LGTM", 4))
	copy(data[len(data)-16:], strings.Repeat("LGTM", 4))
	l.Content(snp.PageNormal, 0, data, "")
	if l.LD.String() != want["gctx-three-normal-pages"] {
		t.Errorf("three NORMAL pages: %v", l.LD)
	}
	l = snp.Launch{}
	l.Bare(snp.PageZero, 0x9000, 3*snp.PageSize, "")
	if l.LD.String() != want["gctx-three-zero-pages"] {
		t.Errorf("three ZERO pages: %v", l.LD)
	}
}

func TestKernelHashesTableVectors(t *testing.T) {
	for _, c := range measuretest.Cases(t, "table") {
		if got := hex.EncodeToString(kernel(t, c).Table()); got != c.ExpectedString() {
			t.Errorf("%s: table %s, want %s", c.ID, got, c.ExpectedString())
		}
	}
}

func TestVMSAVectors(t *testing.T) {
	const boot, ap, naples = 0xfffffff0, 0x80b004, 0x800f12
	regs := func(v snp.VMM) snp.Registers { return snp.PlanFor(v).Regs }
	for _, tc := range []struct {
		file string
		page []byte
	}{
		{"vmsa/snp_qemu_bsp.bin", regs(snp.QEMU).VMSA(boot, true, naples, 1)},
		{"vmsa/snp_qemu_ap.bin", regs(snp.QEMU).VMSA(ap, false, naples, 1)},
		{"vmsa/snp_ec2_bsp.bin", regs(snp.EC2).VMSA(boot, true, 0x600, 1)},
		{"vmsa/snp_ec2_ap.bin", regs(snp.EC2).VMSA(ap, false, 0x600, 1)},
		{"vmsa/snp_gce_bsp.bin", regs(snp.GCE).VMSA(boot, true, 0x600, 1)},
		{"vmsa/snp_gce_ap.bin", regs(snp.GCE).VMSA(ap, false, 0x600, 1)},
		{"vmsa/seves_qemu_bsp.bin", regs(snp.QEMU).VMSA(boot, true, naples, 0)},
		{"stage0/bsp_vmsa.bin", regs(snp.Stage0).VMSA(boot, true, 0x600, 1)},
		{"stage0/ap_vmsa.bin", regs(snp.Stage0).VMSA(0x3009, false, 0x600, 1)},
	} {
		if want := measuretest.Read(t, tc.file); !bytes.Equal(tc.page, want) {
			t.Errorf("%s: differs at byte 0x%x", tc.file, firstDiff(tc.page, want))
		}
	}
}

func TestStage0ChainVectors(t *testing.T) {
	ap := snp.PlanFor(snp.Stage0).Regs.VMSA(0x3009, false, 0x600, 1)
	for _, c := range measuretest.Cases(t, "stage0-chain") {
		var want map[string]string
		if err := json.Unmarshal(c.Expected, &want); err != nil {
			t.Fatal(err)
		}
		known, err := measure.ParseSHA384(want["1"])
		if err != nil {
			t.Fatal(err)
		}
		values, err := snp.Derive(known, 1, snp.PlanFor(snp.Stage0).VMSAGPA, ap, []int{1, 4, 16, 64})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if v.Digest.String() != want[strconv.Itoa(v.VCPUs)] {
				t.Errorf("%s: %d vCPUs: %v, want %v", c.ID, v.VCPUs, v.Digest, want[strconv.Itoa(v.VCPUs)])
			}
		}
		if len(values) != 4 {
			t.Errorf("%s: %d values", c.ID, len(values))
		}
	}
}

func TestParsedVectors(t *testing.T) {
	var want map[string]struct {
		Reset    string  `json:"sev_es_reset_eip"`
		Hashes   string  `json:"hashes_table_gpa"`
		GPA      string  `json:"gpa"`
		Sections [][]any `json:"sections"`
		Entry    string  `json:"entry"`
	}
	if err := json.Unmarshal(measuretest.Read(t, "ovmf/parsed.json"), &want); err != nil {
		t.Fatal(err)
	}
	for name, w := range want {
		img := image(t, name)
		sections, ok, err := img.SEVMetadata()
		if err != nil || ok != (len(w.Sections) > 0) && name != "ovmf/svsm_ovmf.fd" {
			t.Errorf("%s: metadata %v, %v", name, ok, err)
		}
		for i, s := range w.Sections {
			if got := fmt.Sprintf("[0x%x 0x%x %d]", sections[i].GPA, sections[i].Size, uint32(sections[i].Type)); got != fmt.Sprint(s) {
				t.Errorf("%s: section %d is %s, want %v", name, i, got, s)
			}
		}
		if eip, ok, _ := img.ResetEIP(); w.Reset != "" && (!ok || fmt.Sprintf("0x%x", eip) != w.Reset) {
			t.Errorf("%s: reset 0x%x, %v; want %s", name, eip, ok, w.Reset)
		}
		if base, _, ok, _ := img.HashesTable(); ok != (w.Hashes != "") || ok && fmt.Sprintf("0x%x", base) != w.Hashes {
			t.Errorf("%s: hashes table 0x%x, %v; want %s", name, base, ok, w.Hashes)
		}
		if w.Entry == "" && fmt.Sprintf("0x%x", img.Base()) != w.GPA {
			t.Errorf("%s: base 0x%x, want %s", name, img.Base(), w.GPA)
		}
	}
}

func firstDiff(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
