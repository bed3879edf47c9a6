package result

import "github.com/assay-tee/assay/internal/fault"

// names are the member names of one dialect in JSON; "" where the dialect has no such claim (specs ear.md section 9.1).
type names struct {
	status, verifierID                               string
	subStatus, vector, policyIDs, policyID, subNonce string
	annotated, policyClaims, keyAttestation          string
	trail, basis, mode, fault                        string
	allVectorMembers, intStatus, closedVector        bool
}

var earNames = names{
	status: "ear_status", verifierID: "ear_verifier_id", subStatus: "ear_status", vector: "ear_trustworthiness_vector",
	policyIDs: "ear_appraisal_policy_ids", subNonce: "eat_nonce", annotated: "ear_veraison_annotated_evidence",
	policyClaims: "ear_veraison_policy_claims", keyAttestation: "ear_veraison_key_attestation",
	trail: "ear_assay_trail", basis: "ear_assay_basis", mode: "ear_assay_mode", fault: "ear_assay_fault",
	closedVector: true,
}

// The older names. Our extensions keep theirs: receivers ignore what they do not know.
var dottedNames = names{
	verifierID: "ear.verifier-id", subStatus: "ear.status", vector: "ear.trustworthiness-vector",
	policyID: "ear.appraisal-policy-id", annotated: "ear.veraison.annotated-evidence",
	policyClaims: "ear.veraison.policy-claims", keyAttestation: "ear.veraison.key-attestation",
	trail: "ear_assay_trail", basis: "ear_assay_basis", mode: "ear_assay_mode", fault: "ear_assay_fault",
	allVectorMembers: true, intStatus: true,
}

func (p Profile) names() (*names, error) {
	switch p {
	case ProfileEAR:
		return &earNames, nil
	case ProfileVeraison, ProfileTrustee:
		return &dottedNames, nil
	}
	return nil, fault.New(fault.Unsupported, "EAR profile %q is not known here", string(p))
}

// ParseProfile reads the name of a dialect on the command line: "03", "veraison", "trustee", or a profile's own name.
func ParseProfile(s string) (Profile, error) {
	switch s {
	case "", "03", string(ProfileEAR):
		return ProfileEAR, nil
	case "veraison", string(ProfileVeraison):
		return ProfileVeraison, nil
	case "trustee", string(ProfileTrustee):
		return ProfileTrustee, nil
	}
	return "", fault.New(fault.Usage, "unknown EAR dialect %q; known are 03, veraison, trustee", s)
}
