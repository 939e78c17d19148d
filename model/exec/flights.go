package exec

// Flights are the coalesced calls of a replica that are under way, with those who
// wait for their ends. It is not safe for several goroutines: its executor locks it.
// T is what the executor knows one who waits by. The zero value has none under way.
type Flights[T any] struct {
	under map[flight][]T
}

// A flight is a call of the service's file for one item.
type flight struct{ site, item int }

// Enter asks to make a call. leads says that nobody makes it yet; otherwise who waits
// for its end.
func (f *Flights[T]) Enter(site, item int, who T) (leads bool) {
	key := flight{site, item}
	waiting, under := f.under[key]
	if !under {
		if f.under == nil {
			f.under = map[flight][]T{}
		}
		f.under[key] = nil
		return true
	}
	f.under[key] = append(waiting, who)
	return false
}

// End ends a call, and returns those who wait for it in the order in which they came.
func (f *Flights[T]) End(site, item int) (waiting []T) {
	key := flight{site, item}
	waiting = f.under[key]
	delete(f.under, key)
	return waiting
}

// Waiting is how many wait for the ends of calls.
func (f *Flights[T]) Waiting() (n int) {
	for _, waiting := range f.under {
		n += len(waiting)
	}
	return n
}
