package measure

// A Lag is how far the group of consumers furthest behind is, where a store tells it:
// messages that it has not consumed, and the age of the oldest of them.
type Lag struct {
	Messages int64
	Seconds  float64
	Known    bool
}

// Observe takes the lag of another group, or of another moment; the highest count.
func (l *Lag) Observe(messages int64, seconds float64) {
	l.Messages, l.Seconds, l.Known = max(l.Messages, messages), max(l.Seconds, seconds), true
}

// Merge takes another lag, if that is known.
func (l *Lag) Merge(o Lag) {
	if o.Known {
		l.Observe(o.Messages, o.Seconds)
	}
}

// values are nil if the lag is not known.
func (l Lag) values() (messages *int64, seconds *float64) {
	if !l.Known {
		return nil, nil
	}
	return &l.Messages, &l.Seconds
}
