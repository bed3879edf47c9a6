package corim

import "github.com/assay-tee/assay/internal/fault"

func (d *decoder) coswid(b []byte) (*CoSWID, error) {
	return nil, fault.New(fault.Unsupported, "CoSWID")
}
func (d *decoder) cots(b []byte) (*CoTS, error) { return nil, fault.New(fault.Unsupported, "CoTS") }
func appendCoSWID(c *CoSWID) ([]byte, error)    { return c.Raw, nil }
func appendCoTS(c *CoTS) ([]byte, error)        { return c.Raw, nil }
