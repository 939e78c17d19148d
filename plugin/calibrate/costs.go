package calibrate

import (
	"math"

	"github.com/microsim-dev/kubectl-microsim/model/calibration"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// In virtual time a request takes a packet there, processor time, a packet back, and a
// wait; so does a call. These functions choose the costs with which virtual requests
// take as long as those that were measured. All latencies are in seconds, in rising
// order.

// requests tells costs from the latencies of a leaf, of a front that calls it, and
// of a sleeper, where each request and each call had so much processor time.
func requests(c *calibration.Costs, leaf, front, sleeper []float64, processor float64) {
	plain := stats.Quantile(leaf, 0.5)
	hop := max(stats.Quantile(front, 0.5)-plain, plain/10)
	// The rest of the time does not load the processors: packets on their way, as
	// much as the shorter of both has, and waits to be woken up.
	shorter := min(plain, hop)
	c.Processor = nanoseconds(min(processor, 0.9*shorter))
	c.Packet = nanoseconds((shorter - c.Processor) / 2)
	c.RequestWait = nanoseconds(max(plain-c.Processor-2*c.Packet, 0))
	c.CallWait = nanoseconds(max(hop-c.Processor-2*c.Packet, 0))
	c.Lateness = lateness(sleeper, asleep.Seconds()+plain)
}

// lateness are the quantiles of how much longer than expected requests took.
func lateness(took []float64, expected float64) (list []calibration.Quantile) {
	for _, share := range calibration.Shares() {
		list = append(list, calibration.Quantile{Share: share, Seconds: nanoseconds(max(stats.Quantile(took, share)-expected, 0))})
	}
	return list
}

// idle tells how much longer a request, a call and a write take on a machine that is
// asked once in a while, from the latencies of a leaf, of a request that writes few
// bytes, of the last link of a chain, and of the whole chain.
func idle(c *calibration.Costs, leaf, few, last, chain []float64) {
	alone := stats.Quantile(leaf, 0.5)
	c.IdleWait = nanoseconds(max(alone-plain(c), 0))
	c.IdleCallWait = nanoseconds(max((stats.Quantile(chain, 0.5)-stats.Quantile(last, 0.5))/chained-c.CPUUnit-hop(c), 0))
	c.DiskIdle = nanoseconds(max(stats.Quantile(few, 0.5)-alone-c.DiskSync-fewBytes/c.DiskRate, 0))
}

// sleeps tells how sleeps end from the latencies of a leaf and of requests that sleep
// for a tick and for a tenth of it, one after the other.
func sleeps(c *calibration.Costs, leaf, whole, tenth []float64) {
	c.Sleeps = nil
	plain := stats.Quantile(leaf, 0.5)
	if stats.Quantile(tenth, 0.5)-plain < tick.Seconds()/2 {
		return // they end when they should
	}
	c.Sleeps = &calibration.Sleeps{Tick: tick.Seconds(), Wake: lateness(whole, tick.Seconds()+plain)}
}

// plain is what a request without work takes.
func plain(c *calibration.Costs) float64 { return c.Processor + 2*c.Packet + c.RequestWait }

// hop is what a call takes to a service without work.
func hop(c *calibration.Costs) float64 { return c.Processor + 2*c.Packet + c.CallWait }

// connection tells the cost of a connection from the latencies of requests that make
// their own, which had so much processor time more.
func connection(c *calibration.Costs, fresh []float64, more float64) {
	longer := stats.Quantile(fresh, 0.5) - plain(c) - 2*c.Packet
	c.Connection = nanoseconds(max(min(longer, more), 0))
}

// alone tells what a request and a turn take more of a processor if each request finds the
// program asleep, from the processor time of requests without work, and of those with a
// turn of work.
func alone(c *calibration.Costs, processor, withTurn, work float64) {
	c.Alone = nanoseconds(max(processor-c.Processor, 0))
	c.Turn = nanoseconds(max(withTurn-processor-work, 0))
}

// fastest bounds the rate of a disk that takes no longer for many bytes than for
// few: then it cannot be told.
const fastest = 1e11

// disk tells the costs of writing from the latencies of a request that writes few
// bytes, and of one that writes many; each syncs once.
func disk(c *calibration.Costs, few, many []float64) {
	less, more := stats.Quantile(few, 0.5)-plain(c), stats.Quantile(many, 0.5)-plain(c)
	c.DiskRate = fastest
	if more > less {
		c.DiskRate = min((manyBytes-fewBytes)/(more-less), fastest)
	}
	c.DiskSync = nanoseconds(max(less-fewBytes/c.DiskRate, 0))
}

// nanoseconds rounds to what virtual time can tell apart, and keeps 0 for nothing.
func nanoseconds(seconds float64) float64 { return math.Round(seconds*1e9) / 1e9 }
