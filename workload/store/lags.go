package store

import (
	"context"
	"slices"
	"sort"
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

// lagPatience bounds how long a server may take to say its lags: the other metrics wait
// for it.
const lagPatience = time.Second

// realLags asks the server. Lags that it does not tell are not known, and not shown.
func (s *Server) realLags() []store.Lag {
	s.mu.Lock()
	reader := s.lagReader
	s.mu.Unlock()
	if reader == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lagPatience)
	defer cancel()
	list, err := reader.Lags(ctx)
	if err != nil {
		s.log.Warn("the lags of the store are not known", "address", s.relay, "error", err)
		return nil
	}
	return list
}

// furthest are the lags that are told, without groups whose names are no label.
func (l *lags) furthest() (list []store.Lag) {
	if l.s.real {
		list = l.s.realLags()
	} else {
		joined := l.s.groups.Names()
		l.s.look(func(m *store.Store, now time.Duration) { list = m.Lags(now, joined...) })
	}
	list = slices.DeleteFunc(list, func(lag store.Lag) bool { return !utf8.ValidString(lag.Group) })
	// Package slices would bring a sort of its own into the program, whose size counts.
	sort.SliceStable(list, func(i, j int) bool {
		a, b := &list[i], &list[j]
		return a.Messages > b.Messages || a.Messages == b.Messages && a.Age > b.Age
	})
	return list[:min(len(list), mostLags)]
}
