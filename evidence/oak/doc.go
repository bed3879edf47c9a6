// Package oak authenticates the evidence of Project Oak (oak.attestation.v1.Evidence, protobuf): a root layer on SEV-SNP,
// on TDX or on nothing, DICE layers below it, application keys, and an event log that the layers bind (oak.md).
//
// The root layer is evidence of another TEE, and is authenticated by that TEE's driver with all its rules: AMD's chain
// from the built-in roots, revocation, consistency of report and certificate. It becomes a part of the result with the
// label "root", so that policies judge the report as they judge any other. The report must carry SHA-256 of the ECA key,
// and zeros behind it; that key signs layers[0], each layer's key the next, and the last layer's key the application
// certificates and the signed user data. Each event must be the one that its layer's certificate names: as many events as
// layers, and on the Restricted Kernel a second one, bound by the application's certificates. On TDX there are no
// layers; the events must give RTMR2, and RTMR0, 1, 3 and the report data must be zero.
//
// Two forms: "evidence" binds the original event log, "evidence-transparent" (--as oak:evidence-transparent) the
// transparent one. The other log is then not looked at and nothing is claimed from it.
//
// Endorsements. The certificate of the SNP root travels in Oak's message Endorsements, apart from the evidence. Give that
// file with --cert or --collateral; both its forms (the legacy oneof and the variants) are read. Certificates in DER or
// PEM do as well. Nothing else of the message is looked at here: what it endorses is a matter of reference values
// (package provenance/oak).
//
// Without hardware. Platform NONE is authenticated and marked "oak-no-root". Software-rooted evidence is class
// unsupported, unless its first key is configured as an anchor of TEE "oak"; then it is marked "oak-software-root".
// No policy of ours affirms either.
//
// Binding. Oak's evidence has no nonce. An expectation is compared with USER_DATA, the payload that the last layer signed,
// if there is one; else with SESSION_BINDING_PUBLIC_KEY (65 bytes, SEC1) of the events; else with the key of the
// encryption certificate. Who expects a session's key must see to it that the peer proves possession of it.
//
// Claims: platform, shape, event_log, certificate_aad ("none", "purpose" or "mixed": whether the signatures cover what a
// certificate is for), eca_key_id. Of stage0, where its event is there: kernel, kernel_setup_data, kernel_cmdline (text),
// kernel_cmdline_digest, initrd, memory_map, acpi. Of later layers: system_image, container,
// container_config, application, application_config, and container_config_given or application_config_given (false for
// the digest of nothing). Of CB's transparent events: runtime_agent, runtime_agent_binary, userspace, argv_binary. Keys:
// session_binding_public_key, hybrid_encryption_public_key, signing_public_key. A digest is shown as its SHA-256; digests
// has all algorithms. event_0, event_1, … are the SHA-256 of the events as carried, events their types as well. layers
// and application_keys show the certificates, user_data the signed payload, unknown_fields how much of the message is
// not known here (note unknown_fields).
//
// Tuples: one per event, environment vendor "Project Oak", model the shape, layer the number of the event; mkeys are the
// names of the claims as text, and "event" for the digest of the whole event.
package oak
