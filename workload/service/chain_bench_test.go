package service

import (
	"net/http"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// BenchmarkChainDocument is what a leaf adds to a chain, without the network.
func BenchmarkChainDocument(b *testing.B) {
	s, err := New(Config{System: "bench", Service: topology.NewService("leaf")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const chain = `{"designation":"leaf","probability":100,"faults":{"before":[],"after":[]},"routes":[]}`
	b.ReportAllocs()
	for b.Loop() {
		r, _ := http.NewRequest("POST", "/", strings.NewReader(chain))
		r.Header["Content-Type"] = []string{jsonType}
		s.serveHTTP(&nullWriter{header: http.Header{}}, r)
	}
}
