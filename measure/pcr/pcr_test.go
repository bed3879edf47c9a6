package pcr_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/measuretest"
	"github.com/assay-tee/assay/measure/pcr"
	"github.com/assay-tee/assay/measure/uefi"
)

type logVector struct {
	Path     string `json:"path"`
	Expected struct {
		Format string                       `json:"format"`
		Quoted map[string]map[string]string `json:"quoted_pcrs"`
	} `json:"expected"`
}

func logVectors(t *testing.T) (string, []logVector) {
	t.Helper()
	dir := filepath.Join(filepath.Dir(measuretest.Dir(t)), "eventlog")
	raw, err := os.ReadFile(filepath.Join(dir, "MANIFEST.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Files []logVector `json:"files"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return dir, doc.Files
}

// Logs of real machines replay to the PCRs that their TPMs quoted, in every bank.
func TestLogsReplayToTheQuotedRegisters(t *testing.T) {
	dir, files := logVectors(t)
	checked := 0
	for _, f := range files {
		if f.Expected.Format != "crypto-agile" || len(f.Expected.Quoted) == 0 {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		log, err := uefi.ParseLog(raw)
		if err != nil {
			t.Errorf("%s: %v", f.Path, err)
			continue
		}
		for _, b := range pcr.Banks() {
			quoted := f.Expected.Quoted[b.Name]
			if len(quoted) == 0 {
				continue
			}
			events, locality, err := pcr.FromLog(b, log)
			if err != nil {
				t.Errorf("%s: %s: %v", f.Path, b.Name, err)
				continue
			}
			got, _, err := pcr.Replay(b, locality, events)
			if err != nil {
				t.Fatal(err)
			}
			for n, want := range quoted {
				if i, _ := strconv.Atoi(n); i < pcr.Registers && i != 10 && hex.EncodeToString(got[i]) != want {
					t.Errorf("%s: %s PCR %s is %x, want %s", f.Path, b.Name, n, got[i], want)
				}
				checked++
			}
		}
	}
	if checked == 0 {
		t.Fatal("no register was checked")
	}
}

// What a boot measures, predicted from data alone, is what a GCE guest's TPM quoted.
func TestBootOfARealGuest(t *testing.T) {
	dir, files := logVectors(t)
	for _, f := range files {
		if f.Path != "ubuntu-2404-amd-sevsnp.bin" {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		log, err := uefi.ParseLog(raw)
		if err != nil {
			t.Fatal(err)
		}
		tech := uint32(4)
		for _, b := range []pcr.Bank{pcr.Banks()[0], pcr.Banks()[3]} {
			boot := &pcr.Boot{Bank: b, ExitFailedOnce: true, CRTMVersion: "GCE Virtual Firmware v2", GCETechnology: &tech}
			for _, e := range log {
				switch {
				case e.Type == uefi.EvGPT:
					boot.GPT = e.Data
				case e.Type == uefi.EvVariableDriver, e.Type == uefi.EvVariableAuthority:
					v := variable(e.Data)
					if e.Type == uefi.EvVariableDriver {
						boot.Variables = append(boot.Variables, v)
					} else {
						boot.Authorities = append(boot.Authorities, v)
					}
				case e.Type == uefi.EvVariableBoot:
					if v := variable(e.Data); v.Name == "BootOrder" {
						boot.BootOrder = v.Data
					} else {
						boot.BootOptions = append(boot.BootOptions, v.Data)
					}
				case e.Index == 8 && e.Type == uefi.EvIPL:
					for _, prefix := range []string{"grub_cmd: ", "kernel_cmdline: "} {
						if n := len(prefix); len(e.Data) > n && string(e.Data[:n]) == prefix {
							boot.GRUBCommands = append(boot.GRUBCommands, string(e.Data[n:len(e.Data)-1]))
						}
					}
				}
			}
			events, _, err := boot.Events()
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := pcr.Replay(b, 0, events)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range []int{0, 2, 3, 5, 6, 7, 8} {
				if want := f.Expected.Quoted[b.Name][strconv.Itoa(i)]; hex.EncodeToString(got[i]) != want {
					t.Errorf("%s PCR %d is %x, want %s", b.Name, i, got[i], want)
				}
			}
		}
	}
}

func variable(data []byte) uefi.Variable {
	n := int(data[16])
	var name []byte
	for i := range n {
		name = append(name, data[32+2*i])
	}
	guid := uefi.GUIDGlobal
	switch data[0] {
	case 0xcb:
		guid = uefi.GUIDImageSecurity
	case 0x50:
		guid = uefi.GUIDShim
	}
	return uefi.Variable{GUID: guid, Name: string(name), Data: data[32+2*n:]}
}

func TestUKIFillsPCR11(t *testing.T) {
	b, err := pcr.ParseBank("sha256")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pcr.ParseBank("md5"); !fault.Is(err, fault.Usage) {
		t.Errorf("md5: %v", err)
	}
	var none [pcr.Registers][]byte
	if none, _, err = pcr.Replay(b, 0, nil); err != nil {
		t.Fatal(err)
	}
	boot := &pcr.Boot{Bank: b, Phases: []string{"enter-initrd"}}
	events, whole, err := boot.Events()
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := pcr.Replay(b, 0, events)
	if err != nil || string(got[11]) == string(none[11]) || string(got[12]) != string(none[12]) || len(whole) != 4 {
		t.Errorf("PCR 11 %x, whole %v, %v", got[11], whole, err)
	}
	if _, _, err := pcr.Replay(b, 0, []pcr.Event{{PCR: 16}}); !fault.Is(err, fault.Malformed) {
		t.Errorf("PCR 16: %v", err)
	}
}

func FuzzLog(f *testing.F) {
	f.Add(append(make([]byte, 32), "Spec ID Event03\x00"...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		log, err := uefi.ParseLog(raw)
		if err != nil {
			if !fault.Is(err, fault.Malformed) {
				t.Fatal(err)
			}
			return
		}
		for _, b := range pcr.Banks() {
			events, loc, err := pcr.FromLog(b, log)
			if err == nil {
				_, _, _ = pcr.Replay(b, loc, events)
			}
		}
	})
}
