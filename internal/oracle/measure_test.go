package oracle

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gtdx "github.com/google/gce-tcb-verifier/tdx"
	"github.com/google/gce-tcb-verifier/testing/fakeovmf"
	"github.com/virtee/sev-snp-measure-go/cpuid"
	"github.com/virtee/sev-snp-measure-go/guest"
	govmf "github.com/virtee/sev-snp-measure-go/ovmf"
	"github.com/virtee/sev-snp-measure-go/vmmtypes"

	"github.com/assay-tee/assay/measure/ovmf"
	"github.com/assay-tee/assay/measure/snp"
	"github.com/assay-tee/assay/measure/tdx"
)

// moduleDir is where the module lies whose test data is used.
func moduleDir(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		t.Skipf("no module %s: %v", path, err)
	}
	return strings.TrimSpace(string(out))
}

// Real OVMF images measure as sev-snp-measure-go measures them, for every launcher, vCPU type and many counts.
func TestSNPMeasureAgreesWithSEVSNPMeasureGo(t *testing.T) {
	dir := filepath.Join(moduleDir(t, "github.com/virtee/sev-snp-measure-go"), "guest", "testdata")
	images, err := filepath.Glob(filepath.Join(dir, "*.bin"))
	if err != nil || len(images) == 0 {
		t.Fatalf("no images in %s", dir)
	}
	for _, file := range images {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := govmf.New(file)
		if err != nil {
			t.Fatal(err)
		}
		img, err := ovmf.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		ld, err := snp.FirmwareDigest(img)
		if err != nil {
			t.Fatal(err)
		}
		checkGolden(t, strings.TrimSuffix(file, ".bin")+".json", ld.String())
		for name, launcher := range map[string]struct {
			plan snp.Plan
			vmm  vmmtypes.VMMType
		}{"QEMU": {snp.PlanFor(snp.QEMU), vmmtypes.QEMU}, "EC2": {snp.PlanFor(snp.EC2, snp.QuirkEC2RDXZero), vmmtypes.EC2}, "GCE": {snp.PlanFor(snp.GCE), vmmtypes.GCE}} {
			for model, sig := range cpuid.CpuSigs {
				ours, err := snp.SignatureByName(model)
				if err != nil || uint64(ours) != uint64(sig) {
					t.Errorf("%s: signature 0x%x, %v; they say 0x%x", model, ours, err, sig)
				}
				for _, features := range []uint64{1, 0x21} {
					counts := []int{1, 2, 8}
					res, err := snp.Predict(snp.Config{Firmware: img, Plan: launcher.plan, VCPUs: counts, Signature: ours, Features: features})
					if err != nil {
						t.Fatal(err)
					}
					for i, n := range counts {
						want, err := guest.LaunchDigestFromOVMF(theirs, features, n, ld[:], launcher.vmm, model)
						if err != nil {
							t.Fatal(err)
						}
						if got := res.Values[i].Digest.String(); got != hex.EncodeToString(want) {
							t.Errorf("%s, %s, %s, features 0x%x, %d vCPUs: %s, they say %x", filepath.Base(file), name, model, features, n, got, want)
						}
					}
				}
			}
		}
	}
}

func checkGolden(t *testing.T, file, firmwareDigest string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ OVMFHash string }
	if err := json.Unmarshal(raw, &golden); err != nil || golden.OVMFHash != firmwareDigest {
		t.Errorf("%s: firmware digest %s, want %s", filepath.Base(file), firmwareDigest, golden.OVMFHash)
	}
}

// MRTD is what Google's tool computes, with and without the bug of its early hypervisor.
func TestMRTDAgreesWithGoogle(t *testing.T) {
	images := map[string][]byte{"synthetic 2 MiB": fakeovmf.CleanExample(t, 2<<20)}
	real, err := os.ReadFile(filepath.Join(moduleDir(t, "github.com/virtee/sev-snp-measure-go"), "guest", "testdata", "ovmf_img_1.bin"))
	if err != nil {
		t.Fatal(err)
	}
	images["OVMF 4 MiB"] = real
	for name, fw := range images {
		img, err := ovmf.Parse(fw)
		if err != nil {
			t.Fatal(err)
		}
		sections, err := tdx.Sections(img)
		if err != nil {
			t.Fatal(err)
		}
		want, err := gtdx.MRTD(gtdx.LaunchOptionsDefault(""), fw)
		if got, _ := tdx.MRTD(sections, tdx.SinglePass); err != nil || got != want {
			t.Errorf("%s: MRTD %v, they say %x, %v", name, got, want, err)
		}
		for _, s := range tdx.GoogleShapes() {
			want, err := gtdx.MRTD(gtdx.LaunchOptionsDefaultTDHOBBug(s.Name), fw)
			if err != nil {
				t.Fatal(err)
			}
			if got, _, err := tdx.GoogleHOBBug(sections, s, false); err != nil || got != want {
				t.Errorf("%s, %s: MRTD %v, %v, they say %s", name, s.Name, got, err, fmt.Sprintf("%x", want))
			}
		}
	}
}
