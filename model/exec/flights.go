package exec

// Flights holds the coalesced calls of a replica that are under way, with the
// requests that wait for their ends. T is how the executor names such a request. It
// is not safe for several goroutines, so the executor must lock it. The zero value
// is empty.
type Flights[T any] struct {
	under map[flight][]T
}

// A flight is a call for one item; site is the place of the call in the service's
// plan.
type flight struct{ site, item int }

// Enter asks to make a call for an item. It returns true if no request makes this
// call yet. Otherwise it adds who to those that wait for its end.
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

// End ends a call, and returns the requests that wait for it in the order in which
// they came.
func (f *Flights[T]) End(site, item int) (waiting []T) {
	key := flight{site, item}
	waiting = f.under[key]
	delete(f.under, key)
	return waiting
}

// Waiting returns how many requests wait for the ends of calls.
func (f *Flights[T]) Waiting() (n int) {
	for _, waiting := range f.under {
		n += len(waiting)
	}
	return n
}
