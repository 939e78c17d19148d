package engine

import "github.com/microsim-dev/kubectl-microsim/netfault"

// lossModel decides which packets are lost, as sch_netem's loss_event does.
type lossModel struct {
	random source
	chance chance
	states netfault.StateLoss
	ge     netfault.GilbertElliott
	state  uint8 // of the chain in use; the zero value is the first state
}

// The states of the four-state chain and of the Gilbert-Elliott model.
const (
	gapReceived = iota
	burstReceived
	burstLost
	gapLost

	good = 0
	bad  = 1
)

func newLoss(l netfault.Loss, r source) lossModel {
	return lossModel{
		random: r, chance: newChance(l.Probability, l.Correlation, r),
		states: l.State.WithDefaults(), ge: l.GilbertElliott.WithDefaults(),
	}
}

func (m *lossModel) lost() bool {
	switch {
	case m.states != netfault.StateLoss{}:
		return m.lostByStates()
	case m.ge != netfault.GilbertElliott{}:
		return m.lostByGilbertElliott()
	}
	return m.chance.happens()
}

// lostByStates moves on; a packet is lost that moves into or stays in a losing state.
func (m *lossModel) lostByStates() bool {
	v, s := m.random.Float64(), m.states
	switch m.state {
	case gapReceived:
		switch {
		case v < s.P14:
			m.state = gapLost
		case v < s.P14+s.P13:
			m.state = burstLost
		}
	case burstReceived:
		if v < s.P23 {
			m.state = burstLost
		}
	case burstLost:
		switch {
		case v < s.P32:
			m.state = burstReceived
		case v < s.P32+s.P31:
			m.state = gapReceived
		}
	case gapLost:
		m.state = gapReceived
	}
	return m.state == burstLost || m.state == gapLost
}

// lostByGilbertElliott moves on, and loses by the state it was in before.
func (m *lossModel) lostByGilbertElliott() bool {
	move, v, g := m.random.Float64(), m.random.Float64(), m.ge
	if m.state == good {
		if move < g.GoodToBad {
			m.state = bad
		}
		return v < g.LossInGood
	}
	if move < g.BadToGood {
		m.state = good
	}
	return v < g.LossInBad
}
