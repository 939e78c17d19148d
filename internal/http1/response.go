package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", outcome.ErrMalformed, fmt.Sprintf(format, args...))
}

// A Response is what is known of every answer.
type Response struct {
	Status int
	Bytes  int64 // of the body
	Close  bool  // the connection carries no further request
	// Degraded is what control.DegradedHeader says; 0 without one.
	Degraded int
}

// A Sink takes more of an answer than a Response says. The bytes that it is
// given are valid until it returns.
type Sink interface {
	// Status tells the status, and returns whether the sink takes the rest.
	Status(status int) bool
	// Field takes a field of the header, whose name is written as it came.
	Field(name, value []byte)
	// Length announces a body of known length, in bytes.
	Length(n int64)
	// Body takes the next piece of the body.
	Body(piece []byte)
}

// maxInterim bounds the interim answers (1xx) before the final one.
const maxInterim = 5

// ReadResponse reads one answer to its end; Exchange has received its first
// bytes. The sink may be nil. An answer that is no HTTP is an
// outcome.ErrMalformed.
func (c *Conn) ReadResponse(isHead bool, sink Sink) (Response, error) {
	res, err := c.readResponse(isHead, sink)
	res.Close = res.Close || c.broken
	if err != nil && !errors.Is(err, outcome.ErrMalformed) {
		err = fmt.Errorf("reading the answer: %w", err)
	}
	return res, err
}

func (c *Conn) readResponse(isHead bool, sink Sink) (Response, error) {
	for range maxInterim + 1 {
		res, length, chunked, err := c.readHead(&sink)
		if err != nil {
			return res, err
		}
		switch {
		case res.Status == 101:
			return res, malformed("status 101 was not asked for")
		case res.Status < 200:
			continue
		case isHead || res.Status == 204 || res.Status == 304:
			return res, nil
		case chunked:
			err = c.readChunks(&res, sink)
		case length >= 0:
			if sink != nil {
				sink.Length(length)
			}
			res.Bytes = length
			err = c.readBody(length, sink)
		default:
			res.Close = true
			res.Bytes, err = c.readToEnd(sink)
		}
		return res, err
	}
	return Response{}, malformed("more than %d interim answers came before it", maxInterim)
}

// readHead reads the status line and the header fields. A length of -1 means
// that none was given. It takes away a sink that does not want the rest.
func (c *Conn) readHead(to *Sink) (res Response, length int64, chunked bool, err error) {
	if n := min(c.w-c.r, 5); string(c.buf[c.r:c.r+n]) != "HTTP/"[:n] {
		return res, 0, false, malformed("it begins with %q", c.buf[c.r:min(c.w, c.r+40)])
	}
	line, err := c.line()
	if err != nil {
		return res, 0, false, err
	}
	if res.Status, err = parseStatus(line); err != nil {
		return res, 0, false, err
	}
	res.Close = line[7] == '0'
	if *to != nil && res.Status >= 200 && !(*to).Status(res.Status) {
		*to = nil
	}
	sink := *to
	length = -1
	for size := len(line); ; size += len(line) {
		line, err = c.line()
		if err != nil || len(line) == 0 {
			return res, length, chunked, err
		}
		if size > maxHead {
			return res, 0, false, malformed("its header is longer than %d bytes", maxHead)
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 {
			return res, 0, false, malformed("header line %q", line[:min(len(line), 40)])
		}
		value := bytes.TrimSpace(line[colon+1:])
		if sink != nil && res.Status >= 200 {
			sink.Field(line[:colon], value)
		}
		switch name := line[:colon]; {
		case Is(name, "content-length"):
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || n < 0 || length >= 0 && n != length {
				return res, 0, false, malformed("Content-Length %q", value)
			}
			length = n
		case Is(name, "transfer-encoding"):
			if !Is(value, "chunked") {
				return res, 0, false, malformed("Transfer-Encoding %q", value)
			}
			chunked = true
		case Is(name, control.DegradedHeader):
			res.Degraded = control.ParseDegraded(string(value))
		case Is(name, "connection"):
			for token := range bytes.SplitSeq(value, []byte{','}) {
				switch token = bytes.TrimSpace(token); {
				case Is(token, "close"):
					res.Close = true
				case Is(token, "keep-alive"):
					res.Close = false
				}
			}
		}
	}
}

// parseStatus returns the status in a status line: HTTP-version SP 3DIGIT [SP reason]
// (RFC 9112, section 4).
func parseStatus(line []byte) (status int, err error) {
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return 0, malformed("it begins with %q", line[:min(len(line), 40)])
	}
	for _, digit := range line[9:12] {
		if digit < '0' || digit > '9' {
			return 0, malformed("its status is %q", line[9:12])
		}
		status = status*10 + int(digit-'0')
	}
	if status < 100 {
		return 0, malformed("its status is %q", line[9:12])
	}
	return status, nil
}

// Is reports whether a name is the given one; the case of ASCII letters does not
// count.
func Is(name []byte, given string) bool {
	if len(name) != len(given) {
		return false
	}
	for i, c := range name {
		if c != given[i] && lower(c) != lower(given[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// line returns the next line without its end. It is valid until the next read.
func (c *Conn) line() ([]byte, error) {
	for from := 0; ; {
		if i := bytes.IndexByte(c.buf[c.r+from:c.w], '\n'); i >= 0 {
			line := c.buf[c.r : c.r+from+i]
			c.r += from + i + 1
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		from = c.w - c.r
		if from > maxHead {
			return nil, malformed("a line is longer than %d bytes", maxHead)
		}
		if err := c.fill(); err != nil {
			return nil, cutOff(err)
		}
	}
}

// cutOff names an end in the middle of an answer as what it is.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *Conn) readBody(length int64, sink Sink) error {
	for length > 0 {
		if c.r == c.w {
			if err := c.fill(); err != nil {
				return cutOff(err)
			}
		}
		n := int(min(int64(c.w-c.r), length))
		if sink != nil {
			sink.Body(c.buf[c.r : c.r+n])
		}
		c.r, length = c.r+n, length-int64(n)
	}
	return nil
}

func (c *Conn) readChunks(res *Response, sink Sink) error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		digits, _, _ := bytes.Cut(line, []byte{';'})
		n, err := strconv.ParseInt(string(bytes.TrimSpace(digits)), 16, 64)
		if err != nil || n < 0 {
			return malformed("chunk size %q", line[:min(len(line), 40)])
		}
		if n == 0 {
			break
		}
		if err := c.readBody(n, sink); err != nil {
			return err
		}
		res.Bytes += n
		if line, err = c.line(); err != nil {
			return err
		} else if len(line) != 0 {
			return malformed("no line ends after a chunk")
		}
	}
	for size := 0; ; { // trailers
		line, err := c.line()
		if err != nil || len(line) == 0 {
			return err
		}
		if size += len(line); size > maxHead {
			return malformed("its trailers are longer than %d bytes", maxHead)
		}
	}
}

func (c *Conn) readToEnd(sink Sink) (n int64, err error) {
	for {
		n += int64(c.w - c.r)
		if sink != nil && c.w > c.r {
			sink.Body(c.buf[c.r:c.w])
		}
		c.r = c.w
		if err := c.fill(); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}
