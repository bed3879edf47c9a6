// Package simulator is hardware in software: vendor roots, chips, reports and vendor services that exist for one
// process and are thrown away with it. It lets everything after the guest's own firmware be tested and shown without a
// confidential machine.
//
// It proves nothing, and it is built so that nobody can mistake it for something that does (DESIGN.md section 2, rule 10):
// its keys are made from the system's random source at each construction and never leave the process, every certificate
// names evidence.SimulatorOrganization as its organization, and evidence.NewAnchors refuses the roots unless the
// operator asks for them by a name that says unsafe.
package simulator
