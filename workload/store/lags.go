package store

import (
	"cmp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/store"
)

// mostLags bounds the groups whose lag is told: clients choose their names. Those that
// are furthest behind are told of.
const mostLags = 50

// lags tells how far the groups of consumers are behind. It implements
// prometheus.Collector.
type lags struct {
	s                 *Server
	messages, seconds *prometheus.Desc
}

func newLags(s *Server, labels prometheus.Labels) *lags {
	by := []string{control.LabelGroup}
	return &lags{
		s:        s,
		messages: prometheus.NewDesc(control.StoreLagMessages, "Messages that a group of consumers has not consumed yet.", by, labels),
		seconds:  prometheus.NewDesc(control.StoreLagSeconds, "Age of the oldest message that a group of consumers has not consumed yet.", by, labels),
	}
}

// Describe implements prometheus.Collector.
func (l *lags) Describe(to chan<- *prometheus.Desc) {
	to <- l.messages
	to <- l.seconds
}

// Collect implements prometheus.Collector.
func (l *lags) Collect(to chan<- prometheus.Metric) {
	for _, lag := range l.furthest() {
		to <- prometheus.MustNewConstMetric(l.messages, prometheus.GaugeValue, float64(lag.Messages), lag.Group)
		to <- prometheus.MustNewConstMetric(l.seconds, prometheus.GaugeValue, lag.Age.Seconds(), lag.Group)
	}
}

// furthest are the lags that are told, without groups whose names are no label.
func (l *lags) furthest() (list []store.Lag) {
	joined := l.s.groups.Names()
	l.s.look(func(m *store.Store, now time.Duration) { list = m.Lags(now, joined...) })
	list = slices.DeleteFunc(list, func(lag store.Lag) bool { return !utf8.ValidString(lag.Group) })
	slices.SortStableFunc(list, func(a, b store.Lag) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(b.Age, a.Age))
	})
	return list[:min(len(list), mostLags)]
}
