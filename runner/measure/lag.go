package measure

// A Lag says how far consumers of a store are behind: the messages that the group
// furthest behind has not consumed, and the age of the oldest of them. It is known
// only if the store tells it.
type Lag struct {
	Messages int64
	Seconds  float64
	Known    bool
}

// Observe adds the lag of another group, or of another moment. The highest values
// are kept.
func (l *Lag) Observe(messages int64, seconds float64) {
	l.Messages, l.Seconds, l.Known = max(l.Messages, messages), max(l.Seconds, seconds), true
}

// Merge adds another lag if that one is known.
func (l *Lag) Merge(o Lag) {
	if o.Known {
		l.Observe(o.Messages, o.Seconds)
	}
}

// values returns the figures, or nil if the lag is not known.
func (l Lag) values() (messages *int64, seconds *float64) {
	if !l.Known {
		return nil, nil
	}
	return &l.Messages, &l.Seconds
}
