package server_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/assay-tee/assay/protocol/native"
	"github.com/assay-tee/assay/server"
)

// TestAPIDocument: the examples of docs/api.md are requests that are read, and the guest's routes are all there.
func TestAPIDocument(t *testing.T) {
	b, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nil)
	sections := strings.Split(string(b), "\n## ")
	example := func(title string) []byte {
		for _, s := range sections {
			if strings.HasPrefix(s, title+"\n") {
				if m := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(s); m != nil {
					return []byte(m[1])
				}
			}
		}
		t.Fatalf("no example for %s", title)
		return nil
	}
	if _, err := native.ParseNonceRequest(example("POST /v1/nonce")); err != nil {
		t.Error(err)
	}
	s, err := native.ParseSubmission(native.Release, example("POST /v1/release"))
	if err != nil || s.Resource == "" || len(s.Aux) == 0 {
		t.Errorf("%+v %v", s, err)
	}
	example("POST /v1/verify")
	for _, want := range []string{"POST /v1/nonce", "POST /v1/release", "POST /v1/verify"} {
		found := false
		for _, r := range w.srv.Routes() {
			found = found || r.Method+" "+r.Pattern == want && r.Permission == server.Permission("")
		}
		if !found {
			t.Errorf("%s is no route for guests", want)
		}
	}
}
