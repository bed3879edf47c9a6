package corim

import "github.com/assay-tee/assay/claim"

// CoSWID is a concise SWID tag (RFC 9393), as far as CoRIM needs it; everything else stays in Raw, from which it is
// written again.
type CoSWID struct {
	TagID           claim.ID
	TagVersion      int64
	SoftwareName    string
	SoftwareVersion string
	Files           []CoSWIDFile // of payload and evidence, directories flattened
	Raw             []byte       // the map as carried
}

// CoSWIDFile is a file of a payload or evidence with its digest.
type CoSWIDFile struct {
	Path   string
	Size   uint64
	Digest claim.Digest // Value is nil when there is none
}
