package server_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/protocol/native"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/registry"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator"
)

// byHostData is a deployment that gives each machine a HOST_DATA of its own.
func byHostData(c *server.Config) { c.MachineIdentity = registry.Identity{"host_data"} }

func (w *world) machines(query string) []registry.Machine {
	w.t.Helper()
	status, out := w.call("GET", "/v1/machines"+query, "")
	var page struct{ Machines []registry.Machine }
	if status != 200 || json.Unmarshal(out, &page) != nil {
		w.t.Fatalf("%d %s", status, out)
	}
	return page.Machines
}

func attest(t *testing.T, c *rcar.Client) {
	t.Helper()
	if _, err := c.Attest(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func launch(t *testing.T, chip *simulator.Chip, host byte) *simulator.Guest {
	t.Helper()
	g, err := chip.Launch(simulator.GuestConfig{Measurement: good, HostData: [32]byte{host}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func signals(m registry.Machine) string {
	var out []string
	for _, a := range m.Alarms {
		out = append(out, string(a.Signal))
	}
	return strings.Join(out, " ")
}

func TestCloneAlarms(t *testing.T) {
	later := func(w *world) { w.clock.add(registry.DefaultLive) }
	for _, tc := range []struct {
		name string
		run  func(*testing.T, *world, *simulator.Chip)
		want string
	}{
		{"again and again", func(t *testing.T, w *world, chip *simulator.Chip) {
			g := launch(t, chip, 1)
			attest(t, w.clientOf(g))
			attest(t, w.clientOf(g))
		}, ""},
		{"a reboot", func(t *testing.T, w *world, chip *simulator.Chip) {
			attest(t, w.clientOf(launch(t, chip, 1)))
			later(w)
			attest(t, w.clientOf(launch(t, chip, 1)))
		}, ""},
		{"a move", func(t *testing.T, w *world, chip *simulator.Chip) {
			attest(t, w.clientOf(launch(t, chip, 1)))
			later(w)
			attest(t, w.client(simulator.GuestConfig{Measurement: good, HostData: [32]byte{1}}))
		}, ""},
		{"refused evidence", func(t *testing.T, w *world, chip *simulator.Chip) {
			attest(t, w.clientOf(launch(t, chip, 1)))
			attest(t, w.client(simulator.GuestConfig{Measurement: bad, HostData: [32]byte{1}}))
		}, ""},
		{"two chips", func(t *testing.T, w *world, chip *simulator.Chip) {
			attest(t, w.clientOf(launch(t, chip, 1)))
			attest(t, w.client(simulator.GuestConfig{Measurement: good, HostData: [32]byte{1}}))
		}, "clone_two_places clone_two_sessions"},
		{"two sessions on one chip", func(t *testing.T, w *world, chip *simulator.Chip) {
			attest(t, w.clientOf(launch(t, chip, 1)))
			attest(t, w.clientOf(launch(t, chip, 1)))
		}, "clone_two_sessions"},
		{"a replaced boot comes back", func(t *testing.T, w *world, chip *simulator.Chip) {
			first := launch(t, chip, 1)
			attest(t, w.clientOf(first))
			later(w)
			attest(t, w.clientOf(launch(t, chip, 1)))
			later(w)
			attest(t, w.clientOf(first))
		}, "clone_two_sessions"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, byHostData)
			chip, err := w.amd.NewChip(simulator.Milan)
			if err != nil {
				t.Fatal(err)
			}
			tc.run(t, w, chip)
			list := w.machines("")
			if len(list) != 1 || signals(list[0]) != tc.want {
				t.Fatalf("%+v", list)
			}
			if got := len(w.machines("?suspect=true")); (got == 1) != (tc.want != "") {
				t.Errorf("%d suspects", got)
			}
			_, log := w.call("GET", "/v1/log?limit=1000", "")
			if n := strings.Count(string(log), `"kind":"alarm"`); n != len(strings.Fields(tc.want)) {
				t.Errorf("%d alarms in the log: %s", n, log)
			}
			_, page := w.call("GET", "/metrics", "")
			for _, s := range registry.Signals() {
				want := `assay_clone_alarms_total{signal="` + string(s) + `"} ` + map[bool]string{true: "1", false: "0"}[strings.Contains(tc.want, string(s))]
				if !strings.Contains(string(page), want+"\n") {
					t.Errorf("no %q in the metrics", want)
				}
			}
		})
	}
}

// TestTicketsDemandNotAClone: a ticket releases nothing to a machine under an alarm, and is not burned by it.
func TestTicketsDemandNotAClone(t *testing.T) {
	w := newWorld(t, byHostData)
	w.put("default/key/1", "?one_shot=true", "once")
	const where = `"where":[{"claim":"host_data","equals":"0100000000000000000000000000000000000000000000000000000000000000"}]`
	w.ticket(`{"resource":"default/key/1",` + where + `}`)
	get := func(c *rcar.Client) string {
		b, err := c.Get(t.Context(), "default/key/1", "")
		if err != nil {
			return reason(err)
		}
		return string(b)
	}
	guest := func() *rcar.Client {
		c := w.client(simulator.GuestConfig{Measurement: good, HostData: [32]byte{1}})
		attest(t, c)
		return c
	}
	original := guest()
	copied := guest()
	for _, c := range []*rcar.Client{copied, original} {
		if got := get(c); got != "clone_suspect" {
			t.Fatalf("%q while there may be two", got)
		}
	}
	// Somebody else is not concerned.
	w.ticket(`{"resource":"default/key/1","where":[{"claim":"host_data","equals":"0200000000000000000000000000000000000000000000000000000000000000"}]}`)
	other := w.client(simulator.GuestConfig{Measurement: good, HostData: [32]byte{2}})
	attest(t, other)
	if got := get(other); got != "once" {
		t.Fatalf("another machine: %q", got)
	}
	id := registry.MachineID("host_data=01" + strings.Repeat("00", 31))
	if status, out := w.call("POST", "/v1/machines/"+id+"/clear", ""); status != 204 {
		t.Fatalf("%d %s", status, out)
	}
	if got := get(original); got != "once" {
		t.Fatalf("after the alarm was cleared: %q", got)
	}
	if status, out := w.call("POST", "/v1/machines/nobody/clear", ""); status != 404 {
		t.Errorf("%d %s", status, out)
	}
	if status, out := w.call("GET", "/v1/machines/"+id, ""); status != 200 || !strings.Contains(string(out), `"cleared":`) {
		t.Errorf("%d %s", status, out)
	}
	_, log := w.call("GET", "/v1/log?limit=1000", "")
	for _, want := range []string{`"reason":"clone_suspect"`, `"event":"clone_suspect"`, "clone alarms cleared", `"subject":"` + id + `"`} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the log has no %s", want)
		}
	}
	// A ticket may say that it does not matter.
	w.clock.add(time.Second)
	copied = guest()
	if got := get(copied); got == "once" {
		t.Fatal("the copy raised no alarm")
	}
	w.ticket(`{"resource":"default/key/1","allow_clone":true,` + where + `}`)
	if got := get(copied); got != "once" {
		t.Errorf("with a ticket that allows copies: %q", got)
	}
}

// Bare SNP names no machine unless the deployment says what does: guests of one image and HOST_DATA are no copies.
func TestNoIdentityNoMachine(t *testing.T) {
	w := newWorld(t, nil)
	for range 2 {
		attest(t, w.client(simulator.GuestConfig{Measurement: good, HostData: [32]byte{1}}))
	}
	if list := w.machines(""); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// Both wires see the same machines: what attests over one is a copy of what attested over the other.
func TestClonesOverTheNativeWire(t *testing.T) {
	w := newWorld(t, byHostData)
	w.put("default/key/1", "?one_shot=true", "once")
	w.ticket(`{"resource":"default/key/1"}`)
	attest(t, w.client(simulator.GuestConfig{Measurement: good, HostData: [32]byte{1}}))
	x := w.begin("snp", native.Release)
	status, out := x.send("/v1/release", x.submission(w.guest(simulator.GuestConfig{Measurement: good, HostData: [32]byte{1}}), x.bind))
	if _, r := refused(out); status != 403 || r != "clone_suspect" {
		t.Errorf("%d %s", status, out)
	}
	if list := w.machines("?suspect=true"); len(list) != 1 || len(list[0].Boots) != 2 {
		t.Errorf("%+v", list)
	}
}

// A resource policy that releases to machines which are not affirmed does not get around the registry.
func TestClonesUnderAResourcePolicy(t *testing.T) {
	w := newWorld(t, func(c *server.Config) {
		byHostData(c)
		c.Parts.Load = loader(t, c.Parts, time.Now)
	})
	w.put("default/key/1", "?one_shot=true", "once")
	w.ticket(`{"resource":"default/key/1","uses":2}`)
	if status, out := w.call("POST", "/kbs/v0/resource-policy", `{"policy":"`+b64url("package policy\nallow = true")+`"}`); status != 200 {
		t.Fatalf("%d %s", status, out)
	}
	get := func() string {
		c := w.client(simulator.GuestConfig{Measurement: bad, HostData: [32]byte{1}})
		attest(t, c)
		b, err := c.Get(t.Context(), "default/key/1", "")
		if err != nil {
			return reason(err)
		}
		return string(b)
	}
	if got := get(); got != "once" {
		t.Fatalf("%q", got)
	}
	if got := get(); got != "clone_suspect" {
		t.Errorf("a second one at the same time: %q", got)
	}
}
