package monitor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// failed selects the answers that use up an error budget: those that say that the
// server is at fault, and those that never came.
const failed = `code=~"5..|` + control.CodeAborted + `"`

// A query writes the expressions about one system.
type query struct{ system string }

// of selects the series of a metric of the system that match all conditions.
func (q query) of(metric string, conditions ...string) string {
	return metric + "{" + strings.Join(append([]string{LabelSystem + "=" + strconv.Quote(q.system)}, conditions...), ", ") + "}"
}

// is is a condition on a label.
func is(label, value string) string { return label + "=" + strconv.Quote(value) }

// rate is how much a counter rises in a second, by labels.
func (q query) rate(metric, window string, by []string, conditions ...string) string {
	return fmt.Sprintf("sum by (%s) (rate(%s[%s]))", strings.Join(by, ", "), q.of(metric, conditions...), window)
}

// failures is the share of requests that went wrong, by labels. Without requests there
// is none.
func (q query) failures(window string, by []string, conditions ...string) string {
	return q.rate(control.RequestsTotal, window, by, append(conditions, failed)...) + " / " + q.rate(control.RequestsTotal, window, by, conditions...)
}

// quantile is a quantile of durations over the window of a dashboard, by labels.
func (q query) quantile(share float64, metric string, by []string, conditions ...string) string {
	return fmt.Sprintf("histogram_quantile(%g, %s)", share, q.rate(metric+"_bucket", window, append(slices.Clone(by), "le"), conditions...))
}

// most is the highest value, by labels.
func (q query) most(metric string, by []string, conditions ...string) string {
	return fmt.Sprintf("max by (%s) (%s)", strings.Join(by, ", "), q.of(metric, conditions...))
}

// total is the sum of values, by labels.
func (q query) total(metric string, by []string, conditions ...string) string {
	return fmt.Sprintf("sum by (%s) (%s)", strings.Join(by, ", "), q.of(metric, conditions...))
}
