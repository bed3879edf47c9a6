# Bundles of several attesters (specs ecosystem-wires.md section 2): each attester is judged by the rules of its TEE, and
# the worst of them is the verdict. What is in a bundle and nobody here can read might be the part that matters.
package assay

finding contains {
	"attester": a.label, "status": "none", "code": "bundle-incomplete",
	"what": "the bundle holds records that were not appraised",
	"why": "they are of a type that is not known here, or are words that an attester cannot speak (results, reference values, policies)",
	"next": "send evidence only, in the types that the manual lists",
} if {
	some a in input.attesters
	"bundle_incomplete" in a.notes
}
