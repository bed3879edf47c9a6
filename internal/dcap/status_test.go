package dcap

import "testing"

// The merge table of section 16, all rows and columns.
func TestMerge(t *testing.T) {
	for _, row := range []struct{ platform, allUpToDate, oneOutOfDate, oneRevoked Status }{
		{UpToDate, UpToDate, OutOfDate, Revoked},
		{SWHardeningNeeded, SWHardeningNeeded, OutOfDate, Revoked},
		{ConfigurationNeeded, ConfigurationNeeded, OutOfDateConfigurationNeeded, Revoked},
		{ConfigurationAndSWHardeningNeeded, ConfigurationAndSWHardeningNeeded, OutOfDateConfigurationNeeded, Revoked},
		{OutOfDate, OutOfDate, OutOfDate, Revoked},
		{OutOfDateConfigurationNeeded, OutOfDateConfigurationNeeded, OutOfDateConfigurationNeeded, Revoked},
		{Revoked, Revoked, Revoked, Revoked},
	} {
		for _, c := range []struct {
			module, qe, want Status
		}{
			{statusNone, UpToDate, row.allUpToDate}, {UpToDate, UpToDate, row.allUpToDate},
			{OutOfDate, UpToDate, row.oneOutOfDate}, {UpToDate, OutOfDate, row.oneOutOfDate}, {statusNone, OutOfDate, row.oneOutOfDate}, {OutOfDate, OutOfDate, row.oneOutOfDate},
			{Revoked, UpToDate, row.oneRevoked}, {UpToDate, Revoked, row.oneRevoked}, {Revoked, OutOfDate, row.oneRevoked}, {OutOfDate, Revoked, row.oneRevoked},
		} {
			if got := merge(row.platform, c.module, c.qe); got != c.want {
				t.Errorf("platform %v, module %v, QE %v: %v, want %v", row.platform, c.module, c.qe, got, c.want)
			}
		}
	}
}

// The relaunch table of section 17: every pair.
func TestRelaunchTable(t *testing.T) {
	for launch := UpToDate; launch <= Revoked; launch++ {
		for current := UpToDate; current <= Revoked; current++ {
			want := max(launch, current)
			if launch == OutOfDate || launch == OutOfDateConfigurationNeeded {
				switch current {
				case UpToDate, SWHardeningNeeded:
					want = TDRelaunchAdvised
					if launch == OutOfDateConfigurationNeeded {
						want = TDRelaunchAdvisedConfigurationNeeded
					}
				case ConfigurationNeeded, ConfigurationAndSWHardeningNeeded:
					want = TDRelaunchAdvisedConfigurationNeeded
				}
			}
			if got := relaunch(launch, current); got != want {
				t.Errorf("launch %v, current %v: %v, want %v", launch, current, got, want)
			}
		}
	}
}

func TestModuleIDIsUpperCase(t *testing.T) {
	for v, want := range map[byte]string{1: "TDX_01", 10: "TDX_0A", 0xfe: "TDX_FE"} {
		if got := moduleID(v); got != want {
			t.Errorf("%d: %s", v, got)
		}
	}
}
