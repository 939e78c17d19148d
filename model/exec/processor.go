package exec

import "time"

// Turn is how long a request keeps a processor while others wait for one.
//
// It is the contract of work of kind OpCPU with one core, for executors in real
// and in virtual time: a process has as many threads for such work as it may use
// processors, and all services in the process share them. Work takes a thread,
// uses at most one Turn of processor time, and lines up again behind all that
// wait, first come first served, until it has used what it needs. However many
// requests work at once, each gets its share, and the time that one takes is its
// work times the number of requests per thread. Work with more cores than one, or
// a part of one, takes its time on the clock and no thread; units of arithmetic
// are done by the request itself, as by VECROsim's services.
const Turn = 5 * time.Millisecond

// Slice returns how much of the work that is left is done in the next turn.
func Slice(left time.Duration) time.Duration { return min(left, Turn) }
