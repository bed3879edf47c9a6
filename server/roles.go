package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/protocol/rcar"
)

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
		return slices.Contains([]Permission{SecretRead, TicketRead, PolicyRead, StatementRead, LogRead}, p)
	case RoleProvisioner:
		return slices.Contains([]Permission{SecretRead, SecretWrite, TicketRead, TicketWrite}, p)
	case RolePolicyAuthor:
		return slices.Contains([]Permission{PolicyRead, PolicyWrite, StatementRead, StatementWrite}, p)
	case RoleRelyingParty:
		return p == Appraise
	}
	return false
}

// authorize finds out who asks and whether they may. Every configured token is compared, so that the time does not tell
// which one came close.
func (s *Server) authorize(rt route, r *http.Request) (*Admin, error) {
	sum := sha256.Sum256([]byte(rcar.Bearer(r)))
	var who *Admin
	for i := range s.cfg.Admins {
		if subtle.ConstantTimeCompare(sum[:], s.cfg.Admins[i].TokenSHA256[:]) == 1 {
			who = &s.cfg.Admins[i]
		}
	}
	deny := func(status int, why, cause string) error {
		return &wireError{status: status, variant: rcar.AdminAuthInitialization,
			detail: "failed to initialize [admin] configuration: " + cause, err: fault.New(fault.Denied, "%s", why)}
	}
	if who == nil || rcar.Bearer(r) == "" {
		return nil, deny(http.StatusUnauthorized, "no valid administrator's token", "Cannot verify token with any of the issuers")
	}
	for _, role := range who.Roles {
		if role.May(rt.perm) {
			return who, nil
		}
	}
	return who, deny(http.StatusForbidden, who.Name+" lacks the permission "+string(rt.perm), "Role not allowed for path "+r.URL.Path)
}
