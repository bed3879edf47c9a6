package server

import (
	"crypto/rand"
	"encoding/hex"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	twostep "github.com/assay-tee/assay/protocol/native"
	"github.com/assay-tee/assay/protocol/rcar"
)

// wire is the dialect of a route's errors.
type wire uint8

const (
	native wire = iota // RFC 9457 problem details
	kbs                // the KBS protocol's errors: 401 for nearly everything
	guest              // problem details that tell a stranger no more than that it is refused
)

// route is one line of the table.
type route struct {
	method  string // "" for any
	pattern string // as http.ServeMux writes it
	wire    wire
	perm    Permission // open when guests and strangers may call it
	body    int64      // bytes
	handle  func(*Server, *call) error
	plugin  bool // a plugin's route: the existing server names its denials differently
}

const (
	maxSecret   = 1 << 20
	maxDocument = 1 << 20
	maxTicket   = 64 << 10
)

// table is every route of the server.
func (s *Server) table() []route {
	t := []route{
		{"GET", "/healthz", native, open, 0, (*Server).healthz, false},
		{"GET", "/readyz", native, open, 0, (*Server).readyz, false},
		{"GET", "/metrics", native, open, 0, (*Server).metricsPage, false},
		{"GET", "/.well-known/jwks.json", native, open, 0, (*Server).jwks, false},

		{"POST", "/kbs/v0/auth", kbs, open, rcar.MaxAuthBody, (*Server).kbsAuth, false},
		{"POST", "/kbs/v0/attest", kbs, open, rcar.MaxAttestBody, (*Server).kbsAttest, false},
		{"GET", "/kbs/v0/resource/{path...}", kbs, open, maxDocument, (*Server).kbsFetch, false},
		{"POST", "/kbs/v0/resource/{path...}", kbs, SecretWrite, maxSecret, (*Server).kbsPutResource, true},
		{"DELETE", "/kbs/v0/resource/{path...}", kbs, SecretWrite, 0, (*Server).kbsDeleteResource, true},
		{"POST", "/kbs/v0/resource-policy", kbs, PolicyWrite, maxDocument, (*Server).kbsSetResourcePolicy, false},
		{"GET", "/kbs/v0/resource-policy", kbs, PolicyRead, maxDocument, (*Server).kbsResourcePolicies, false},
		{"POST", "/kbs/v0/attestation-policy", kbs, PolicyWrite, maxDocument, (*Server).kbsSetAttestationPolicy, false},
		{"POST", "/kbs/v0/reference-value", kbs, StatementWrite, maxDocument, (*Server).kbsSetReferenceValue, false},
		{"GET", "/kbs/v0/reference-value/{id...}", kbs, StatementRead, maxDocument, (*Server).kbsReferenceValue, false},
		{"", "/kbs/v0/", kbs, open, 0, (*Server).kbsUnknown, false},

		{"POST", "/v1/nonce", guest, open, twostep.MaxNonceBody, (*Server).nativeNonce, false},
		{"POST", "/v1/verify", guest, open, twostep.MaxBody, (*Server).nativeVerify, false},
		{"POST", "/v1/release", guest, open, twostep.MaxBody, (*Server).nativeRelease, false},

		{"GET", "/v1/secrets", native, SecretRead, 0, (*Server).listSecrets, false},
		{"PUT", "/v1/secrets/{path...}", native, SecretWrite, maxSecret, (*Server).putSecret, false},
		{"DELETE", "/v1/secrets/{path...}", native, SecretWrite, 0, (*Server).deleteSecret, false},
		{"GET", "/v1/tickets", native, TicketRead, 0, (*Server).listTickets, false},
		{"POST", "/v1/tickets", native, TicketWrite, maxTicket, (*Server).issueTicket, false},
		{"POST", "/v1/tickets/{id}/revoke", native, TicketWrite, 0, (*Server).revokeTicket, false},
		{"GET", "/v1/policies", native, PolicyRead, 0, (*Server).listPolicies, false},
		{"GET", "/v1/policies/{id...}", native, PolicyRead, 0, (*Server).getPolicy, false},
		{"PUT", "/v1/policies/{id...}", native, PolicyWrite, maxDocument, (*Server).putPolicy, false},
		{"DELETE", "/v1/policies/{id...}", native, PolicyWrite, 0, (*Server).deletePolicy, false},
		{"GET", "/v1/statements", native, StatementRead, 0, (*Server).listStatements, false},
		{"GET", "/v1/statements/{id...}", native, StatementRead, 0, (*Server).getStatement, false},
		{"PUT", "/v1/statements/{id...}", native, StatementWrite, maxDocument, (*Server).putStatement, false},
		{"DELETE", "/v1/statements/{id...}", native, StatementWrite, 0, (*Server).deleteStatement, false},
		{"GET", "/v1/machines", native, MachineRead, 0, (*Server).listMachines, false},
		{"GET", "/v1/machines/{id}", native, MachineRead, 0, (*Server).getMachine, false},
		{"POST", "/v1/machines/{id}/clear", native, MachineWrite, 0, (*Server).clearMachine, false},
		{"GET", "/v1/log", native, LogRead, 0, (*Server).listLog, false},
		{"GET", "/v1/log/checkpoint", native, LogRead, 0, (*Server).logCheckpoint, false},
		{"GET", "/v1/log/leaves", native, LogRead, 0, (*Server).logLeaves, false},
	}
	if s.cfg.Appraise != nil {
		t = append(t, route{"POST", "/v1/appraise", native, Appraise, rcar.MaxAttestBody, (*Server).appraise, false})
	}
	return t
}

// call is one request on its way through a handler.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	id    string // request id
	admin *Admin // who is asking, on routes that are not open
	body  []byte
	note  string // reason for the log, when the answer does not say it
}

// Handler returns the handler of all routes, for servers of the caller's own.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range s.routes {
		mux.Handle(strings.TrimSpace(rt.method+" "+rt.pattern), s.wrap(rt))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Paths are taken as they are: one that would be cleaned to another is nobody's resource.
		if clean := path.Clean(r.URL.Path); clean != strings.TrimSuffix(r.URL.Path, "/") && r.URL.Path != "/" || strings.Contains(r.URL.RawPath, "%2F") || strings.Contains(r.URL.RawPath, "%2f") {
			s.wrap(route{wire: wireOf(r.URL.Path), perm: open, handle: (*Server).badPath}).ServeHTTP(w, r)
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			handle := (*Server).notFound
			if s.otherMethod(mux, r) {
				handle = (*Server).wrongMethod
			}
			s.wrap(route{wire: wireOf(r.URL.Path), perm: open, handle: handle}).ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func wireOf(p string) wire {
	if strings.HasPrefix(p, "/kbs/") {
		return kbs
	}
	return native
}

// wrap does what every route needs: request id, role, bounded body, errors in the wire's dialect, one log line.
func (s *Server) wrap(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var raw [8]byte
		rand.Read(raw[:])
		c := &call{r: r, id: hex.EncodeToString(raw[:])}
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		c.w = rec
		rec.Header().Set("X-Request-Id", c.id)
		rec.Header().Set("Cache-Control", "no-store")
		rec.Header().Set("X-Content-Type-Options", "nosniff")
		start := time.Now()
		s.metrics.active.Inc()
		defer s.metrics.active.Dec()
		err := s.run(rt, c)
		if err != nil {
			s.fail(rt.wire, c, err)
		}
		s.metrics.request(rt, r.Method, rec.status, int64(len(c.body)), rec.written, time.Since(start), err)
		attrs := []any{"request", c.id, "method", r.Method, "path", r.URL.Path, "status", rec.status, "ms", time.Since(start).Milliseconds()}
		if c.admin != nil {
			attrs = append(attrs, "actor", c.admin.Name)
		}
		if err != nil {
			attrs = append(attrs, "class", fault.ClassOf(err).String(), "err", err.Error())
		}
		s.cfg.Log.Info("request", attrs...)
	})
}

func (s *Server) run(rt route, c *call) (err error) {
	if rt.perm != open {
		if c.admin, err = s.authorize(rt, c.r); err != nil {
			return err
		}
	}
	addr := clientAddress(c.r)
	body, held, err := s.readBody(c, rt.body)
	defer s.bodies.give(addr, held)
	if err != nil {
		return err
	}
	c.body = body
	return rt.handle(s, c)
}

// bodyChunk is the piece in which bodies are read and paid for out of the budget.
const bodyChunk = 32 << 10

// readBody reads at most limit bytes; what is held is returned even with an error, to be given back.
func (s *Server) readBody(c *call, limit int64) (body []byte, held int64, err error) {
	if c.r.ContentLength > limit {
		return nil, 0, fault.New(fault.Malformed, "the body has %d bytes; at most %d are read here", c.r.ContentLength, limit)
	}
	if c.r.ContentLength == 0 {
		return nil, 0, nil
	}
	addr := clientAddress(c.r)
	in := io.LimitReader(c.r.Body, limit+1)
	first := int64(bodyChunk)
	if c.r.ContentLength > 0 {
		first = min(first, c.r.ContentLength+1)
	}
	for {
		if len(body) == cap(body) {
			n := int64(min(max(len(body), bodyChunk), 1<<20))
			if body == nil {
				n = first
			}
			if !s.bodies.take(addr, n) {
				return nil, held, fault.New(fault.Unavailable, "too many bytes of requests are under way; try again")
			}
			held += n
			grown := make([]byte, len(body), int64(len(body))+n)
			copy(grown, body)
			body = grown
		}
		n, err := in.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > limit {
			return nil, held, fault.New(fault.Malformed, "the body is longer than the %d bytes that are read here", limit)
		}
		if err == io.EOF {
			return body, held, nil
		}
		if err != nil {
			return nil, held, fault.New(fault.Malformed, "the body breaks off: %w", err)
		}
	}
}

type recorder struct {
	http.ResponseWriter
	status  int
	written int64
}

// Write counts what is sent.
func (r *recorder) Write(b []byte) (int, error) {
	n, err := r.ResponseWriter.Write(b)
	r.written += int64(n)
	return n, err
}

// WriteHeader remembers the status for the log.
func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap gives the inner writer to http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (s *Server) badPath(c *call) error {
	return &wireError{status: http.StatusNotFound, variant: rcar.InvalidRequestPath, detail: "Request path " + c.r.URL.Path + " is invalid",
		err: fault.New(fault.Usage, "the path %q is not in its simplest form", c.r.URL.Path)}
}

// otherMethod reports whether the path is there for another method.
func (s *Server) otherMethod(mux *http.ServeMux, r *http.Request) bool {
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		o := *r
		o.Method = m
		if _, pattern := mux.Handler(&o); pattern != "" {
			return true
		}
	}
	return false
}

func (s *Server) wrongMethod(c *call) error {
	return &wireError{status: http.StatusMethodNotAllowed, variant: rcar.InvalidRequestPath, detail: "Request path " + c.r.URL.Path + " is invalid",
		err: fault.New(fault.Usage, "%s does not know %s", c.r.URL.Path, c.r.Method)}
}

func (s *Server) notFound(c *call) error {
	return &wireError{status: http.StatusNotFound, variant: rcar.InvalidRequestPath, detail: "Request path " + c.r.URL.Path + " is invalid",
		err: fault.New(fault.Usage, "there is no %s %s here", c.r.Method, c.r.URL.Path)}
}

// RouteInfo describes one route, for documentation and tests.
type RouteInfo struct {
	Method     string
	Pattern    string
	Permission Permission // "" when guests and strangers may call it
}

// Routes lists all routes in the order of the table.
func (s *Server) Routes() []RouteInfo {
	out := make([]RouteInfo, 0, len(s.routes))
	for _, r := range s.routes {
		out = append(out, RouteInfo{r.method, r.pattern, r.perm})
	}
	return out
}
