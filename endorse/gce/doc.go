// Package gce reads the launch endorsements that Google publishes for the firmware of its confidential VMs
// (gce-tcb-verifier, proto/endorsement.proto, VMLaunchEndorsement), as a form of statement for package endorse.
//
// The signature (RSASSA-PSS, SHA-256) is checked over the bytes as carried, and the certificate inside them leads to an
// anchor, before anything in them is interpreted. What Google's own tool leaves out is refused here: repeated fields and
// keys, measurements of wrong length, empty lists, and an endorsement that says no provenance.
//
// One endorsement becomes at most two manifests: reference values of the launch measurement and the guest policy for each
// number of VMSAs (AMD's profile, for VCEK and VLEK), and of MRTD (our TDX profile); and a conditional endorsement series
// that says which firmware, security version and number of VCPUs the value stands for.
package gce
