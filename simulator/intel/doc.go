// Package intel simulates Intel's world: the root, the PCK CAs, machines with PCK certificates and quoting enclaves,
// TDs and enclaves with quotes of every version, and the signed collateral at any TCB state that a test asks for.
//
// As package simulator it proves nothing and says so: keys are random and die with the process, and every certificate
// names evidence.SimulatorOrganization. It shares no code with the verifiers: what one of them reads wrongly, the other
// does not write wrongly in the same way.
package intel
