package http1

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// A script is a connection from which given bytes come, a few at a time.
type script struct {
	net.Conn
	data *bytes.Reader
	step int
}

func (s *script) Read(p []byte) (int, error)  { return s.data.Read(p[:min(len(p), s.step)]) }
func (s *script) Write(p []byte) (int, error) { return len(p), nil }
func (s *script) SetDeadline(time.Time) error { return nil }
func (s *script) Close() error                { return nil }

func read(data []byte, step int) (Response, error) {
	c := &Conn{Conn: &script{data: bytes.NewReader(data), step: step}, buf: make([]byte, bufferSize)}
	return c.ReadResponse(false, nil)
}

// However an answer is cut into packets, it means the same; and no bytes are
// counted that did not come.
func FuzzReadResponse(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: x\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\nConnection: keep-alive\n\nrest",
		"HTTP/1.1 304 Not Modified\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "garbage", "",
	} {
		f.Add([]byte(text), 1)
	}
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		step = min(max(step, 1), 1<<16)
		a, errA := read(data, step)
		b, errB := read(data, 1<<16)
		if a != b && errA == nil || (errA == nil) != (errB == nil) {
			t.Errorf("in steps of %d: %+v, %v; at once: %+v, %v", step, a, errA, b, errB)
		}
		if errA == nil && a.Bytes > int64(len(data)) {
			t.Errorf("%d bytes of a body in %d", a.Bytes, len(data))
		}
	})
}

func TestLongAnswersDoNotGrowTheBuffer(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n"
	c := &Conn{Conn: &script{data: bytes.NewReader(append([]byte(head), make([]byte, 1e7)...)), step: 1 << 20}, buf: make([]byte, bufferSize)}
	res, err := c.ReadResponse(false, nil)
	if err != nil || res.Bytes != 1e7 || len(c.buf) > 2*bufferSize {
		t.Errorf("%+v, %v, a buffer of %d bytes", res, err, len(c.buf))
	}
	if _, err := c.ReadResponse(false, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after the end: %v", err)
	}
}

// A gatherer keeps all of an answer.
type gatherer struct {
	fields, body []byte
	length       int64
}

func (g *gatherer) Field(name, value []byte) {
	g.fields = append(append(append(append(g.fields, name...), '='), value...), ';')
}
func (g *gatherer) Status(int) bool   { return true }
func (g *gatherer) Length(n int64)    { g.length = n }
func (g *gatherer) Body(piece []byte) { g.body = append(g.body, piece...) }

func TestWhatOfAnAnswerIsTaken(t *testing.T) {
	for _, tt := range []struct {
		text   string
		isHead bool
		want   Response
		fields string
		length int64
		body   string
	}{
		{"HTTP/1.1 200 OK\r\nContent-Type:  a/b \r\nContent-Length: 2\r\n\r\nhi", false, Response{200, 2, false, 0}, "Content-Type=a/b;Content-Length=2;", 2, "hi"},
		{"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", false, Response{404, 0, false, 0}, "Content-Length=0;", 0, ""},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n", false, Response{200, 5, false, 0}, "Transfer-Encoding=chunked;", -1, "abcde"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true, Response{200, 0, false, 0}, "Content-Length=9;", -1, ""},
		{"HTTP/1.1 204 No Content\r\nconnection: CLOSE\r\n\r\n", false, Response{204, 0, true, 0}, "connection=CLOSE;", -1, ""},
		{"HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 0\r\n\r\n", false, Response{200, 0, true, 0}, "Connection=x, close;Content-Length=0;", 0, ""},
		{"HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 1\n\nx", false, Response{200, 1, false, 0}, "Connection=keep-alive;Content-Length=1;", 1, "x"},
		{"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false, Response{200, 1, true, 0}, "Content-Length=1;", 1, "x"},
		{"HTTP/1.1 200 OK\r\n\r\nuntil the end", false, Response{200, 13, true, 0}, "", -1, "until the end"},
	} {
		for _, step := range []int{1, 3, 1 << 16} {
			c := &Conn{Conn: &script{data: bytes.NewReader([]byte(tt.text)), step: step}, buf: make([]byte, bufferSize)}
			got := gatherer{length: -1}
			res, err := c.ReadResponse(tt.isHead, &got)
			if err != nil || res != tt.want || string(got.fields) != tt.fields || got.length != tt.length || string(got.body) != tt.body {
				t.Errorf("%q in steps of %d: %+v, %v; %q, %d, %q", tt.text, step, res, err, got.fields, got.length, got.body)
			}
		}
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	for _, text := range []string{
		"HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 099 Low\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\n: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 4*maxHead) + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", maxHead/3) + "\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", maxHead/3) + "\r\n",
	} {
		if res, err := read([]byte(text), 1<<16); !errors.Is(err, outcome.ErrMalformed) {
			t.Errorf("%.60q: %+v, %v", text, res, err)
		}
	}
}

func TestIs(t *testing.T) {
	for _, tt := range []struct {
		name, given string
		want        bool
	}{
		{"Content-Length", "content-length", true}, {"content-length", "Content-Length", true}, {"a", "b", false}, {"a", "ab", false}, {"", "", true},
		{"[", "{", false}, {"@", "`", false},
	} {
		if Is([]byte(tt.name), tt.given) != tt.want {
			t.Errorf("%q and %q", tt.name, tt.given)
		}
	}
}
