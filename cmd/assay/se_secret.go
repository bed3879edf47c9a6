package main

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/evidence/secex"
	"github.com/assay-tee/assay/internal/fault"
)

var seSecretTypes = map[string]secex.SecretType{
	"association": secex.SecretAssociation, "plaintext": secex.SecretPlaintext, "aes-128": secex.SecretAES128, "aes-192": secex.SecretAES192,
	"aes-256": secex.SecretAES256, "aes-xts-128": secex.SecretAESXTS128, "aes-xts-256": secex.SecretAESXTS256, "hmac-sha-256": secex.SecretHMACSHA256,
	"hmac-sha-512": secex.SecretHMACSHA512, "ec-p256": secex.SecretP256, "ec-p384": secex.SecretP384, "ec-p521": secex.SecretP521,
	"ed25519": secex.SecretEd25519, "ed448": secex.SecretEd448, "update-cck": secex.SecretUpdateCCK,
}

func newSeAddSecretCmd(a *app) *cobra.Command {
	var trust seTrust
	var hdr, cuid, kind, name, from, ext, cck, userData, userKey, out string
	var noDump bool
	c := &cobra.Command{
		Use:   "add-secret",
		Short: "Wrap a secret so that only one image, or one running guest, can add it to its Ultravisor",
		Long: `Writes a request that the guest hands to its Ultravisor ("pvsecret add"). With --cuid, from evidence that was just
verified, only that one running guest can add it, and no key for it ever lies in the guest's memory.`,
		Example: "  assay se add-secret --hdr image --secret disk.key --name disk -k hkd.crt --cert ibm.crt --cert inter.crt --root-ca root.crt --cuid 1414… -o secret.bin",
		Args:    cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			cfg := secex.AddSecretConfig{NoDump: noDump}
			var ok bool
			if cfg.Type, ok = seSecretTypes[kind]; !ok {
				return fault.New(fault.Usage, "--type %q: one of %s", kind, strings.Join(sortedNames(seSecretTypes), ", "))
			}
			if hdr == "" || from == "" || (name == "" && kind != "update-cck") {
				return fault.New(fault.Usage, "name image, secret and the secret's name: --hdr FILE --secret FILE --name NAME")
			}
			if err := a.seSecret(&cfg, hdr, cuid, name, from, ext, cck); err != nil {
				return err
			}
			if err := a.seUserData(&cfg, userData, userKey); err != nil {
				return err
			}
			var err error
			if cfg.HostKeys, err = trust.hosts(cmd.Context(), a); err != nil {
				return err
			}
			b, err := secex.NewAddSecretRequest(cfg)
			if err != nil {
				return err
			}
			if err := a.output(out, 0o644, func(w io.Writer) error { _, err := w.Write(b); return err }); err != nil {
				return err
			}
			if out != "" && out != stdinArg {
				fmt.Fprintf(a.stderr, "secret id %x\n", cfg.ID)
			}
			return nil
		}),
	}
	trust.add(c)
	fl := c.Flags()
	fl.StringVar(&hdr, "hdr", "", "`FILE` with the SE image, or its header")
	fl.StringVar(&cuid, "cuid", "", "configuration UID in `HEX` of the guest; without it any guest of the image can add the secret")
	fl.StringVar(&kind, "type", "plaintext", "`TYPE` of the secret")
	fl.StringVar(&name, "name", "", "`NAME` of the secret; its id is the SHA-256 of it")
	fl.StringVar(&from, "secret", "", "`FILE` with the secret")
	fl.StringVar(&ext, "extension-secret", "", "`FILE` with the extension secret of 32 bytes")
	fl.StringVar(&cck, "cck", "", "`FILE` with the customer communication key, to derive the extension secret from")
	fl.StringVar(&userData, "user-data", "", "`FILE` with up to 512 bytes for software in the guest; signed, 256, or 128 with RSA-3072")
	fl.StringVar(&userKey, "user-sign-key", "", "private key in `FILE` (PKCS #8, EC P-521, RSA-2048 or RSA-3072) that signs the user data")
	fl.BoolVar(&noDump, "disable-dump", false, "forbid dumps of the guest from then on")
	fl.StringVarP(&out, "output", "o", "", "write to `FILE`")
	return c
}

func (a *app) seSecret(cfg *secex.AddSecretConfig, hdr, cuid, name, from, ext, cck string) error {
	img, err := a.read(hdr)
	if err != nil {
		return err
	}
	h, _, err := secex.FindHeader(img)
	if err != nil {
		return err
	}
	cfg.Tags = &h.Tags
	if cuid != "" {
		if cfg.CUID, err = unhex("--cuid", cuid); err != nil {
			return err
		}
	}
	if cfg.Secret, err = a.read(from); err != nil {
		return err
	}
	if cfg.Type == secex.SecretPlaintext {
		if cfg.Secret, err = secex.PlaintextSecret(cfg.Secret); err != nil {
			return err
		}
	}
	cfg.ID = secex.SecretID(name)
	switch {
	case ext != "" && cck != "":
		return fault.New(fault.Usage, "--extension-secret and --cck exclude each other")
	case ext != "":
		b, err := os.ReadFile(ext)
		if err != nil || len(b) != 32 {
			return fault.New(fault.Usage, "--extension-secret: %d bytes, 32 are needed (%v)", len(b), err)
		}
		cfg.Extension = [32]byte(b)
	case cck != "":
		b, err := os.ReadFile(cck)
		if err != nil || len(b) != 32 {
			return fault.New(fault.Usage, "--cck: %d bytes, 32 are needed (%v)", len(b), err)
		}
		if cfg.Extension, err = secex.DerivedExtension(b, cfg.Tags); err != nil {
			return err
		}
	}
	return nil
}

// seUserData reads what goes along with a secret, and the key that signs it.
func (a *app) seUserData(cfg *secex.AddSecretConfig, data, key string) error {
	var err error
	if data != "" {
		if cfg.UserData, err = a.read(data); err != nil {
			return err
		}
	}
	if key == "" {
		return nil
	}
	b, err := a.read(key)
	if err != nil {
		return err
	}
	if blk, _ := pem.Decode(b); blk != nil {
		b = blk.Bytes
	}
	k, err := x509.ParsePKCS8PrivateKey(b)
	if err != nil {
		return fault.New(fault.Malformed, "--user-sign-key %s: not a private key in PKCS #8: %w", key, err)
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return fault.New(fault.Unsupported, "--user-sign-key %s: this kind of key cannot sign", key)
	}
	cfg.UserDataKey = signer
	return nil
}

func newSeUserDataCmd(a *app) *cobra.Command {
	var cert, out string
	c := &cobra.Command{
		Use:   "user-data REQUEST",
		Short: "Show the user data of an add-secret request, and check who signed it",
		Long: `The Ultravisor does not look at user data: software in the guest checks it, as here. With --user-cert nothing is shown
unless the request is signed by that certificate's key.`,
		Example: "  assay se user-data secret.bin --user-cert signer.crt",
		Args:    cobra.ExactArgs(1),
		RunE: runE(func(_ *cobra.Command, args []string) error {
			req, err := a.read(args[0])
			if err != nil {
				return err
			}
			var pub crypto.PublicKey
			if cert != "" {
				b, err := a.read(cert)
				if err != nil {
					return err
				}
				certs, err := parseCerts(b)
				if err != nil {
					return fault.Wrap(err, "--user-cert %s", cert)
				}
				pub = certs[0].PublicKey
			}
			data, err := secex.UserData(req, pub)
			if err != nil {
				return err
			}
			return a.output(out, 0o644, func(w io.Writer) error { _, err := w.Write(data); return err })
		}),
	}
	c.Flags().StringVar(&cert, "user-cert", "", "certificate in `FILE` whose key must have signed the user data")
	c.Flags().StringVarP(&out, "output", "o", "", "write to `FILE`")
	return c
}

func sortedNames(m map[string]secex.SecretType) []string {
	k := map[string]int{}
	for n := range m {
		k[n] = 0
	}
	return sortedKeys(k)
}
