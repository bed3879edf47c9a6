package main

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/snp"
)

type idBlockFlags struct {
	measurement string
	idKey       string
	authorKey   string
	familyID    string
	imageID     string
	svn         uint32
	policy      string
	block, auth string
	verify      bool
	format      string
}

func newMeasureIDBlockCmd(a *app) *cobra.Command {
	var f idBlockFlags
	c := &cobra.Command{
		Use:   "id-block",
		Short: "Make and sign the ID block and ID authentication of an SNP guest, or check a pair",
		Long: `Makes the ID block (96 bytes: measurement, family and image id, SVN, policy) and signs it into the ID authentication
structure (4096 bytes). A launch with them fails unless measurement and policy are as signed, and the report then carries
the digests of the ID key and the author key. Launching needs the two structures only, never the private keys.

Prints what QEMU's sev-snp-guest object takes, and the digests of the keys, in base64 as snp-create-id-block does.`,
		Example: `  assay measure id-block --measurement "$(assay measure snp …)" --id-key id.pem --author-key author.pem
  assay measure id-block --verify --block-file block.bin --auth-file auth.bin`,
		Args: cobra.NoArgs,
		RunE: runE(func(*cobra.Command, []string) error {
			if f.verify {
				return a.verifyIDBlock(f)
			}
			return a.makeIDBlock(f)
		}),
	}
	fl := c.Flags()
	fl.StringVar(&f.measurement, "measurement", "", "launch digest in hex or base64")
	fl.StringVar(&f.idKey, "id-key", "", "`FILE` with the private ID key: ECDSA P-384, PEM")
	fl.StringVar(&f.idKey, "idkey", "", "the same as --id-key")
	fl.StringVar(&f.authorKey, "author-key", "", "`FILE` with the private author key, which signs the ID key")
	fl.StringVar(&f.authorKey, "authorkey", "", "the same as --author-key")
	fl.StringVar(&f.familyID, "family-id", "", "family id, 16 bytes in `HEX`")
	fl.StringVar(&f.imageID, "image-id", "", "image id, 16 bytes in `HEX`")
	fl.Uint32Var(&f.svn, "svn", 0, "security version `NUMBER` of the guest")
	fl.StringVar(&f.policy, "policy", fmt.Sprintf("0x%x", snp.DefaultPolicy), "guest policy `VALUE`, in any base")
	fl.StringVar(&f.block, "block-file", "", "write the ID block to `FILE` (with --verify: read it)")
	fl.StringVar(&f.auth, "auth-file", "", "write the ID authentication to `FILE` (with --verify: read it)")
	fl.BoolVar(&f.verify, "verify", false, "check both signatures of a pair instead of making one")
	fl.StringVar(&f.format, "format", "text", "text or json")
	_, _ = fl.MarkHidden("idkey"), fl.MarkHidden("authorkey")
	return c
}

// launchDigest reads 48 bytes in hex, or in base64 as snp-create-id-block takes them.
func launchDigest(s string) (measure.SHA384, error) {
	if len(s) == base64.StdEncoding.EncodedLen(48) {
		var d measure.SHA384
		if b, err := base64.StdEncoding.DecodeString(s); err == nil && copy(d[:], b) == 48 {
			return d, nil
		}
	}
	return measure.ParseSHA384(s)
}

func id16(name, s string) ([16]byte, error) {
	var out [16]byte
	b, err := hex.DecodeString(s)
	if err != nil || len(b) > 16 {
		return out, fault.New(fault.Usage, "--%s %q is not up to 16 bytes in hex", name, s)
	}
	copy(out[:], b)
	return out, nil
}

type idBlockOutput struct {
	IDBlock         string `json:"id_block"`
	IDAuth          string `json:"id_auth"`
	IDKeyDigest     string `json:"id_key_digest"`
	AuthorKeyDigest string `json:"author_key_digest,omitempty"`
}

func (a *app) makeIDBlock(f idBlockFlags) error {
	if f.measurement == "" || f.idKey == "" {
		return fault.New(fault.Usage, "say what is signed and by whom: --measurement HEX --id-key FILE")
	}
	b := snp.IDBlock{GuestSVN: f.svn}
	var err error
	if b.LD, err = launchDigest(f.measurement); err != nil {
		return err
	}
	if b.FamilyID, err = id16("family-id", f.familyID); err != nil {
		return err
	}
	if b.ImageID, err = id16("image-id", f.imageID); err != nil {
		return err
	}
	if b.Policy, err = strconv.ParseUint(f.policy, 0, 64); err != nil {
		return fault.New(fault.Usage, "--policy %q is not a 64-bit number", f.policy)
	}
	out := idBlockOutput{}
	idKey, err := loadIDKey(f.idKey, &out.IDKeyDigest)
	if err != nil {
		return err
	}
	var authorKey crypto.Signer
	if f.authorKey != "" {
		if authorKey, err = loadIDKey(f.authorKey, &out.AuthorKeyDigest); err != nil {
			return err
		}
	}
	block := b.Bytes()
	auth, err := snp.SignIDBlock(block, idKey, authorKey)
	if err != nil {
		return err
	}
	out.IDBlock, out.IDAuth = base64.StdEncoding.EncodeToString(block), base64.StdEncoding.EncodeToString(auth)
	for name, data := range map[string][]byte{f.block: block, f.auth: auth} {
		if name == "" {
			continue
		}
		if err := a.output(name, 0o644, func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
			return err
		}
	}
	if f.format == "json" {
		return writeJSON(a.stdout, out)
	}
	_, err = fmt.Fprintf(a.stdout, "id-block=%s,id-auth=%s\nid_key_hash: %s\n", out.IDBlock, out.IDAuth, out.IDKeyDigest)
	if err == nil && out.AuthorKeyDigest != "" {
		_, err = fmt.Fprintf(a.stdout, "author_key: %s\n", out.AuthorKeyDigest)
	}
	return err
}

func loadIDKey(name string, digest *string) (crypto.Signer, error) {
	k, err := keys.Load(name)
	if err != nil {
		return nil, err
	}
	pub, ok := k.Signer.Public().(*ecdsa.PublicKey)
	if !ok {
		return nil, fault.New(fault.Unsupported, "%s: a %T; an ECDSA key on P-384 is wanted", name, k.Signer.Public())
	}
	d, err := snp.KeyDigest(pub)
	*digest = base64.StdEncoding.EncodeToString(d[:])
	return k.Signer, fault.Wrap(err, "%s", name)
}

func (a *app) verifyIDBlock(f idBlockFlags) error {
	if f.block == "" || f.auth == "" {
		return fault.New(fault.Usage, "--verify needs --block-file and --auth-file")
	}
	block, err := a.readArtefact(f.block, snp.IDAuthSize)
	if err != nil {
		return err
	}
	auth, err := a.readArtefact(f.auth, snp.IDAuthSize)
	if err != nil {
		return err
	}
	b, err := snp.ParseIDBlock(block)
	if err != nil {
		return err
	}
	ok, err := snp.VerifyIDAuth(block, auth)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "measurement  %v\npolicy       0x%x\nsvn          %d\nfamily id    %x\nimage id     %x\nID key       %v\n",
		b.LD, b.Policy, b.GuestSVN, b.FamilyID, b.ImageID, ok.IDKeyDigest)
	if ok.HasAuthor {
		fmt.Fprintf(a.stdout, "author key   %v\n", ok.AuthorKeyDigest)
	}
	return nil
}
