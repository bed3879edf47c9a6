package eventlog

import (
	"fmt"
	"strings"

	"github.com/assay-tee/assay/claim"
)

// BootClaims are our own claims about the boot: everything that was measured, event by event, and what digests cover of
// it. Types are not measured; a claim that rests on a type names it beside the digest, and texts appear only where a
// digest covers them. Members: events (register, type, digest, and content where covered), kernel_cmdline,
// grub_commands, secure_boot (null when the variable is empty or absent), variables, boot_variables, actions,
// applications, tagged, firmware, runtime.
func (x *Explained) BootClaims(register string) claim.Node {
	b := boot{name: func(e *Measured) string { return fmt.Sprintf("%s%d", register, int(e.Index)-1) }, secureBootIndex: 1}
	if x.pcrs {
		b.name, b.secureBootIndex, b.strict = func(e *Measured) string { return fmt.Sprintf("%s%d", register, e.Index) }, 7, true
	}
	for i := range x.Events {
		b.add(&x.Events[i])
	}
	return claim.O(
		m("algorithm", claim.S(x.Alg.String())),
		m("kernel_cmdline", b.cmdline()),
		m("secure_boot", b.secureBootState()),
		m("dm_verity_root_hash", b.verity()),
		m("applications", claim.L(b.applications...)),
		m("firmware", claim.L(b.firmware...)),
		m("tagged", claim.L(b.tagged...)),
		m("variables", claim.L(b.variables...)),
		m("boot_variables", claim.L(b.bootVariables...)),
		m("actions", claim.L(b.actions...)),
		m("grub_commands", claim.L(b.grub...)),
		m("runtime", claim.L(b.runtime...)),
		m("events", claim.L(b.events...)),
	)
}

type boot struct {
	name            func(*Measured) string
	secureBootIndex uint32          // register that the variables of Secure Boot are measured into
	strict          bool            // registers are PCRs: the rules of the PC Client profile hold
	seen            map[string]bool // variables of Secure Boot that are not empty
	authority       bool            // a signer was measured
	debug           bool
	separated       bool // the separator of the register of Secure Boot was measured

	events, applications, firmware, tagged, variables, bootVariables, actions, grub, runtime, cmd []claim.Node
	secureBoot                                                                                    claim.Node
	sawSecureBoot                                                                                 bool
}

// cmdline is the kernel's command line when exactly one was measured: with two, nobody could say which was used.
func (b *boot) cmdline() claim.Node {
	if len(b.cmd) != 1 {
		return claim.Null()
	}
	return b.cmd[0]
}

func (b *boot) add(e *Measured) {
	reg := claim.S(b.name(e))
	entry := []claim.Member{m("register", reg), m("type", claim.S(e.Type.String())), m("digest", claim.H(e.Digest))}
	digest := claim.O(m("register", reg), m("digest", claim.H(e.Digest)))
	switch e.Type {
	case EVEFIBootServicesApp:
		b.applications = append(b.applications, digest)
	case EVEFIPlatformFirmwareBlob2, EVEFIPlatformFirmwareBlob, EVEFIHandoffTables2, EVEFIHandoffTables, EVPlatformConfigFlags, EVPostCode:
		b.firmware = append(b.firmware, digest)
	}
	// By its digest: the type is not measured, and whoever comes after the firmware may call the separator something else.
	for _, d := range separatorData {
		b.separated = b.separated || e.Index == b.secureBootIndex && e.covers(d)
	}
	c := e.Content
	if c == nil {
		if e.Type == EVEventTag {
			b.tagged = append(b.tagged, digest)
		}
		b.events = append(b.events, claim.O(entry...))
		return
	}
	switch c.Kind {
	case KindSeparator, KindGPT:
		entry = append(entry, m("data", claim.H(c.Data)))
	case KindAction:
		b.debug = b.debug || e.Index == b.secureBootIndex && c.Text == "UEFI Debug Mode"
		entry = append(entry, m("text", claim.S(c.Text)))
		b.actions = append(b.actions, claim.O(m("register", reg), m("text", claim.S(c.Text))))
	case KindVariable:
		v := claim.O(m("register", reg), m("name", claim.S(c.Variable.Name)), m("guid", claim.S(guidText(c.Variable.GUID[:]))), m("data", claim.H(c.Variable.Data)))
		entry = append(entry, m("variable", v))
		b.variables = append(b.variables, v)
		b.readSecureBoot(e, c.Variable)
	case KindBootVariable:
		entry = append(entry, m("data", claim.H(c.Variable.Data)))
		b.bootVariables = append(b.bootVariables, claim.H(c.Variable.Data))
	case KindAAEL:
		entry = append(entry, m("runtime", c.AAEL.node()))
		b.runtime = append(b.runtime, claim.O(m("register", reg), m("event", c.AAEL.node())))
	case KindGRUBCommand:
		entry = append(entry, m("text", claim.S(c.Text)))
		b.grub = append(b.grub, claim.S(c.Text))
	case KindKernelCmdline:
		entry = append(entry, m("text", claim.S(c.Text)))
		b.cmd = append(b.cmd, claim.S(c.Text))
	}
	b.events = append(b.events, claim.O(entry...))
}

// efiGlobal is EFI_GLOBAL_VARIABLE, in the order of its bytes.
var efiGlobal = [16]byte{0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c}

// readSecureBoot takes the variable that firmware measured first into the first register. One of length 0 says nothing
// (tsm-tpm.md section 12); a later one of the same name may have been measured by anybody, so two say nothing either.
func (b *boot) readSecureBoot(e *Measured, v *Variable) {
	b.noteVariable(e, v)
	if b.separated || e.Type != EVEFIVariableDriverConfig || e.Index != b.secureBootIndex || v.Name != "SecureBoot" || v.GUID != efiGlobal {
		return
	}
	if b.sawSecureBoot {
		b.secureBoot = claim.Null()
		return
	}
	b.sawSecureBoot = true
	if len(v.Data) == 1 {
		b.secureBoot = claim.B(v.Data[0] == 1)
	}
}

// noteVariable remembers what Secure Boot needs beside its switch.
func (b *boot) noteVariable(e *Measured, v *Variable) {
	if e.Index != b.secureBootIndex {
		return
	}
	if e.Type == EVEFIVariableAuthority {
		b.authority = true
	} else if !b.separated && len(v.Data) > 0 {
		if b.seen == nil {
			b.seen = map[string]bool{}
		}
		b.seen[v.Name] = true
	}
}

// secureBootState is true only if keys were enrolled, a signer was used and no debugger was on (tsm-tpm.md section 12);
// where one of them is missing, nobody can say.
func (b *boot) secureBootState() claim.Node {
	if !b.strict || b.secureBoot.Kind != claim.NodeBool || !b.secureBoot.Bool() {
		return b.secureBoot
	}
	if b.seen["PK"] && b.seen["KEK"] && b.seen["db"] && b.authority && !b.debug {
		return b.secureBoot
	}
	return claim.Null()
}

// verityOptions are options of the kernel's command line that name the root hash of a dm-verity tree.
var verityOptions = []string{"roothash=", "usrhash=", "systemd.verity_root_hash=", "verity.usrhash="}

// verity is the root hash that the measured command line names; null when none or several are named.
func (b *boot) verity() claim.Node {
	line := b.cmdline()
	var found []string
	for _, word := range strings.Fields(line.Text()) {
		for _, o := range verityOptions {
			if h, ok := strings.CutPrefix(word, o); ok {
				found = append(found, h)
			}
		}
	}
	if len(found) != 1 {
		return claim.Null()
	}
	return claim.S(found[0])
}
