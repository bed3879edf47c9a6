// Package bundle authenticates several attesters as one: a conceptual message wrapper (CMW, draft-ietf-rats-msg-wrap) in
// JSON or CBOR, record or collection, and the submodules of unsecured EAT claims sets (RFC 9711).
//
// A CMW protects nothing. Every record of evidence is authenticated by the driver of its TEE and must be bound to what is
// expected of the whole: one nonce or key in all of them, or members of different machines could be put together. One
// member that is refused refuses the bundle.
//
// The result is that of the lead with the others as parts. Who leads, and what the parts are called, follows from the TEEs
// that the drivers have found and from the order, never from labels of the collection: a CPU leads, devices (tpm,
// nvgpu) follow.
//
// Types of records: application/vnd.assay.<tee>-report is evidence for the driver of that name; application/eat+cwt
// and eat+jwt (also as Content-Format 263) are recognised by their content; application/eat-ucs+cbor and +json carry nested
// tokens; application/vnd.assay.eventlog is the event log of the machine. Records whose indicator says endorsements are
// hints like --cert. A record of another type, or with reference values, results or policies, is kept in the tree, used by
// nobody, and noted: bundle_incomplete, which the built-in policy never affirms.
//
// [Parse] gives the tree to relying parties that want to appraise a whole CMW themselves.
package bundle
