package tdx_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/linux"
	"github.com/assay-tee/assay/measure/tdx"
	"github.com/assay-tee/assay/measure/uefi"
)

// The order of the events of RTMR1 and RTMR2, by kind of boot.
func TestOrderOfABoot(t *testing.T) {
	gpt := measure.SHA384{9}
	uki := tdx.StubEvents([]linux.UKISection{{Name: ".linux", Data: []byte{1}}, {Name: ".cmdline", Data: []byte("quiet")}})
	for _, tc := range []struct {
		name string
		boot tdx.Boot
		want []string
	}{
		{"direct", tdx.Boot{Images: []tdx.Image{{What: "kernel"}}, OS: []tdx.Event{tdx.LoadOptions("quiet", true, true)}},
			[]string{"1 kernel", "1 " + uefi.ActionCalling, "1 separator", "2 LOADED_IMAGE::LoadOptions", "1 " + uefi.ActionExit, "1 " + uefi.ActionExitReturned}},
		{"direct, unified kernel image", tdx.Boot{Images: []tdx.Image{{What: "uki"}}, Inner: &measure.SHA384{}, OS: uki},
			[]string{"1 uki", "1 " + uefi.ActionCalling, "1 separator", "1 inner kernel", "2 .linux (name)", "2 .linux", "2 .cmdline (name)", "2 .cmdline",
				"1 " + uefi.ActionExit, "1 " + uefi.ActionExitReturned}},
		{"disk", tdx.Boot{Disk: true, GPT: &gpt, Images: []tdx.Image{{What: "shim"}, {What: "grub"}}},
			[]string{"1 " + uefi.ActionCalling, "1 separator", "1 GPT", "1 shim", "1 grub", "1 " + uefi.ActionExit, "1 " + uefi.ActionExitReturned}},
	} {
		events, err := tdx.Events(&tdx.Firmware{Variant: tdx.Pre202505, Variables: uefi.SecureBootVariables(nil)}, &tc.boot)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range events {
			if e.RTMR > 0 {
				got = append(got, string('0'+rune(e.RTMR))+" "+e.What)
			}
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s:\n%s", tc.name, d)
		}
	}
	if _, err := tdx.Events(&tdx.Firmware{Variant: tdx.Pre202505}, &tdx.Boot{}); !fault.Is(err, fault.Usage) {
		t.Errorf("direct boot of nothing: %v", err)
	}
}

// OVMF from 2025.05 measures 17 events before a direct boot's kernel, and the SMBIOS table among them.
func TestLaterFirmwareMeasuresMore(t *testing.T) {
	smbios := measure.SHA384{1}
	events, err := tdx.Events(&tdx.Firmware{Variant: tdx.Post202505, Variables: uefi.SecureBootVariables(nil), SMBIOS: &smbios}, &tdx.Boot{Images: []tdx.Image{{}}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range events {
		if e.RTMR == 0 {
			n++
		}
	}
	if n != 17 {
		t.Errorf("%d events in RTMR0, want 17", n)
	}
}
