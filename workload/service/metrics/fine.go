package metrics

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/expfmt"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// FineType is the content type of the page of fine metrics.
func FineType() string { return string(expfmt.NewFormat(expfmt.TypeTextPlain)) }

// Fine is the page of all metrics with fine histograms.
func (m *Metrics) Fine() ([]byte, error) {
	families, err := m.numbers.Gather()
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	encoder := expfmt.NewEncoder(&page, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return nil, err
		}
	}
	text := page.Bytes()
	m.mu.Lock()
	fine := maps.Clone(m.fine)
	m.mu.Unlock()
	for _, label := range slices.Sorted(maps.Keys(fine)) {
		text = appendFine(text, control.RequestDurationFine, control.LabelEndpoint, label, fine[label])
	}
	for _, c := range m.sortedCallees() {
		text = appendFine(text, control.CallDurationFine, control.LabelCallee, c.name, &c.fine)
	}
	return text, nil
}

func (m *Metrics) sortedCallees() (callees []*Callee) {
	m.callees.Range(func(_, c any) bool {
		callees = append(callees, c.(*Callee))
		return true
	})
	slices.SortFunc(callees, func(a, b *Callee) int { return strings.Compare(a.name, b.name) })
	return callees
}

// appendFine appends a line with one histogram.
func appendFine(text []byte, name, label, value string, r *stats.Recorder) []byte {
	var h stats.Histogram
	r.AddTo(&h)
	text = append(append(append(text, name...), '{'), label...)
	text = strconv.AppendQuote(append(text, '='), value)
	text = h.AppendText(append(text, "} "...))
	return append(text, '\n')
}
