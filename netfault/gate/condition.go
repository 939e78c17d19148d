package gate

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// A Condition is one way in which a direction misbehaves. The zero value of
// most conditions is a condition without effect; values that make no sense are
// refused by [Direction.Set] and [Direction.Add].
//
// The set of conditions is closed; [Hook] is the way to add one's own.
type Condition interface {
	// Kind names the condition in listings, errors and logs.
	Kind() string
	// check returns an error that says which value is wrong and what is wanted.
	check(datagrams bool) error
	// newStage makes the part that acts on one direction of one connection.
	newStage(s *slot) stage
}

// Delay holds everything back for By, plus or minus a uniform Jitter. The line
// stays full: later data does not wait for earlier data to be delivered. A stream
// stays in order, so data waits for what came before it and the mean wait is more
// than By if there is jitter. Datagrams may overtake each other, and wait By on
// average.
type Delay struct {
	By     time.Duration
	Jitter time.Duration
	// Serial takes at most 4096 bytes at a time and takes no more until they
	// are delivered, so that throughput falls to 4096 bytes per By.
	Serial bool
}

// StopReading leaves all data in the kernel's buffers; the sender blocks when they
// are full. It holds data that come from conditions in front of it. When it is
// removed, everything is delivered.
type StopReading struct{}

// Drop reads and discards: what was sent is lost for good, and the sender
// notices nothing.
type Drop struct {
	// Share of chunks (TCP) or datagrams (UDP) to drop, 0..1. 0 means all.
	Share float64
}

// Retransmit is what a lossy path looks like through TCP: nothing is lost for
// good, but each chunk waits until it has been sent often enough to arrive. A
// sending is lost with the probability Share, and the k-th after it follows
// 200 ms * 2^(k-1) later, as Linux does on a path with a short round trip
// (TCP_RTO_MIN, doubled each time: RFC 6298). A chunk whose first k sendings are
// lost, which has the probability Share^k * (1-Share), is late by
// 200 ms * (2^k - 1), at most by two minutes; what follows waits behind it. TCP only.
type Retransmit struct {
	// Share of sendings that are lost, 0..1.
	Share float64
}

// Reorder holds datagrams back for By, and sends a share of them at once, so that these
// overtake what came up to By before them. UDP only: a stream stays in order.
type Reorder struct {
	By time.Duration
	// Share of datagrams that overtake, more than 0 and at most 1.
	Share float64
}

// BlackHole discards all data and closes the connection After a time; with
// After 0 it stays open until the condition is taken away, which closes it.
type BlackHole struct {
	After time.Duration
}

// CloseOnData closes a connection, both sides, at the first data in this
// direction. Other connections live until they send.
type CloseOnData struct {
	// Reset closes with a TCP reset instead of an orderly end.
	Reset bool
}

// ResetPeer resets a connection After a time from the first data (or the end of
// data) in this direction; nothing more is delivered. Over Unix sockets, which
// know no reset, it is an abrupt close.
type ResetPeer struct {
	After time.Duration
}

// Corrupt changes every byte and keeps the length: a zero byte becomes 0x01,
// any other becomes 0x00.
type Corrupt struct{}

// Bandwidth limits the rate by a token bucket that starts full.
type Bandwidth struct {
	// Rate in bytes a second, at least 1.
	Rate int64
	// Burst is the capacity of the bucket in bytes; 0 means one second's worth.
	Burst int64
	// PerConnection gives each connection a bucket of its own; otherwise all
	// connections of the direction share one.
	PerConnection bool
}

// TimeLimit closes a connection when data arrives later than After plus a
// uniform 0..Jitter from the first data seen.
type TimeLimit struct {
	After  time.Duration
	Jitter time.Duration
	// Idle counts from the moment the condition meets the connection and
	// closes it when the time is up, whether or not data flows.
	Idle bool
}

// ByteLimit delivers exactly Bytes bytes and then closes.
type ByteLimit struct {
	Bytes int64
	// PerConnection counts each connection for itself and closes that one.
	// Otherwise all connections of the direction count together, all of the
	// gate's connections are closed, and counting starts again.
	PerConnection bool
}

// Slice forwards small parts, each in a write of its own. TCP only.
type Slice struct {
	// Size is the size of a part in bytes, at least 1.
	Size int
	// Variation makes sizes uniform in Size-Variation..Size+Variation; it
	// must be less than Size. With 0, Size is also the upper bound.
	Variation int
	// Pause before each part.
	Pause time.Duration
}

// Concatenate holds data until at least Size bytes are there and forwards them
// in one write. If they do not come within GiveUp (0 means a minute), what is
// there is forwarded and [Active.Problem] says so. TCP only.
type Concatenate struct {
	Size   int
	GiveUp time.Duration
}

// Substitute replaces matches of Pattern (Go syntax) by With, which may name
// groups as $1, in each chunk that is valid UTF-8; others pass unchanged, and a
// match across a chunk's border is missed.
type Substitute struct {
	Pattern string
	With    string
}

// SlowOpen keeps a new connection waiting for By plus or minus Jitter before the
// server is dialled. Connections that are open already are not touched.
type SlowOpen struct {
	By     time.Duration
	Jitter time.Duration
}

// SlowClose passes an end of data on After a time.
type SlowClose struct {
	After time.Duration
}

// Verdict is what becomes of a connection after a [Hook] has seen its data.
type Verdict int

// The verdicts of a hook.
const (
	Forward         Verdict = iota // forward what the hook returned
	Close                          // forward it, then close the connection
	ResetConnection                // forward it, then reset the connection
)

// Hook is a condition of the caller's own making.
type Hook struct {
	// Name is the hook's name in listings.
	Name string
	// Do gets each chunk (TCP) or datagram (UDP) and returns what to forward
	// instead; nil forwards nothing. It may keep and change data. It runs in
	// the connection's own goroutine: connections call it concurrently, and a
	// hook that blocks delays its direction of that connection only, and Close
	// of the gate.
	Do func(c ConnInfo, data []byte) ([]byte, Verdict)
}

// Kind implements [Condition].
func (Delay) Kind() string       { return "delay" }
func (StopReading) Kind() string { return "stop_reading" }
func (Drop) Kind() string        { return "drop" }
func (Retransmit) Kind() string  { return "retransmit" }
func (Reorder) Kind() string     { return "reorder" }
func (BlackHole) Kind() string   { return "black_hole" }
func (CloseOnData) Kind() string { return "close_on_data" }
func (ResetPeer) Kind() string   { return "reset_peer" }
func (Corrupt) Kind() string     { return "corrupt" }
func (Bandwidth) Kind() string   { return "bandwidth" }
func (TimeLimit) Kind() string   { return "limit_time" }
func (ByteLimit) Kind() string   { return "limit_bytes" }
func (Slice) Kind() string       { return "slice" }
func (Concatenate) Kind() string { return "concatenate" }
func (Substitute) Kind() string  { return "substitute" }
func (SlowOpen) Kind() string    { return "slow_open" }
func (SlowClose) Kind() string   { return "slow_close" }
func (h Hook) Kind() string {
	if h.Name == "" {
		return "hook"
	}
	return h.Name
}

// ErrDatagrams is the reason why a condition on streams is refused by a UDP gate.
var ErrDatagrams = errors.New("it needs a byte stream and the gate carries datagrams; use a TCP gate")

// ErrStream is the reason why a condition on datagrams is refused by a TCP gate.
var ErrStream = errors.New("it needs datagrams and the gate carries a byte stream, which stays in order; use a UDP gate")

func notNegative(what string, d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("%s is %v; it must not be negative", what, d)
	}
	return nil
}

func (c Delay) check(bool) error {
	return errors.Join(notNegative("By", c.By), notNegative("Jitter", c.Jitter))
}

func (StopReading) check(bool) error { return nil }

func (c Drop) check(bool) error {
	if !(c.Share >= 0 && c.Share <= 1) {
		return fmt.Errorf("share is %v; it must be between 0 and 1", c.Share)
	}
	return nil
}

func (c Retransmit) check(datagrams bool) error {
	if datagrams {
		return ErrDatagrams
	}
	return Drop(c).check(false)
}

func (c Reorder) check(datagrams bool) error {
	switch {
	case !datagrams:
		return ErrStream
	case !(c.Share > 0 && c.Share <= 1):
		return fmt.Errorf("share is %v; it must be more than 0 and at most 1", c.Share)
	case c.By <= 0:
		return fmt.Errorf("the delay is %v; it must be longer than the distance between datagrams, so that some overtake", c.By)
	}
	return nil
}

func (c BlackHole) check(bool) error { return notNegative("After", c.After) }

func (c CloseOnData) check(datagrams bool) error {
	if c.Reset && datagrams {
		return fmt.Errorf("Reset: %w", ErrDatagrams)
	}
	return nil
}

func (c ResetPeer) check(datagrams bool) error {
	if datagrams {
		return ErrDatagrams
	}
	return notNegative("After", c.After)
}

func (Corrupt) check(bool) error { return nil }

func (c Bandwidth) check(bool) error {
	if c.Rate < 1 {
		return fmt.Errorf("rate is %d bytes a second; it must be at least 1", c.Rate)
	}
	if c.Burst < 0 {
		return fmt.Errorf("burst is %d bytes; it must not be negative", c.Burst)
	}
	return nil
}

func (c TimeLimit) check(bool) error {
	return errors.Join(notNegative("After", c.After), notNegative("Jitter", c.Jitter))
}

func (c ByteLimit) check(bool) error {
	if c.Bytes < 0 {
		return fmt.Errorf("Bytes is %d; it must not be negative", c.Bytes)
	}
	return nil
}

func (c Slice) check(datagrams bool) error {
	switch {
	case datagrams:
		return ErrDatagrams
	case c.Size < 1:
		return fmt.Errorf("size is %d bytes; it must be at least 1", c.Size)
	case c.Variation < 0 || c.Variation >= c.Size:
		return fmt.Errorf("variation is %d bytes; it must be at least 0 and less than Size, which is %d", c.Variation, c.Size)
	}
	return notNegative("Pause", c.Pause)
}

// maxConcatenate bounds what one connection holds for Concatenate.
const maxConcatenate = 64 << 20

func (c Concatenate) check(datagrams bool) error {
	if datagrams {
		return ErrDatagrams
	}
	if c.Size < 0 || c.Size > maxConcatenate {
		return fmt.Errorf("size is %d bytes; it must be between 0 and %d", c.Size, maxConcatenate)
	}
	return notNegative("GiveUp", c.GiveUp)
}

func (c Substitute) check(bool) error {
	if _, err := regexp.Compile(c.Pattern); err != nil {
		return fmt.Errorf("pattern %q: %w", c.Pattern, err)
	}
	return nil
}

func (c SlowOpen) check(bool) error {
	return errors.Join(notNegative("By", c.By), notNegative("Jitter", c.Jitter))
}

func (c SlowClose) check(datagrams bool) error {
	if datagrams {
		return ErrDatagrams
	}
	return notNegative("After", c.After)
}

func (h Hook) check(bool) error {
	if h.Do == nil {
		return errors.New("do is nil; it must be a function")
	}
	return nil
}
