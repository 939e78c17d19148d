package loadgen

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"
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

func read(data []byte, step int) (response, error) {
	c := &conn{Conn: &script{data: bytes.NewReader(data), step: step}, buf: make([]byte, bufferSize)}
	return c.readResponse(false)
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
		if errA == nil && a.bytes > int64(len(data)) {
			t.Errorf("%d bytes of a body in %d", a.bytes, len(data))
		}
	})
}

func TestLongAnswersDoNotGrowTheBuffer(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n"
	c := &conn{Conn: &script{data: bytes.NewReader(append([]byte(head), make([]byte, 1e7)...)), step: 1 << 20}, buf: make([]byte, bufferSize)}
	res, err := c.readResponse(false)
	if err != nil || res.bytes != 1e7 || len(c.buf) > 2*bufferSize {
		t.Errorf("%+v, %v, a buffer of %d bytes", res, err, len(c.buf))
	}
	if _, err := c.readResponse(false); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after the end: %v", err)
	}
}
