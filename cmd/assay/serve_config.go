package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/registry"
	"github.com/assay-tee/assay/server"
)

// serveConfig is the configuration file of `assay serve` (TOML). The comments are its manual: --print-config prints
// them. A key that nobody knows is an error.
type serveConfig struct {
	Listen  string `toml:"listen" comment:"Address to listen on. Guests and administrators use the same one."`
	State   string `toml:"state" comment:"Directory for what the server keeps: assay.db (sessions, tickets, sealed secrets, log), seal.age (opens the secrets;\nback it up apart from the database), token.key (signs results), log.key and log.pub (the log), challenge.key and\nadmin.token. Made at the first start, mode 0700. Empty: $STATE_DIRECTORY, which systemd sets, else\n$XDG_STATE_HOME/assay, else ~/.local/state/assay."`
	DB      string `toml:"db" comment:"postgres://USER@HOST/DATABASE to share sessions, tickets, secrets and policies between servers; they need the same\nseal_key and token_key. Empty: SQLite in the state directory. The URL may hold a password: it is never logged."`
	SealKey string `toml:"seal_key" comment:"age identity that seals secrets at rest, mode 0600; empty: seal.age in the state directory."`
	TLS     struct {
		Cert string `toml:"cert" comment:"PEM certificate chain and private key. Without them the server speaks plain HTTP, which is for loopback, or behind a proxy."`
		Key  string `toml:"key"`
	} `toml:"tls"`
	TokenKey          string           `toml:"token_key" comment:"Private key that signs results (ES256 for Trustee's clients); empty: token.key in the state directory."`
	TokenDialect      string           `toml:"token_dialect" comment:"Form of the results that attest answers: trustee, veraison or 03."`
	Anchors           []string         `toml:"anchors" comment:"Whom to believe: files with signers' keys, certificates or anchor files; a vendor's root certificate replaces the built-in roots."`
	AttestationKeys   []string         `toml:"attestation_keys" comment:"Attestation keys of enrolled TPMs: files with public keys."`
	Statements        []string         `toml:"statements" comment:"Signed statements (CoRIM) that are admitted at the start."`
	Provenance        []string         `toml:"provenance" comment:"Attestations of builds that are known from the start (docs/provenance.md); they are linked to the statements."`
	ProvenanceExpect  string           `toml:"provenance_expect" comment:"Whom to believe about builds, and what to expect (JSON, docs/provenance.md). With it, attestations can also be submitted\nlike statements."`
	Policies          []string         `toml:"policies" comment:"Rego files: package assay.extra adds to the built-in policy, package assay replaces it (docs/policy.md)."`
	Params            string           `toml:"params" comment:"Settings of the built-in policy (JSON, docs/policy.md)."`
	Collateral        []string         `toml:"collateral" comment:"Vendor data: files, directories, exported bundles."`
	Offline           bool             `toml:"offline" comment:"Never fetch vendor data."`
	Explain           bool             `toml:"explain" comment:"Tell guests why they were refused, by class and reason code. Without it the reason is only in the log."`
	MachineIdentity   []string         `toml:"machine_identity" comment:"Claims that name a machine in the registry, the first that evidence has wins; \"a+b\" is both together. Where your\nhosts or ID blocks give each machine its own, add host_data or family_id+image_id. Empty: no registry, no clone alarms."`
	MachineLive       string           `toml:"machine_live" comment:"How long a machine counts as running after its last appraisal: in that time a second boot or chip raises a clone alarm."`
	SVSMHostBinding   bool             `toml:"accept_host_chosen_binding_unsafe" comment:"Release to SVSM builds that let the host choose what REPORT_DATA commits to."`
	InsecureSimulator bool             `toml:"insecure_simulator" comment:"Accept the simulator's roots. For trying things out only; every result is marked."`
	AuthorizationMode string           `toml:"authorization_mode" comment:"How administrators are recognised: AuthenticatedAuthorization (tokens and JWTs), DenyAll, or InsecureAllowAll."`
	ProtocolVersions  []string         `toml:"protocol_versions" comment:"Versions of the KBS protocol to serve; empty: 0.4.0, 0.2.0, 0.1.1 and 0.1.0."`
	Passport          passportConfig   `toml:"passport" comment:"Results of other verifiers that are accepted as bearer tokens; without keys and roots none are."`
	Providers         []providerConfig `toml:"identity_provider" comment:"Issuers of administrators' JWTs: issuer, audience, keys (PEM files), role of tokens that carry none (older kbs-client).\nFor example [{issuer = 'https://id.example', audience = 'kbs', keys = ['id.pem']}]."`
	ACLs              []aclConfig      `toml:"acl" comment:"What a role of a JWT may call: role, allowed_endpoints (a regular expression from ^/kbs to $ over path and query), as in\n[{role = 'admin', allowed_endpoints = '^/kbs/.*$'}].\nA role without a line has the permissions of the built-in role of that name."`
	Admins            []adminConfig    `toml:"admin" comment:"Who may administer besides the holder of admin.token: name, token_sha256 (hex SHA-256 of the bearer token), roles (admin,\nauditor, provisioner, policy-author, relying-party), as in [{name = 'ops', token_sha256 = '…', roles = ['auditor']}]."`
}

type adminConfig struct {
	Name        string   `toml:"name"`
	TokenSHA256 string   `toml:"token_sha256"`
	Roles       []string `toml:"roles"`
}

func defaultServeConfig(getenv func(string) string) serveConfig {
	return serveConfig{Listen: "127.0.0.1:8080", State: stateDir(getenv), TokenDialect: "trustee",
		MachineIdentity: registry.DefaultIdentity(), MachineLive: registry.DefaultLive.String()}
}

// stateDir is $STATE_DIRECTORY (systemd), $XDG_STATE_HOME/assay, or ~/.local/state/assay.
func stateDir(getenv func(string) string) string {
	if d := getenv("STATE_DIRECTORY"); d != "" {
		return d
	}
	if d := getenv("XDG_STATE_HOME"); d != "" {
		return filepath.Join(d, "assay")
	}
	return filepath.Join(getenv("HOME"), ".local", "state", "assay")
}

// load reads a file over c.
func (c *serveConfig) load(b []byte) error {
	d := toml.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(c)
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var names []string
		for _, e := range unknown.Errors {
			line, _ := e.Position()
			names = append(names, fmt.Sprintf("%s (line %d)", strings.Join(e.Key(), "."), line))
		}
		return fault.New(fault.Usage, "configuration: keys that are not known: %s; assay serve --print-config shows all", strings.Join(names, ", "))
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		line, _ := bad.Position()
		return fault.New(fault.Usage, "configuration: line %d: %w", line, err)
	}
	if err != nil {
		return fault.New(fault.Usage, "configuration: %w", err)
	}
	return nil
}

func (c *serveConfig) print() ([]byte, error) {
	var out bytes.Buffer
	e := toml.NewEncoder(&out)
	e.SetIndentTables(false)
	if err := e.Encode(c); err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	return out.Bytes(), nil
}

func (c *serveConfig) admins() ([]server.Admin, error) {
	known := map[string]server.Role{}
	for _, r := range server.Roles() {
		known[string(r)] = r
	}
	var out []server.Admin
	for _, a := range c.Admins {
		sum, err := hex.DecodeString(a.TokenSHA256)
		if err != nil || len(sum) != 32 || a.Name == "" || len(a.Roles) == 0 {
			return nil, fault.New(fault.Usage, "admin %q: a name, the hex SHA-256 of a token (64 digits) and at least one role are needed", a.Name)
		}
		ad := server.Admin{Name: a.Name, TokenSHA256: [32]byte(sum)}
		for _, r := range a.Roles {
			role, ok := known[r]
			if !ok {
				return nil, fault.New(fault.Usage, "admin %q: there is no role %q", a.Name, r)
			}
			ad.Roles = append(ad.Roles, role)
		}
		out = append(out, ad)
	}
	return out, nil
}

// makeState makes the state directory, readable by its owner only.
func makeState(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.New(fault.Usage, "state directory: %w", err)
	}
	return nil
}
