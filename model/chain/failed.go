package chain

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// A FailedHop is a hop of a chain that did not end well.
type FailedHop struct {
	// Path has the designations from the first service to the hop.
	Path []string
	// Reason is what its caller, or the hop itself, says about it.
	Reason string
}

// Hop is the path as text: "front -> cart -> db".
func (f *FailedHop) Hop() string {
	clean := make([]string, len(f.Path))
	for i, designation := range f.Path {
		clean[i] = problem.CleanURL(designation)
	}
	return strings.Join(clean, " -> ")
}

func (f *FailedHop) String() string { return f.Hop() + ": " + problem.CleanText(f.Reason) }

// ReadResponse reads the answer to a chain. It is lenient about what it does not
// use, since MicroSim's services in several languages write it.
func ReadResponse(body []byte) (*Response, error) {
	var r *Response
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("reading the response document: %w", err)
	}
	if r == nil {
		return nil, errors.New("reading the response document: it is null")
	}
	return r, nil
}

// A Hop is one of a chain, with what its answer tells of it.
type Hop struct {
	// Designation is that of the chain.
	Designation string
	// Answered says that its response document came.
	Answered bool
	// Reasons say why it did not end well: those of its caller if it was not
	// answered, else its own, without those that tell of its routes.
	Reasons []string
	// Routes are the hops of the chain's routes, in order. It is empty for a hop
	// that was not answered, because then the fate of its routes is not known.
	Routes []*Hop
}

// Hops tells what became of each hop of a chain by its answer. The chain must be
// the one that was sent, after Sample; its designations are those of the hops.
func (r *Response) Hops(c *Chain) *Hop {
	hop := &Hop{Designation: c.Designation, Answered: true, Routes: make([]*Hop, len(c.Routes))}
	unanswered := 0
	for i := range c.Routes {
		if r.route(i) == nil {
			unanswered++
		}
	}
	own, ofRoutes := r.split(unanswered)
	hop.Reasons = own
	for i, route := range c.Routes {
		if answer := r.route(i); answer != nil {
			hop.Routes[i] = answer.Hops(route)
			continue
		}
		reason := "no answer"
		if len(ofRoutes) > 0 {
			reason, ofRoutes = ofRoutes[0], ofRoutes[1:]
		}
		hop.Routes[i] = &Hop{Designation: route.Designation, Reasons: []string{reason}}
	}
	return hop
}

// Failed lists the hops of a chain that did not end well by its answer, in the
// order of the routes: hops without an answer, and hops whose errors tell of more
// than their routes. The chain must be the one that was sent, after Sample; its
// designations are the names that are listed.
func (r *Response) Failed(c *Chain) []FailedHop { return r.Hops(c).failed(nil, nil) }

func (h *Hop) failed(above []string, found []FailedHop) []FailedHop {
	path := append(above[:len(above):len(above)], h.Designation)
	for _, reason := range h.Reasons {
		found = append(found, FailedHop{path, reason})
	}
	for _, route := range h.Routes {
		found = route.failed(path, found)
	}
	return found
}

// route is the answer of the i-th route, or nil.
func (r *Response) route(i int) *Response {
	if i < len(r.Response) {
		return r.Response[i]
	}
	return nil
}

// split tells a service's errors about its routes from those about itself. The
// former come in the order of the routes. Our services begin them with
// "calling"; others have words of their own, so that if there is one text for
// each unanswered route, these are taken to belong together.
func (r *Response) split(unanswered int) (own, ofRoutes []string) {
	if len(r.Errors) == unanswered {
		for _, text := range r.Errors {
			ofRoutes = append(ofRoutes, withoutCallee(text))
		}
		return nil, ofRoutes
	}
	for _, text := range r.Errors {
		if strings.HasPrefix(text, calling) && len(ofRoutes) < unanswered {
			ofRoutes = append(ofRoutes, withoutCallee(text))
		} else {
			own = append(own, text)
		}
	}
	return own, ofRoutes
}

// calling begins a service's text about a route; see exec.Failure.
const calling = "calling "

// withoutCallee takes "calling URL: " off a text.
func withoutCallee(text string) string {
	if rest, ok := strings.CutPrefix(text, calling); ok {
		if _, reason, ok := strings.Cut(rest, ": "); ok {
			return reason
		}
	}
	return text
}
