package snp

import (
	"strconv"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
)

// CPUModel is a processor model of QEMU with its CPUID signature.
type CPUModel struct {
	Name      string
	Signature uint32 // CPUID Fn0000_0001 EAX
}

// GenericSignature is family 6, model 0, stepping 0: what KVM puts into rdx at reset for launchers that name no model.
const GenericSignature = 0x600

// Signature computes CPUID Fn0000_0001 EAX from the display family, model and stepping.
func Signature(family, model, stepping uint32) (uint32, error) {
	if family > 15+255 || model > 255 || stepping > 15 {
		return 0, fault.New(fault.Usage, "family %d, model %d, stepping %d is no x86 processor: they end at 270, 255 and 15", family, model, stepping)
	}
	low, ext := family, uint32(0)
	if family > 15 {
		low, ext = 15, family-15
	}
	return ext<<20 | model>>4<<16 | low<<8 | model&15<<4 | stepping, nil
}

// CPUModels lists the models that are known by name (QEMU target/i386/cpu.c).
func CPUModels() []CPUModel {
	const (
		naples, rome, milan, genoa, turin = 0x800f12, 0x830f10, 0xa00f11, 0xa10f10, 0xb00f00
	)
	return []CPUModel{
		{"EPYC", naples}, {"EPYC-v1", naples}, {"EPYC-v2", naples}, {"EPYC-IBPB", naples}, {"EPYC-v3", naples}, {"EPYC-v4", naples}, {"EPYC-v5", naples},
		{"EPYC-Rome", rome}, {"EPYC-Rome-v1", rome}, {"EPYC-Rome-v2", rome}, {"EPYC-Rome-v3", rome}, {"EPYC-Rome-v4", rome}, {"EPYC-Rome-v5", rome},
		{"EPYC-Milan", milan}, {"EPYC-Milan-v1", milan}, {"EPYC-Milan-v2", milan}, {"EPYC-Milan-v3", milan},
		{"EPYC-Genoa", genoa}, {"EPYC-Genoa-v1", genoa}, {"EPYC-Genoa-v2", genoa}, {"EPYC-Turin", turin},
	}
}

// SignatureByName finds a model by name, in any case. Unknown names are [fault.Usage], with the list.
func SignatureByName(name string) (uint32, error) {
	var known []string
	for _, m := range CPUModels() {
		if strings.EqualFold(m.Name, name) {
			return m.Signature, nil
		}
		known = append(known, m.Name)
	}
	hint := ""
	if strings.EqualFold(name, "host") || strings.EqualFold(name, "max") {
		hint = "; '-cpu " + strings.ToLower(name) + "' shows the physical processor: pass its CPUID leaf 1 EAX with --vcpu-sig"
	}
	return 0, fault.New(fault.Usage, "vCPU type %q is not known; known are %s%s", name, strings.Join(known, ", "), hint)
}

// Features of the VMSA's sev_features field, by bit (AMD APM volume 2, table B-4).
var featureNames = map[int]string{0: "SNPActive", 1: "vTOM", 2: "ReflectVC", 3: "RestrictedInjection", 4: "AlternateInjection", 5: "DebugSwap",
	6: "PreventHostIBS", 7: "BTBIsolation", 8: "VmplSSS", 9: "SecureTSC", 10: "VmgexitParameter", 12: "IbsVirtualization", 14: "VmsaRegProt",
	15: "SmtProtection"}

// ParseFeatures reads guest features: a number in any base, or names joined by plus signs ("snp+debugswap").
func ParseFeatures(s string) (uint64, error) {
	if v, err := strconv.ParseUint(s, 0, 64); err == nil {
		return v, nil
	}
	var v uint64
next:
	for part := range strings.SplitSeq(s, "+") {
		part = strings.TrimSpace(part)
		if strings.EqualFold(part, "snp") {
			v |= 1
			continue
		}
		for bit, name := range featureNames {
			if strings.EqualFold(name, part) {
				v |= 1 << bit
				continue next
			}
		}
		return 0, fault.New(fault.Usage, "guest feature %q is neither a number nor one of %s", part, strings.Join(FeatureNames(1<<64-1), ", "))
	}
	return v, nil
}

// FeatureNames lists the names of the bits that are set in v, in order; bits without a name are left out.
func FeatureNames(v uint64) []string {
	var out []string
	for bit := range 64 {
		if name, ok := featureNames[bit]; ok && v>>bit&1 == 1 {
			out = append(out, name)
		}
	}
	return out
}
