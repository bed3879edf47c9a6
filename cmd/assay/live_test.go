package main

import (
	"context"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/store"
)

// A server takes attestations like statements, once it is told whom to believe about builds.
func TestStoredAttestations(t *testing.T) {
	k, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	w := &provenanceWorld{t: t, dir: t.TempDir(), builder: k}
	w.write("builder.pem", "%s", k.Public.PEM())
	w.write("expect.json", `{"keys":["builder.pem"],"source_uri":"github.com/org/firmware","builder_id":"https://builder.example/v1"}`)
	w.build("good.jsonl", "firmware", "c1")
	good := store.Document{ID: "build", Data: []byte(w.read("good.jsonl"))}
	corim := store.Document{ID: "fw", Data: []byte{0xd2, 0x84}}
	a := &app{ctx: context.Background(), now: time.Now}

	builds, rest, err := a.storedBuilds(w.file("expect.json"), []store.Document{corim, good})
	if err != nil || len(builds) != 1 || builds[0].Commit != "c1" || len(rest) != 1 || rest[0].ID != "fw" {
		t.Errorf("%v: %d builds, %d others", err, len(builds), len(rest))
	}
	if _, _, err := a.storedBuilds("", []store.Document{good}); !fault.Is(err, fault.Usage) {
		t.Errorf("nobody is believed: %v", err)
	}
	other, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	w.builder = other
	w.build("forged.jsonl", "firmware", "c2")
	if _, _, err := a.storedBuilds(w.file("expect.json"), []store.Document{{ID: "x", Data: []byte(w.read("forged.jsonl"))}}); !fault.Is(err, fault.Signature) {
		t.Errorf("signed by another: %v", err)
	}
}
