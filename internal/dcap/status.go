package dcap

import "github.com/assay-tee/assay/internal/fault"

// Status is a TCB status (section 18). The zero Status is none: it never stands in a document or a result.
type Status uint8

// The statuses, from best to worst; a later one is worse when two of them compete (section 17).
const (
	statusNone Status = iota
	UpToDate
	SWHardeningNeeded
	ConfigurationNeeded
	ConfigurationAndSWHardeningNeeded
	TDRelaunchAdvised
	TDRelaunchAdvisedConfigurationNeeded
	OutOfDate
	OutOfDateConfigurationNeeded
	Revoked
	numStatuses
)

var statusNames = [numStatuses]string{"none", "UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded",
	"TDRelaunchAdvised", "TDRelaunchAdvisedConfigurationNeeded", "OutOfDate", "OutOfDateConfigurationNeeded", "Revoked"}

func (s Status) String() string { return statusNames[min(s, numStatuses-1)] }

// parseStatus reads a status of a document. The relaunch statuses are results and occur in no document.
func parseStatus(name string) (Status, bool) {
	for s := UpToDate; s < numStatuses; s++ {
		if statusNames[s] == name && s != TDRelaunchAdvised && s != TDRelaunchAdvisedConfigurationNeeded {
			return s, true
		}
	}
	return statusNone, false
}

// parseSVNStatus reads a status of a module or identity level: only three of them are defined there (section 10).
func parseSVNStatus(name string) (Status, bool) {
	s, ok := parseStatus(name)
	return s, ok && (s == UpToDate || s == OutOfDate || s == Revoked)
}

// merge gives the status of the whole from that of the platform and those of its components, module and QE
// (section 16). A component that is statusNone does not exist.
func merge(platform Status, components ...Status) Status {
	worst := UpToDate
	for _, c := range components {
		worst = max(worst, c)
	}
	switch {
	case worst == Revoked || platform == Revoked:
		return Revoked
	case worst == UpToDate:
		return platform
	}
	switch platform {
	case UpToDate, SWHardeningNeeded:
		return OutOfDate
	case ConfigurationNeeded, ConfigurationAndSWHardeningNeeded:
		return OutOfDateConfigurationNeeded
	}
	return platform // OutOfDate, OutOfDateConfigurationNeeded
}

// relaunch gives the status of a TD 1.5 from that of the TCB it was launched under and that of the TCB now
// (section 17). Where it advises no relaunch the worse one counts; Intel's library returns the status at launch even
// when the TCB has been revoked since.
func relaunch(launch, current Status) Status {
	old := launch == OutOfDate || launch == OutOfDateConfigurationNeeded
	fresh := current >= UpToDate && current <= ConfigurationAndSWHardeningNeeded
	if !old || !fresh {
		return max(launch, current)
	}
	if launch == OutOfDateConfigurationNeeded || current == ConfigurationNeeded || current == ConfigurationAndSWHardeningNeeded {
		return TDRelaunchAdvisedConfigurationNeeded
	}
	return TDRelaunchAdvised
}

// reason is an error that tests and callers can tell apart beyond its class.
type reason string

func (r reason) Error() string { return string(r) }

// Reasons why documents and a quote do not fit together. Errors that wrap them have a class from package fault.
const (
	// ErrNotSupported: no level of a document matches; the TCB is older than all of them, or the document is wrong.
	ErrNotSupported = reason("TCB not supported: no level of the document matches")
	// ErrModuleMismatch: the TDX module is not the one that TCBInfo speaks of.
	ErrModuleMismatch = reason("TDX module does not match TCBInfo")
	// ErrTCBInfoMismatch: TCBInfo is of another platform or TEE.
	ErrTCBInfoMismatch = reason("TCBInfo does not match the PCK certificate")
	// ErrIdentityMismatch: the QE report does not match the enclave identity.
	ErrIdentityMismatch = reason("the QE report does not match the enclave identity")
)

func notSupported(format string, args ...any) error {
	return fault.New(fault.Unsupported, "%w: "+format, append([]any{ErrNotSupported}, args...)...)
}

func mismatch(r reason, format string, args ...any) error {
	return fault.New(fault.Binding, "%w: "+format, append([]any{r}, args...)...)
}
