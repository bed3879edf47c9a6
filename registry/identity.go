package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// Identity lists the claims that name a machine, the first that evidence has wins. Names are those of tickets'
// conditions; "a+b" names it by both together.
type Identity []string

// DefaultIdentity are claims that name a machine and not an image: Azure's VM id, Google's instance, and the key of an
// enrolled TPM. What identifies a machine of bare SNP or TDX (HOST_DATA, or the ids of a signed ID block) is the
// deployment's convention, and is shared by many machines in others, so it has to be configured.
func DefaultIdentity() Identity {
	return Identity{"vm_configuration.vm_unique_id", "gce_instance.project_number+gce_instance.instance_id", "ak_name"}
}

const maxIdentity = 16

// Check refuses what names nothing.
func (id Identity) Check() error {
	if len(id) > maxIdentity {
		return fault.New(fault.Usage, "a machine is named by at most %d claims in turn", maxIdentity)
	}
	for _, name := range id {
		for part := range strings.SplitSeq(name, "+") {
			if part == "" || len(part) > 256 || strings.ContainsAny(part, "= \n") {
				return fault.New(fault.Usage, "machine identity %q is not a claim's name, or some joined by '+'", name)
			}
		}
	}
	return nil
}

// MachineID is the name of an entry: 128 bits of SHA-256 of the identity, in hex.
func MachineID(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:16])
}

// Read takes what concerns the registry out of authenticated claims ("name=value"). It reports false when they name no
// machine.
func (id Identity) Read(facts []string, tier string, now time.Time) (Seen, bool) {
	values := make(map[string]string, len(facts))
	for _, f := range facts {
		name, value, _ := strings.Cut(f, "=")
		if _, have := values[name]; !have && set(value) {
			values[name] = value
		}
	}
	first := func(names ...string) string {
		for _, n := range names {
			if v := values[n]; v != "" {
				return v
			}
		}
		return ""
	}
	identity := id.find(values)
	if identity == "" {
		return Seen{}, false
	}
	s := Seen{
		Machine: MachineID(identity), Identity: identity, Tier: tier, Time: now,
		EK:   first("ek_public_sha256", "ek_name"),
		Chip: first("chip_id", "cpu.chip_id"),
		Boot: first("report_id", "cpu.report_id"),
	}
	s.Counters = counters(facts)
	return s, true
}

func (id Identity) find(values map[string]string) string {
	for _, name := range id {
		var parts []string
		for part := range strings.SplitSeq(name, "+") {
			part = strings.ReplaceAll(part, "-", "_")
			v := values[part]
			// The name of a key that nothing vouches for is a name that anybody can take.
			if v == "" || strings.HasPrefix(part, "ak_") && values["ak_rooted"] != "true" {
				parts = nil
				break
			}
			parts = append(parts, part+"="+v)
		}
		if len(parts) > 0 {
			return strings.Join(parts, "+")
		}
	}
	return ""
}

// set reports whether a value is more than the zeros of a field that nobody filled in.
func set(v string) bool { return strings.Trim(v, "0-") != "" }

func counters(facts []string) *Counters {
	var c Counters
	have := false
	for _, f := range facts {
		name, value, _ := strings.Cut(f, "=")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "reset_count":
			c.Reset, have = n, true
		case "restart_count":
			c.Restart = n
		}
	}
	if !have {
		return nil
	}
	return &c
}
