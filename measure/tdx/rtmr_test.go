package tdx_test

import (
	"crypto/sha512"
	"encoding/json"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/measuretest"
	"github.com/assay-tee/assay/measure/tdx"
	"github.com/assay-tee/assay/measure/uefi"
)

type expected struct {
	MRTD, RTMR0, RTMR1, RTMR2, RTMR3 string
}

func (e expected) rtmr() [4]string { return [4]string{e.RTMR0, e.RTMR1, e.RTMR2, e.RTMR3} }

// Replaying the logs of real machines gives the registers that the hardware attested.
func TestReferenceLogVectors(t *testing.T) {
	for _, c := range measuretest.Cases(t, "tdx", "ccel") {
		var want expected
		if err := json.Unmarshal(c.Expected, &want); err != nil {
			t.Fatal(err)
		}
		events, err := tdx.ParseReferenceLog(measuretest.Read(t, c.File))
		if err != nil {
			t.Fatalf("%s: %v", c.ID, err)
		}
		got, _, err := tdx.Replay(events)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want.rtmr() {
			if got[i].String() != w {
				t.Errorf("%s: RTMR%d is %v, want %s", c.ID, i, got[i], w)
			}
		}
	}
}

// A direct boot predicted from its parts, without the log, gives what the hardware attested.
func TestDirectBootVector(t *testing.T) {
	for _, c := range measuretest.Cases(t, "tdx") {
		if c.ID != "tdx-lite" {
			continue
		}
		var want expected
		var x struct {
			HOB struct {
				SHA384 string `json:"sha384"`
			} `json:"td_hob"`
			Kernel  string `json:"kernel_authenticode_sha384"`
			Cmdline string `json:"cmdline_event_sha384"`
			Initrd  string `json:"initrd_sha384"`
		}
		if err := json.Unmarshal(c.Expected, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(c.Raw, &x); err != nil {
			t.Fatal(err)
		}
		f := &tdx.Firmware{Variant: tdx.Pre202505, HOB: parse(t, x.HOB.SHA384), Variables: uefi.SecureBootVariables(nil),
			CFV:        parse(t, "344bc51c980ba621aaa00da3ed7436f7d6e549197dfe699515dfa2c6583d95e6412af21c097d473155875ffd561d6790"),
			Loader:     parse(t, "095d04cf26fe03aef6e3561fa24c1aa1cea93f4aeaf563b1f9f7616184c53454875925759434769cec2490acb563a337"),
			RSDP:       parse(t, "8d9a4d4777a1bc77ecd9d8d37a4628129a80052a510320159a20a923bd07a0e90d8d1f2e1ebf088992b25f0d0fa672ef"),
			ACPITables: parse(t, "3070721e169bc41884724cb0e6b3082e1baf249083d8b389181ba50b9afa951057876c380b8870e8c2facf2eff67a2b6")}
		b := &tdx.Boot{Images: []tdx.Image{{What: "kernel", Digest: parse(t, x.Kernel)}},
			OS: []tdx.Event{{RTMR: 2, Type: uefi.EvEventTag, Digest: parse(t, x.Cmdline)}, tdx.Initrd(parse(t, x.Initrd))}}
		events, err := tdx.Events(f, b)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := tdx.Replay(events)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range []string{want.RTMR0, want.RTMR1, want.RTMR2} {
			if got[i].String() != w {
				t.Errorf("RTMR%d is %v, want %s", i, got[i], w)
			}
		}
	}
}

func TestEventDigestVectors(t *testing.T) {
	for _, c := range measuretest.Cases(t, "tdx-event") {
		var want map[string]string
		if err := json.Unmarshal(c.Expected, &want); err != nil {
			t.Fatal(err)
		}
		got := map[string]measure.SHA384{"separator": sha512.Sum384(uefi.Separator()), "BootOrder 0000": sha512.Sum384([]byte{0, 0})}
		for _, v := range uefi.SecureBootVariables(nil) {
			m, err := v.Measured()
			if err != nil {
				t.Fatal(err)
			}
			got[v.Name] = sha512.Sum384(m)
		}
		ui, err := uefi.BootUIApp()
		if err != nil || len(ui) != 62 {
			t.Fatalf("UiApp of %d bytes, %v", len(ui), err)
		}
		got["Boot0000 UiApp"] = sha512.Sum384(ui)
		for name, w := range want {
			if got[name].String() != w {
				t.Errorf("%s: %v, want %s", name, got[name], w)
			}
		}
	}
}

func TestLaterBootEntries(t *testing.T) {
	for name, f := range map[string]func() ([]byte, error){"5068e6a9ded2a1c3": uefi.BootManager, "dd424f2eeb35f3e8": uefi.BootSetup} {
		b, err := f()
		d := measure.SHA384(sha512.Sum384(b))
		if err != nil || d.String()[:16] != name {
			t.Errorf("%v, %v; want %s…", d, err, name)
		}
	}
}

func parse(t testing.TB, s string) measure.SHA384 {
	t.Helper()
	d, err := measure.ParseSHA384(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOverlayReplacesByPlaceAndName(t *testing.T) {
	log := []tdx.Event{{RTMR: 0, Type: uefi.EvVariableDriver, What: "PK"}, {RTMR: 2, Type: uefi.EvEventTag, What: "LOADED_IMAGE::LoadOptions"},
		{RTMR: 2, Type: uefi.EvEventTag, What: "Linux initrd"}, {RTMR: 1, Type: uefi.EvBootApplication, What: "EV_EFI_BOOT_SERVICES_APPLICATION"}}
	initrd, kernel := tdx.Initrd(measure.SHA384{1}), tdx.Event{RTMR: 1, Type: uefi.EvBootApplication, Digest: measure.SHA384{2}, What: "kernel"}
	got, err := tdx.Overlay(log, []tdx.Event{kernel, initrd})
	if err != nil || got[2] != initrd || got[3] != kernel || got[1] != log[1] {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := tdx.Overlay(log, []tdx.Event{{RTMR: 0, Type: uefi.EvVariableDriver, What: "db"}}); !fault.Is(err, fault.Usage) {
		t.Errorf("variable that the log does not have: %v", err)
	}
	if _, err := tdx.Overlay(log, []tdx.Event{kernel, kernel}); !fault.Is(err, fault.Usage) {
		t.Errorf("more images than the log has: %v", err)
	}
}

func TestRefusedLogs(t *testing.T) {
	for name, log := range map[string]string{"empty": "", "text": "hello, this is not an event log at all, whatever", "JSON object": `{"a":1}`,
		"digest of another length": `[{"imr":0,"event_type":4,"digest":"00","event":"","event_payload":""}]`,
		"payload not hex":          `[{"imr":0,"event_type":4,"digest":"","event":"","event_payload":"zz"}]`} {
		if _, err := tdx.ParseReferenceLog([]byte(log)); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := tdx.Replay([]tdx.Event{{RTMR: 4}}); !fault.Is(err, fault.Malformed) {
		t.Errorf("RTMR4: %v", err)
	}
	if _, err := tdx.Events(&tdx.Firmware{Variant: tdx.Post202505}, &tdx.Boot{Images: make([]tdx.Image, 1)}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("SMBIOS is not known: %v", err)
	}
}

func TestHOBRefusesSmallMachines(t *testing.T) {
	if _, err := tdx.HOB(0x809000, []tdx.Region{{Start: 0x809000, Length: 0x2000}}, 0x800000); !fault.Is(err, fault.Usage) {
		t.Errorf("8 MiB: %v", err)
	}
}

func FuzzReferenceLog(f *testing.F) {
	f.Add([]byte(`[{"imr":3,"event_type":134217729,"digest":"","event":"app-id","event_payload":"00"}]`))
	f.Add(append(make([]byte, 32), "Spec ID Event03\x00"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := tdx.ParseReferenceLog(b)
		if err != nil {
			if c := fault.ClassOf(err); c != fault.Malformed && c != fault.Unsupported {
				t.Fatalf("class %v: %v", c, err)
			}
			return
		}
		if _, _, err := tdx.Replay(events); err != nil && !fault.Is(err, fault.Malformed) {
			t.Fatal(err)
		}
	})
}
