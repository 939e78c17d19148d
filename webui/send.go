package webui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// A Sender sends a MicroSim request to a running system, with the draws of a seed, and
// returns when it was answered.
type Sender func(ctx context.Context, request *chain.Chain, seed uint64) (*Sent, error)

// Sent is what became of a MicroSim request.
type Sent struct {
	// Seed is that of its draws, as text: pages do not know all numbers of its size.
	Seed uint64 `json:"seed,string"`
	// Answer is that of the first service; nil if the seed did not draw it, so that
	// nothing was sent.
	Answer *SentHop `json:"answer"`
	// NotDrawn is how many services of the request the seed left out.
	NotDrawn int `json:"notDrawn"`
	// Unknown are the services that the system does not have.
	Unknown []string `json:"unknown,omitempty"`
	// Failure says what did not go well, in the words of `call`.
	Failure string `json:"failure,omitempty"`
	// Spans are those of its trace. Untraced says why there are none.
	Spans    []RequestSpan `json:"spans,omitempty"`
	Untraced string        `json:"untraced,omitempty"`
}

// A SentHop is a hop of a request that was sent, with what became of it.
type SentHop struct {
	Designation string `json:"designation"`
	Answered    bool   `json:"answered"`
	// Status is that of its HTTP answer; 0 if that is not known.
	Status int `json:"status,omitempty"`
	// Took is in seconds; null if it is not known, and 0 if it is less than 0.1 ms.
	Took *float64 `json:"took"`
	// Reasons say why it did not end well.
	Reasons []string `json:"reasons,omitempty"`
	// Routes are not known of a hop without an answer.
	Routes []*SentHop `json:"routes,omitempty"`
}

const (
	// maxRequest bounds a request in bytes: one as large as services take, as a JSON text.
	maxRequest = 4 * chain.DefaultBody
	// sendTimeout is how long a request has for its answer, as with `call`.
	sendTimeout = 5 * time.Minute
)

// getRequestVocabulary lists the faults that a request can have.
func (s *Server) getRequestVocabulary(*http.Request) (any, error) { return chain.Vocabulary(), nil }

// postRequest sends the request that the page holds to the system that runs, and
// answers when it was answered. It is given up when the page does so.
func (s *Server) postRequest(r *http.Request) (any, error) {
	body, err := readJSONUpTo[struct {
		Text string `json:"text"`
		// Seed is empty for one that differs each time.
		Seed string `json:"seed"`
	}](r, maxRequest)
	if err != nil {
		return nil, err
	}
	tree, err := readRequest(body.Text)
	if err != nil {
		return nil, err
	}
	seed := uint64(time.Now().UnixNano())
	if body.Seed != "" {
		if seed, err = strconv.ParseUint(body.Seed, 10, 64); err != nil {
			return nil, badRequest("invalid seed %q: use a whole number from 0", body.Seed)
		}
	}
	send, err := s.sender()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), sendTimeout)
	defer cancel()
	sent, err := send(ctx, tree, seed)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, &refusal{http.StatusGatewayTimeout, fmt.Errorf("sending the request: no answer came within %v", sendTimeout)}
	case err != nil:
		return nil, conflict("%w", err)
	}
	sent.Seed = seed
	return sent, nil
}

// readRequest reads the one request of a text, with the messages of `call`.
func readRequest(text string) (*chain.Chain, error) {
	if strings.TrimSpace(text) == "" {
		return nil, badRequest("there is nothing to send: write an object with a designation, the service to call")
	}
	docs, err := readText("request", text)
	if err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, err}
	}
	chains := docs.Chains()
	if len(chains) != 1 || len(docs) != 1 {
		return nil, &refusal{http.StatusUnprocessableEntity, fmt.Errorf("the text has %d requests among %d documents where one request is sent: write one object with a designation", len(chains), len(docs))}
	}
	if first := chains[0].Designation; chain.IsURL(first) {
		return nil, badRequest("the page sends requests to services of the system that runs, and %q is a URL: name a service, or send it with `kubectl microsim call`", problem.CleanURL(first))
	}
	return chains[0], nil
}

// sender returns what sends requests to the system that runs now.
func (s *Server) sender() (Sender, error) {
	r := s.current()
	if r == nil {
		return nil, conflict("no system runs: play the experiment on local, or open a running system")
	}
	if r.on == OnVirtual {
		return nil, conflict("virtual time takes no single requests: play on local, or open a running system")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.send == nil || r.state != running {
		return nil, conflict("the system does not run now: play the experiment on local, or open a running system")
	}
	return r.send, nil
}
