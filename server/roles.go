package server

import "slices"

// Permission is what a route asks for.
type Permission string

// The permissions.
const (
	open           Permission = ""
	SecretRead     Permission = "secret:read" // names and versions, never values
	SecretWrite    Permission = "secret:write"
	TicketRead     Permission = "ticket:read"
	TicketWrite    Permission = "ticket:write"
	PolicyRead     Permission = "policy:read"
	PolicyWrite    Permission = "policy:write"
	StatementRead  Permission = "statement:read"
	StatementWrite Permission = "statement:write"
	MachineRead    Permission = "machine:read"
	MachineWrite   Permission = "machine:write" // clears clone alarms
	LogRead        Permission = "log:read"
	Appraise       Permission = "appraise"
)

// Role is a set of permissions.
type Role string

// The roles. No role reads secret values back: only attested machines get those.
const (
	RoleAdmin        Role = "admin"
	RoleAuditor      Role = "auditor"       // reads everything that may be read
	RoleProvisioner  Role = "provisioner"   // secrets and tickets
	RolePolicyAuthor Role = "policy-author" // policies and statements
	RoleRelyingParty Role = "relying-party" // has evidence appraised
)

// Roles lists all roles.
func Roles() []Role {
	return []Role{RoleAdmin, RoleAuditor, RoleProvisioner, RolePolicyAuthor, RoleRelyingParty}
}

// May reports whether r includes p.
func (r Role) May(p Permission) bool {
	switch r {
	case RoleAdmin:
		return true
	case RoleAuditor:
		return slices.Contains([]Permission{SecretRead, TicketRead, PolicyRead, StatementRead, MachineRead, LogRead}, p)
	case RoleProvisioner:
		return slices.Contains([]Permission{SecretRead, SecretWrite, TicketRead, TicketWrite, MachineRead}, p)
	case RolePolicyAuthor:
		return slices.Contains([]Permission{PolicyRead, PolicyWrite, StatementRead, StatementWrite}, p)
	case RoleRelyingParty:
		return p == Appraise
	}
	return false
}
