// Package foreign verifies the attestation tokens of other verifiers, which speak formats of their own: Microsoft Azure
// Attestation, Google's Confidential Space, Intel Trust Authority.
//
// Such a token is a third party's word about evidence that the relying party has not seen. It counts as one vote among
// several and never replaces evidence (tsm-tpm.md section 14). Keys are pinned: whoever fetches them decides when, and the
// token never says which key to believe. The algorithm is that of the key and of the kind of token, not of the header.
package foreign
