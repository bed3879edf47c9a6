package eventlog

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func TestRealLocators(t *testing.T) {
	l, err := ParseTPM(load(t, vectors(t), "eventlog", "eventlogwithsp800155.bin"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	xs, err := l.Locators()
	if err != nil || len(xs) != 2 {
		t.Fatalf("%d, %v", len(xs), err)
	}
	var all []string
	for _, x := range xs {
		if x.FirmwareManufacturerID != 11129 || strings.ToLower(guidText(x.ReferenceManifest[:])) != "a00597d0-4c5e-4738-8032-6f958ca92fad" {
			t.Errorf("%+v", x)
		}
		all = append(all, x.Where())
	}
	if s := strings.Join(all, "\n"); !strings.Contains(s, "a2858e46-a37f-456a-8c79-0c1fe48b65ff FirmwareRIM") || !strings.Contains(s, "https://") {
		t.Errorf("places %q", all)
	}
}

func TestLocatorIsBounded(t *testing.T) {
	b := binary.LittleEndian.AppendUint32(nil, 1)
	b = append(b, make([]byte, 16)...)
	b = append(b, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0)
	good := append(binary.LittleEndian.AppendUint32(append([]byte{}, b...), 1), 'x', 0, 0, 0, 0, 0, 0, 0, 0)
	if _, err := parseLocator(good); err != nil {
		t.Fatal(err)
	}
	if _, err := parseLocator(append(good, 0, 0)); err != nil {
		t.Error("padding: ", err)
	}
	for name, bad := range map[string][]byte{"huge": binary.LittleEndian.AppendUint32(append([]byte{}, b...), 1<<32-1), "trailing": append(append([]byte{}, good...), 1)} {
		if _, err := parseLocator(bad); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range good {
		if _, err := parseLocator(good[:n]); !fault.Is(err, fault.Malformed) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}
