package server

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/protocol/rcar"
)

// initDataFields says which TEEs have a field that the host fills with the digest of init-data, and how it gets there
// (kbs-protocol.md section 8). Drivers show it as the claim init_data. Where no hardware field binds a document, the
// document is refused: it must not become claims.
var initDataFields = map[string]func([]byte) (evidence.Binding, error){
	"snp": evidence.ExpectFit,   // HOST_DATA, 32 bytes
	"tdx": evidence.ExpectFit,   // MRCONFIGID, 48 bytes
	"sgx": evidence.ExpectFit,   // CONFIGID, 64 bytes
	"cca": evidence.ExpectExact, // personalization value
}

// checkInitData refuses a document that the lead Attester's hardware does not bind, and returns its claims.
func checkInitData(tee rcar.TEE, d *rcar.InitData, lead *evidence.Verified) ([]byte, error) {
	if d == nil {
		return nil, nil
	}
	doc, err := d.Parse()
	if err != nil {
		return nil, err
	}
	expect, ok := initDataFields[tee.Name]
	if !ok {
		return nil, fault.New(fault.Unsupported, "no field of %s binds init-data, so the document would be mere words; leave it out", tee.Name)
	}
	field, ok := lead.Claims().Get("init_data")
	if !ok || field.Kind != claim.NodeHex {
		return nil, fault.New(fault.Binding, "the evidence shows no init-data field")
	}
	binding, err := expect(doc.Digest)
	if err != nil {
		return nil, err
	}
	if _, err := binding.Check("init_data", field.Bytes()); err != nil {
		return nil, fault.Wrap(err, "init-data")
	}
	return doc.Claims, nil
}
