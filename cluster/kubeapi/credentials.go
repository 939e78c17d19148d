package kubeapi

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// slowCredentials is when a program that gives credentials is named as what is waited for.
const slowCredentials = 10 * time.Second

// An awaited transport gets credentials from a program that the kubeconfig names. That may
// ask its user to log in, so it has no bound; but a request whose context ends does not wait
// for it, as client-go would.
type awaited struct {
	next    http.RoundTripper
	program string
	tell    func(string)
	once    sync.Once
}

// credentialsKey is the key, in the context of a request, of the *atomic.Bool that says
// whether it has got its credentials.
type credentialsKey struct{}

// pastCredentials notes that a request has got its credentials.
func pastCredentials(r *http.Request) {
	if past, ok := r.Context().Value(credentialsKey{}).(*atomic.Bool); ok {
		past.Store(true)
	}
}

// RoundTrip implements http.RoundTripper.
func (a *awaited) RoundTrip(r *http.Request) (*http.Response, error) {
	type answer struct {
		resp *http.Response
		err  error
	}
	past := &atomic.Bool{}
	answers := make(chan answer, 1)
	go func() { //nolint:contextcheck // the request has its context
		resp, err := a.next.RoundTrip(r.WithContext(context.WithValue(r.Context(), credentialsKey{}, past))) //nolint:bodyclose // whoever takes the answer closes it
		answers <- answer{resp, err}
	}()
	slow := time.NewTimer(slowCredentials)
	defer slow.Stop()
	for {
		select {
		case got := <-answers:
			return got.resp, got.err
		case <-slow.C:
			if !past.Load() {
				a.once.Do(func() {
					a.tell(fmt.Sprintf("waiting for the program %q, which the kubeconfig names for credentials; an interrupt ends that", a.program))
				})
			}
		case <-r.Context().Done():
			go func() {
				if got := <-answers; got.resp != nil {
					got.resp.Body.Close()
				}
			}()
			return nil, context.Cause(r.Context())
		}
	}
}
