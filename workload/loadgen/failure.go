package loadgen

import (
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// A failure is a kind of failure with its first example. Each worker reuses its
// failures, because a load may fail a hundred thousand times a second in one way.
type failure struct {
	result.FailureKind
	example result.Example
}

// dropped returns the failure of all requests that were never sent.
func dropped() *failure {
	return &failure{result.FailureKind{Class: outcome.Dropped, Reason: outcome.Reason(outcome.Dropped)}, result.Example{Text: "too many requests were under way"}}
}

const (
	// maxKinds bounds how many failures a worker remembers.
	maxKinds = 4 * result.MaxFailures
	// maxExample bounds the text of an example, in bytes.
	maxExample = 300
)

// fail records why a request failed. It makes the text only for the first failure
// of a kind.
func (c *client) fail(kind result.FailureKind, p *place, text func() string) *failure {
	if known := c.failures[kind]; known != nil {
		return known
	}
	f := &failure{kind, result.Example{URL: p.url, Text: oneLine(problem.CleanText(text()))}}
	if len(c.failures) < maxKinds {
		c.failures[kind] = f
	}
	return f
}

// ofError returns the failure of a request that got no valid answer.
func (c *client) ofError(p *place, err error) ended {
	class := outcome.Of(0, err)
	e := ended{class: class}
	if class != outcome.Cancelled {
		e.failure = c.fail(result.FailureKind{Class: class, Reason: outcome.Why(0, err)}, p, err.Error)
	}
	return e
}

// ofAnswer returns the outcome of a request that got an answer.
func (c *client) ofAnswer(m *message, p *place, res *http1.Response) ended {
	status := res.Status
	e := ended{class: outcome.OfStatus(status), status: status, bytes: res.Bytes, degraded: res.Degraded > 0}
	switch {
	case e.class != outcome.OK:
		e.failure = c.fail(result.FailureKind{Class: e.class, Reason: outcome.OfStatusReason(status)}, p, func() string {
			return fmt.Sprintf("%d %s: %s", status, http.StatusText(status), c.answer.body)
		})
	case m.tree != nil:
		c.checkHops(m, p, &e)
	}
	return e
}

// checkHops checks whether every hop of a chain ended well, because MicroSim's
// services answer 200 even if their routes failed.
func (c *client) checkHops(m *message, p *place, e *ended) {
	malformed := func(err error) {
		e.class = outcome.Malformed
		e.failure = c.fail(result.FailureKind{Class: e.class, Reason: outcome.Reason(e.class)}, p, err.Error)
	}
	if c.answer.length > maxAnswer {
		malformed(fmt.Errorf("the answer has more than %d bytes, so it is not known whether every hop ended well", maxAnswer))
		return
	}
	r, err := chain.ReadResponse(c.answer.body)
	if err != nil {
		malformed(err)
		return
	}
	if hops := r.Failed(m.tree); len(hops) > 0 {
		e.class = outcome.FailedHop
		e.failure = c.fail(result.FailureKind{Class: e.class, Reason: outcome.Reason(e.class), Hop: hops[0].Hop()}, p, func() string {
			text := hops[0].Reason
			if n := len(hops) - 1; n > 0 {
				text += fmt.Sprintf(" (and %d more in this answer)", n)
			}
			return text
		})
	}
}

// maxAnswer bounds, in bytes, the answers to chains; no service of ours sends more.
const maxAnswer = 17 << 20

// An answerBody keeps the body of an answer to a chain, and the beginning of the
// body of an answer with an error status.
type answerBody struct {
	keep   int
	chain  bool
	length int
	body   []byte
}

// begin removes the previous answer.
func (a *answerBody) begin(chain bool) {
	a.chain, a.length, a.body, a.keep = chain, 0, a.body[:0], maxExample
	if chain {
		a.keep = maxAnswer
	}
	if cap(a.body) > 1<<20 {
		a.body = nil // few answers are as large
	}
}

// Status implements http1.Sink.
func (a *answerBody) Status(status int) bool {
	return a.chain || outcome.OfStatus(status) != outcome.OK
}

// Field implements http1.Sink.
func (a *answerBody) Field(_, _ []byte) {}

// Length implements http1.Sink.
func (a *answerBody) Length(int64) {}

// Body implements http1.Sink.
func (a *answerBody) Body(piece []byte) {
	a.length += len(piece)
	a.body = append(a.body, piece[:min(len(piece), a.keep-len(a.body))]...)
}

// oneLine returns a text of a server in a form for a table and a terminal: one
// line, no control characters, and at most maxExample bytes.
func oneLine(text string) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if len(text) <= maxExample {
		return text
	}
	cut := maxExample
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}
