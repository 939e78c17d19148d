package gate

import "time"

// only makes c the one condition of the direction.
func (d *Direction) only(c Condition) (*Active, error) {
	actives, err := d.Set(c)
	if err != nil {
		return nil, err
	}
	return actives[0], nil
}

// StopReading makes [StopReading] the only condition.
func (d *Direction) StopReading() (*Active, error) { return d.only(StopReading{}) }

// Drop makes [Drop] of everything the only condition.
func (d *Direction) Drop() (*Active, error) { return d.only(Drop{}) }

// Delay makes [Delay] the only condition.
func (d *Direction) Delay(by, jitter time.Duration) (*Active, error) {
	return d.only(Delay{By: by, Jitter: jitter})
}

// CloseOnData makes [CloseOnData] the only condition.
func (d *Direction) CloseOnData() (*Active, error) { return d.only(CloseOnData{}) }

// ResetOnData makes [CloseOnData] with a reset the only condition.
func (d *Direction) ResetOnData() (*Active, error) { return d.only(CloseOnData{Reset: true}) }

// Corrupt makes [Corrupt] the only condition.
func (d *Direction) Corrupt() (*Active, error) { return d.only(Corrupt{}) }

// Bandwidth makes [Bandwidth], shared by all connections, the only condition.
func (d *Direction) Bandwidth(bytesPerSecond int64) (*Active, error) {
	return d.only(Bandwidth{Rate: bytesPerSecond})
}

// TimeLimit makes [TimeLimit] the only condition.
func (d *Direction) TimeLimit(after, jitter time.Duration) (*Active, error) {
	return d.only(TimeLimit{After: after, Jitter: jitter})
}

// ByteLimit makes [ByteLimit], counted over all connections, the only condition.
func (d *Direction) ByteLimit(bytes int64) (*Active, error) { return d.only(ByteLimit{Bytes: bytes}) }

// Slice makes [Slice] the only condition.
func (d *Direction) Slice(size int, pause time.Duration) (*Active, error) {
	return d.only(Slice{Size: size, Pause: pause})
}

// Concatenate makes [Concatenate] the only condition.
func (d *Direction) Concatenate(size int) (*Active, error) { return d.only(Concatenate{Size: size}) }

// Substitute makes [Substitute] the only condition.
func (d *Direction) Substitute(pattern, with string) (*Active, error) {
	return d.only(Substitute{Pattern: pattern, With: with})
}

// Hook makes a [Hook] the only condition.
func (d *Direction) Hook(name string, do func(c ConnInfo, data []byte) ([]byte, Verdict)) (*Active, error) {
	return d.only(Hook{Name: name, Do: do})
}
