package experiment

import "github.com/microsim-dev/kubectl-microsim/model/outcome"

// Class is the kind of an outcome. Error classes are kept apart everywhere.
type Class = outcome.Class

// The classes of outcomes, as in package outcome.
const (
	OK              = outcome.OK
	HTTPError       = outcome.HTTPError
	ConnectionError = outcome.ConnectionError
	Timeout         = outcome.Timeout
	BreakerOpen     = outcome.BreakerOpen
	Rejected        = outcome.Rejected
	Cancelled       = outcome.Cancelled
	Malformed       = outcome.Malformed
	Dropped         = outcome.Dropped
)

// Classes lists the classes in the order of reports.
func Classes() []Class { return outcome.Classes() }
