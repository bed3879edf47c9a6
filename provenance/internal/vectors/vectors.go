// Package vectors reads the manifest of shared test vectors. Only tests import it.
package vectors

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// Case is one case of the transparency manifest; see its description for the fields.
type Case struct {
	ID             string   `json:"id"`
	Bundle         string   `json:"bundle"`
	Envelope       string   `json:"envelope"`
	Attestations   string   `json:"attestations"`
	Provenance     string   `json:"provenance"`
	Statement      string   `json:"statement"`
	Receipt        string   `json:"receipt"`
	Transparent    string   `json:"transparent_statement"`
	ServiceKeys    string   `json:"service_keys"`
	ReceiptIssuer  string   `json:"receipt_issuer"`
	Subject        string   `json:"subject"`
	Keys           []string `json:"keys"`
	Key            string   `json:"key"`
	KeyID          string   `json:"key_id"`
	Encoding       string   `json:"signature_encoding"`
	KeyValidity    string   `json:"key_validity"`
	Require        string   `json:"require"`
	Artifact       string   `json:"artifact"`
	SHA256         string   `json:"artifact_sha256"`
	SHA512         string   `json:"artifact_sha512"`
	ImageSHA256    string   `json:"image_sha256"`
	SubjectDigest  string   `json:"subject_digest"`
	TrustedRoot    string   `json:"trusted_root"`
	Identity       string   `json:"identity"`
	Issuer         string   `json:"issuer"`
	SAN            string   `json:"certificate_san"`
	BuilderID      string   `json:"builder_id"`
	SourceURI      string   `json:"source_uri"`
	SourceTag      string   `json:"source_tag"`
	SourceVTag     string   `json:"source_versioned_tag"`
	SourceBranch   string   `json:"source_branch"`
	Package        string   `json:"package"`
	PackageVersion string   `json:"package_version"`
	PredicateType  string   `json:"predicate_type"`
	VerifierID     string   `json:"verifier_id"`
	ResourceURI    string   `json:"resource_uri"`
	Levels         []string `json:"verified_levels"`
	Mutation       string   `json:"mutation"`
	Time           string   `json:"verification_time"`
	Expected       string   `json:"expected"`
	Class          string   `json:"class"`
	Measurement    string   `json:"measurement"`
	GuestSVN       string   `json:"guest_svn"`
	HostData       string   `json:"host_data"`
	PayloadSHA384  string   `json:"payload_sha384_hex"`
	DataHash       string   `json:"data_hash"`
	Root           string   `json:"root"`
	TxID           string   `json:"txid"`
	Product        string   `json:"product"`
	LeafEntry      string   `json:"leaf_entry"`
	StatementValid bool     `json:"statement_valid"`
	ReceiptValid   bool     `json:"receipt_valid"`
	Why            string   `json:"why"`
}

// At is the trusted time of c.
func (c *Case) At(t *testing.T) time.Time {
	at, err := time.Parse(time.RFC3339, c.Time)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Cases reads the manifest; the test is skipped when there are no vectors.
func Cases(t testing.TB) []Case {
	t.Helper()
	var m struct{ Cases []Case }
	if err := json.Unmarshal(Read(t, "MANIFEST.json"), &m); err != nil {
		t.Fatal(err)
	}
	return m.Cases
}

// Read reads a file of vectors/transparency.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: no vectors to compare with")
	}
	b, err := os.ReadFile(filepath.Join(dir, "transparency", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Check compares a verdict with what the manifest states.
func (c *Case) Check(t *testing.T, err error) {
	t.Helper()
	switch {
	case c.Expected == "pass" && err != nil:
		t.Errorf("%s: refused (%s): %v\nbut: %s", c.ID, fault.ClassOf(err), err, c.Why)
	case c.Expected == "fail" && err == nil:
		t.Errorf("%s: accepted; %s", c.ID, c.Why)
	case c.Expected == "fail" && c.Class != "" && fault.ClassOf(err).String() != c.Class:
		t.Errorf("%s: class %s, stated %s: %v\n%s", c.ID, fault.ClassOf(err), c.Class, err, c.Why)
	}
}
