package server

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/registry"
	"github.com/assay-tee/assay/release"
)

// metrics are what /metrics shows. Names that begin with kbs_ are those of the existing server (kbs-protocol.md section
// 21); its label resource_path is left out, because strangers could make as many series as they like.
type metrics struct {
	reg      *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	sizeIn   prometheus.Histogram
	sizeOut  prometheus.Histogram
	active   prometheus.Gauge

	auth         outcome
	policyCounts map[string]prometheus.Counter
	attest       map[string]prometheus.Counter
	attestOK     *prometheus.CounterVec
	attestFail   *prometheus.CounterVec
	resource     map[string]prometheus.Counter
	faults       *prometheus.CounterVec
	releases     *prometheus.CounterVec
	alarms       *prometheus.CounterVec
}

type outcome struct{ requests, successes, errors prometheus.Counter }

func newMetrics(version string) *metrics {
	m := &metrics{reg: prometheus.NewRegistry(), policyCounts: map[string]prometheus.Counter{}, attest: map[string]prometheus.Counter{}, resource: map[string]prometheus.Counter{}}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.reg.MustRegister(c)
		return c
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.reg.MustRegister(c)
		return c
	}
	sizes := prometheus.ExponentialBuckets(64, 4, 9)
	m.requests = vec("kbs_http_requests_total", "Requests by route and status.", "method", "route", "status")
	m.duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "kbs_http_request_duration_seconds", Help: "Time to answer, by route.",
		Buckets: []float64{0.0005, 0.001, 0.005, 0.01, 0.05, 0.5, 1}}, []string{"route"})
	m.sizeIn = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "kbs_http_request_size_bytes", Help: "Bytes of request bodies.", Buckets: sizes})
	m.sizeOut = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "kbs_http_response_size_bytes", Help: "Bytes of response bodies.", Buckets: sizes})
	m.active = prometheus.NewGauge(prometheus.GaugeOpts{Name: "kbs_http_active_connections", Help: "Requests under way."})
	m.reg.MustRegister(m.duration, m.sizeIn, m.sizeOut, m.active)
	m.auth = outcome{counter("kbs_auth_requests_total", "Calls of auth."), counter("kbs_auth_successes_total", "Challenges given."), counter("kbs_auth_errors_total", "Calls of auth that failed.")}
	for _, k := range []string{"evaluations", "approvals", "violations", "errors"} {
		m.policyCounts[k] = counter("kbs_policy_"+k+"_total", "Questions about releases: "+k+".")
	}
	for _, k := range []string{"requests", "errors"} {
		m.attest[k] = counter("kbs_attestation_"+k+"_total", "Calls of attest: "+k+".")
	}
	m.attestOK = vec("kbs_attestation_successes_total", "Evidence that was authenticated, by TEE.", "tee_type")
	m.attestFail = vec("kbs_attestation_failures_total", "Evidence that was refused, by TEE.", "tee_type")
	for _, k := range []string{"reads", "writes", "deletes"} {
		m.resource[k] = counter("kbs_resource_"+k+"_total", "Resources: "+k+".")
	}
	m.faults = vec("assay_faults_total", "Requests that failed, by class and reason code.", "class", "reason")
	m.releases = vec("assay_releases_total", "Secrets that went out: first, again (the identical reply), on a ticket or without one.", "kind")
	m.alarms = vec("assay_clone_alarms_total", "Signs that a machine has a copy, by signal.", "signal")
	for _, x := range registry.Signals() {
		m.alarms.WithLabelValues(string(x))
	}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "kbs_build_info", Help: "The version that runs."}, []string{"version", "git_hash", "build_date"})
	info.WithLabelValues(version, "", "").Set(1)
	m.reg.MustRegister(info)
	return m
}

// request counts one finished request.
func (m *metrics) request(rt route, method string, status int, in, out int64, took time.Duration, err error) {
	name := rt.pattern
	if name == "" {
		name = "none"
	}
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(method, name, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(name).Observe(took.Seconds())
	m.sizeIn.Observe(float64(in))
	m.sizeOut.Observe(float64(out))
	if err != nil {
		m.faults.WithLabelValues(fault.ClassOf(err).String(), release.ReasonOf(err)).Inc()
	}
	switch name {
	case "/kbs/v0/auth":
		m.auth.requests.Inc()
		if err == nil {
			m.auth.successes.Inc()
		} else {
			m.auth.errors.Inc()
		}
	case "/kbs/v0/attest", "/v1/verify", "/v1/release":
		m.attest["requests"].Inc()
	case "/kbs/v0/resource/{path...}":
		m.resourceCall(method, err)
	}
}

func (m *metrics) resourceCall(method string, err error) {
	switch {
	case err == nil && method == http.MethodGet:
		m.resource["reads"].Inc()
		m.policyCounts["evaluations"].Inc()
		m.policyCounts["approvals"].Inc()
	case err == nil && method == http.MethodPost:
		m.resource["writes"].Inc()
	case err == nil && method == http.MethodDelete:
		m.resource["deletes"].Inc()
	case method == http.MethodGet:
		var we *wireError
		if !errors.As(err, &we) {
			return
		}
		switch we.variant {
		case rcar.PolicyDeny:
			m.policyCounts["evaluations"].Inc()
			m.policyCounts["violations"].Inc()
		case rcar.PolicyEngineError:
			m.policyCounts["evaluations"].Inc()
			m.policyCounts["errors"].Inc()
		}
	}
}

// attested counts one judgement. Evidence that was refused is a failure; a handshake that broke before is an error.
func (m *metrics) attested(tee string, err error) {
	switch {
	case err == nil:
		m.attestOK.WithLabelValues(tee).Inc()
	case fault.Is(err, fault.Internal), fault.Is(err, fault.Unavailable):
		m.attest["errors"].Inc()
	default:
		m.attestFail.WithLabelValues(tee).Inc()
	}
}

func (m *metrics) released(r *release.Reply) {
	kind := "plain"
	switch {
	case r.Again:
		kind = "again"
	case r.Ticket != "":
		kind = "ticket"
	}
	m.releases.WithLabelValues(kind).Inc()
}

func (s *Server) metricsPage(c *call) error {
	promhttp.HandlerFor(s.metrics.reg, promhttp.HandlerOpts{}).ServeHTTP(c.w, c.r)
	return nil
}
