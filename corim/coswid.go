package corim

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// CoSWID is a concise SWID tag (RFC 9393). What CoRIM needs is decoded; software-meta, media, processes and resources
// are checked for well-formedness only and stay in Raw, from which a tag that was read is written again.
type CoSWID struct {
	TagID           claim.ID
	TagVersion      int64
	SoftwareName    string
	SoftwareVersion string
	Corpus          bool
	Patch           bool
	Supplemental    bool
	Entities        []CoSWIDEntity
	Links           []CoSWIDLink
	Payload         []CoSWIDFile // directories flattened
	Evidence        []CoSWIDFile
	Raw             []byte // the map as carried; nil when made here
}

// CoSWIDEntity is entity-entry; the roles are those of RFC 9393 section 4.2 (1 tag-creator, 2 software-creator, …).
type CoSWIDEntity struct {
	Name  string
	RegID string
	Roles []int64
}

// CoSWIDLink is link-entry.
type CoSWIDLink struct {
	HRef string
	Rel  string
}

// CoSWIDFile is file-entry: a path below its root, and what the file must hash to.
type CoSWIDFile struct {
	Path   string // directories and names joined by "/"
	Size   claim.Opt[uint64]
	Digest claim.Digest // Value is nil when there is none
}

// Labels of RFC 9393 section 6.2.1 that are read.
const (
	swTagID           = 0
	swSoftwareName    = 1
	swEntity          = 2
	swEvidence        = 3
	swLink            = 4
	swPayload         = 6
	swHash            = 7
	swCorpus          = 8
	swPatch           = 9
	swSupplemental    = 11
	swTagVersion      = 12
	swSoftwareVersion = 13
	swDirectory       = 16
	swFile            = 17
	swSize            = 20
	swFSName          = 24
	swRoot            = 25
	swPathElements    = 26
	swEntityName      = 31
	swRegID           = 32
	swRole            = 33
	swHRef            = 38
	swRel             = 40
)

// label reads a map key; text labels (global attributes) give −1 and are skipped by their readers.
func label(r *cborx.Reader) int64 {
	if r.Kind() == cborx.Text {
		r.Text()
		return -1
	}
	return r.Int64()
}

// oneOrMore reads one-or-more<T>: a single object, or a list of them.
func (d *decoder) oneOrMore(r *cborx.Reader, one func()) {
	if r.Kind() == cborx.Array {
		d.list(r, maxTriples, one)
		return
	}
	one()
}

func (d *decoder) coswid(b []byte) (*CoSWID, error) {
	r := cborx.NewReader(b, innerLimits)
	c := &CoSWID{Raw: b}
	var seen int
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch label(r) {
		case swTagID:
			c.TagID = d.textOrUUID(r)
		case swSoftwareName:
			c.SoftwareName = r.Text()
			seen |= 1
		case swEntity:
			d.oneOrMore(r, func() { c.Entities = append(c.Entities, d.swEntity(r)) })
		case swEvidence:
			c.Evidence = d.swFiles(r, "", c.Evidence)
		case swLink:
			d.oneOrMore(r, func() { c.Links = append(c.Links, d.swLink(r)) })
		case swPayload:
			c.Payload = d.swFiles(r, "", c.Payload)
		case swCorpus:
			c.Corpus = r.Bool()
		case swPatch:
			c.Patch = r.Bool()
		case swSupplemental:
			c.Supplemental = r.Bool()
		case swTagVersion:
			c.TagVersion = r.Int64()
			seen |= 2
		case swSoftwareVersion:
			c.SoftwareVersion = r.Text()
		default:
			r.Skip()
		}
	}
	if r.OK() && (seen != 3 || c.TagID.IsZero() || len(c.Entities) == 0) {
		r.Fail("a CoSWID lacks its tag-id (0), software-name (1), entity (2) or tag-version (12)")
	}
	if err := r.Done(); err != nil {
		return nil, fault.Wrap(err, "coswid")
	}
	return c, nil
}

func (d *decoder) swEntity(r *cborx.Reader) (e CoSWIDEntity) {
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch label(r) {
		case swEntityName:
			e.Name = r.Text()
		case swRegID:
			e.RegID = d.uri(r)
		case swRole:
			d.oneOrMore(r, func() {
				if r.Kind() == cborx.Text {
					r.Text()
					return
				}
				e.Roles = append(e.Roles, r.Int64())
			})
		default:
			r.Skip()
		}
	}
	if e.Name == "" {
		r.Fail("an entity of a CoSWID lacks its name (31)")
	}
	return e
}

func (d *decoder) swLink(r *cborx.Reader) (l CoSWIDLink) {
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch label(r) {
		case swHRef:
			l.HRef = d.uri(r)
		case swRel:
			if r.Kind() == cborx.Text {
				l.Rel = r.Text()
			} else {
				r.Int64()
			}
		default:
			r.Skip()
		}
	}
	if l.HRef == "" {
		r.Fail("a link of a CoSWID lacks its href (38)")
	}
	return l
}

// swFiles reads the files of a resource collection below dir: a payload, an evidence, or path-elements.
func (d *decoder) swFiles(r *cborx.Reader, dir string, out []CoSWIDFile) []CoSWIDFile {
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch label(r) {
		case swDirectory:
			d.oneOrMore(r, func() { out = d.swDirectory(r, dir, out) })
		case swFile:
			d.oneOrMore(r, func() {
				if len(out) >= maxTriples {
					r.Fail("a CoSWID with more than %d files", maxTriples)
					return
				}
				out = append(out, d.swFile(r, dir))
			})
		default:
			r.Skip()
		}
	}
	return out
}

// swDirectory reads directory-entry. Its name may follow its elements, so the elements are read last.
func (d *decoder) swDirectory(r *cborx.Reader, dir string, out []CoSWIDFile) []CoSWIDFile {
	var name, root string
	var elements *cborx.Reader
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch label(r) {
		case swFSName:
			name = r.Text()
		case swRoot:
			root = r.Text()
		case swPathElements:
			elements = cborx.Checked(r.Raw())
		default:
			r.Skip()
		}
	}
	if r.OK() && name == "" {
		r.Fail("a directory of a CoSWID lacks its fs-name (24)")
	}
	if elements != nil && r.OK() {
		out = d.swFiles(elements, join(join(dir, root), name), out)
		r.FailErr(elements.Done())
	}
	return out
}

func (d *decoder) swFile(r *cborx.Reader, dir string) (f CoSWIDFile) {
	var name, root string
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch label(r) {
		case swFSName:
			name = r.Text()
		case swRoot:
			root = r.Text()
		case swSize:
			f.Size = claim.Some(r.Uint())
		case swHash:
			f.Digest = d.digest(r)
		default:
			r.Skip()
		}
	}
	if r.OK() && name == "" {
		r.Fail("a file of a CoSWID lacks its fs-name (24)")
	}
	f.Path = join(join(dir, root), name)
	return f
}

func join(dir, name string) string {
	if dir == "" || name == "" {
		return dir + name
	}
	return dir + "/" + name
}

// EncodeCoSWID writes a CoSWID map without its tag: Raw as carried when there is one, else what the fields hold, files
// without directories.
func EncodeCoSWID(c *CoSWID) ([]byte, error) {
	if c.Raw != nil {
		return c.Raw, nil
	}
	var e cborx.MapEncoder
	e.Put(swTagID, c.TagID.AppendCBOR(nil))
	e.Put(swSoftwareName, cborx.AppendText(nil, c.SoftwareName))
	e.Put(swTagVersion, cborx.AppendInt(nil, c.TagVersion))
	if c.SoftwareVersion != "" {
		e.Put(swSoftwareVersion, cborx.AppendText(nil, c.SoftwareVersion))
	}
	for key, set := range map[int64]bool{swCorpus: c.Corpus, swPatch: c.Patch, swSupplemental: c.Supplemental} {
		if set {
			e.Put(key, cborx.AppendBool(nil, true))
		}
	}
	e.Put(swEntity, appendOneOrMore(c.Entities, func(b []byte, en CoSWIDEntity) []byte {
		var ee cborx.MapEncoder
		ee.Put(swEntityName, cborx.AppendText(nil, en.Name))
		if en.RegID != "" {
			ee.Put(swRegID, appendURI(nil, en.RegID))
		}
		if len(en.Roles) > 0 {
			ee.Put(swRole, appendOneOrMore(en.Roles, cborx.AppendInt))
		}
		return ee.Append(b)
	}))
	if len(c.Links) > 0 {
		e.Put(swLink, appendOneOrMore(c.Links, func(b []byte, l CoSWIDLink) []byte {
			var le cborx.MapEncoder
			le.Put(swHRef, appendURI(nil, l.HRef))
			le.Put(swRel, cborx.AppendText(nil, l.Rel))
			return le.Append(b)
		}))
	}
	for key, files := range map[int64][]CoSWIDFile{swPayload: c.Payload, swEvidence: c.Evidence} {
		if len(files) > 0 {
			var fe cborx.MapEncoder
			fe.Put(swFile, appendOneOrMore(files, appendSWFile))
			e.Put(key, fe.Append(nil))
		}
	}
	return e.Append(nil), nil
}

func appendSWFile(b []byte, f CoSWIDFile) []byte {
	var e cborx.MapEncoder
	e.Put(swFSName, cborx.AppendText(nil, f.Path))
	if f.Size.Set {
		e.Put(swSize, cborx.AppendUint(nil, f.Size.V))
	}
	if f.Digest.Value != nil {
		e.Put(swHash, appendDigest(nil, f.Digest))
	}
	return e.Append(b)
}

func appendOneOrMore[T any](xs []T, one func([]byte, T) []byte) []byte {
	if len(xs) == 1 {
		return one(nil, xs[0])
	}
	return listOf(nil, xs, one)
}
