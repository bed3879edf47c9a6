package vtpm

import (
	"crypto"
	"crypto/subtle"
	"math/bits"

	"github.com/assay-tee/assay/internal/fault"
)

// Bank holds PCR values of one hash algorithm by index; what is nil is not there.
type Bank struct {
	Hash   Hash
	Values [NumPCRs][]byte
}

// Mask has bit n set when PCR n is there.
func (b *Bank) Mask() uint32 {
	var m uint32
	for i, v := range b.Values {
		if v != nil {
			m |= 1 << i
		}
	}
	return m
}

// AllPCRs selects PCR 0 to 23.
const AllPCRs uint32 = 1<<NumPCRs - 1

// Want is what a quote must be over.
type Want struct {
	Bank  Hash   // the bank; 0 takes the one that the signed selection names
	Exact uint32 // if not 0: the selection must be this set of PCRs
	Cover uint32 // the selection must have at least these PCRs
}

// Quote is a quote whose signature, selection and digest hold. Its binding has not been compared.
type Quote struct {
	Attest
	Scheme        Scheme
	SignatureHash Hash
	// Bank has the values of exactly the PCRs that the signed selection names.
	Bank Bank
}

// VerifyQuote checks a quote by tsm-tpm.md section 6, steps 2, 3 and 5 to 7, under a key that the caller has rooted: the
// signature over msg as carried, the structure, exactly one selection, and the digest over the values in ascending order.
// The signed selection decides what the values mean: a value that it does not name is dropped, one that it names and that
// is not given is class binding.
func VerifyQuote(key crypto.PublicKey, msg []byte, sig Signature, given *Bank, want Want) (*Quote, error) {
	sigErr := sig.Verify(key, msg)
	a, err := ParseAttest(msg)
	switch {
	case sigErr != nil && len(msg) > maxAttest:
		return nil, err
	case sigErr != nil && err != nil && hasTrailer(msg):
		return nil, err // says it better than that the signature does not fit
	case sigErr != nil:
		return nil, sigErr
	case err != nil:
		return nil, err
	case !a.IsQuote():
		return nil, fault.New(fault.Unsupported, "a TPM certification, where a quote is wanted")
	}
	q := &Quote{Attest: a, Scheme: sig.Scheme, SignatureHash: sig.Hash}
	mask, err := selected(&a, want)
	if err != nil {
		return nil, err
	}
	if err := q.take(given, mask); err != nil {
		return nil, err
	}
	return q, nil
}

// hasTrailer reports whether msg is a whole TPMS_ATTEST with something behind it.
func hasTrailer(msg []byte) bool {
	for n := len(msg) - 1; n > 0 && n >= len(msg)-16; n-- {
		if _, err := ParseAttest(msg[:n]); err == nil {
			return true
		}
	}
	return false
}

// selected checks the signed selection and returns its PCRs.
func selected(a *Attest, want Want) (uint32, error) {
	if len(a.Selections) != 1 {
		return 0, fault.New(fault.Binding, "the quote has %d PCR selections; exactly one is accepted", len(a.Selections))
	}
	s := a.Selections[0]
	if s.Hash.Size() == 0 {
		return 0, fault.New(fault.Unsupported, "the quote is over PCR bank %s, which is not known", s.Hash)
	}
	if want.Bank != 0 && s.Hash != want.Bank {
		return 0, fault.New(fault.Binding, "the quote is over the %s bank, the values given are of %s", s.Hash, want.Bank)
	}
	if len(s.Bitmap) != NumPCRs/8 {
		return 0, fault.New(fault.Unsupported, "the quote has a PCR bitmap of %d bytes; a PC Client TPM makes %d", len(s.Bitmap), NumPCRs/8)
	}
	var mask uint32
	for i, b := range s.Bitmap {
		mask |= uint32(b) << (8 * i)
	}
	switch {
	case mask == 0:
		return 0, fault.New(fault.Binding, "the quote selects no PCR")
	case want.Exact != 0 && mask != want.Exact:
		return 0, fault.New(fault.Binding, "the quote selects PCRs %s; the form of the evidence needs %s", pcrList(mask), pcrList(want.Exact))
	case mask&want.Cover != want.Cover:
		return 0, fault.New(fault.Binding, "the quote leaves out PCRs %s, which are demanded", pcrList(want.Cover&^mask))
	}
	return mask, nil
}

// take keeps the selected values and compares their digest. It is made with the hash of the signature scheme, not with
// that of the bank (Part 3, TPM2_Quote).
func (q *Quote) take(given *Bank, mask uint32) error {
	bank := q.Selections[0].Hash
	if given.Hash != bank {
		return fault.New(fault.Binding, "the quote is over the %s bank, the values given are called %s", bank, given.Hash)
	}
	q.Bank.Hash = bank
	h, _ := q.SignatureHash.crypto()
	d := h.New()
	for m := mask; m != 0; m &= m - 1 {
		i := bits.TrailingZeros32(m)
		v := given.Values[i]
		if v == nil {
			return fault.New(fault.Binding, "the quote is over PCR %d, whose value is not given", i)
		}
		if len(v) != bank.Size() {
			return fault.New(fault.Malformed, "PCR %d has %d bytes; the %s bank has %d", i, len(v), bank, bank.Size())
		}
		d.Write(v)
		q.Bank.Values[i] = v
	}
	if subtle.ConstantTimeCompare(d.Sum(nil), q.PCRDigest) != 1 {
		return fault.New(fault.Binding, "the PCR values do not hash to the digest that the TPM signed: they are others, or in another order")
	}
	return nil
}

// pcrList renders a set of PCRs.
func pcrList(mask uint32) string {
	var b []byte
	for m := mask; m != 0; {
		first := bits.TrailingZeros32(m)
		n := bits.TrailingZeros32(^(m >> first))
		if b != nil {
			b = append(b, ',')
		}
		b = appendInt(b, first)
		if n > 1 {
			b = appendInt(append(b, '-'), first+n-1)
		}
		m &^= (1<<n - 1) << first
	}
	if b == nil {
		return "none"
	}
	return string(b)
}

func appendInt(b []byte, n int) []byte {
	if n >= 10 {
		b = append(b, byte('0'+n/10))
	}
	return append(b, byte('0'+n%10))
}
