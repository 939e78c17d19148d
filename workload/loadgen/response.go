package loadgen

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", outcome.ErrMalformed, fmt.Sprintf(format, args...))
}

// A response is what is kept of an answer.
type response struct {
	status int
	bytes  int64 // of the body
	close  bool  // the connection carries no further request
}

// readResponse reads one answer, the first bytes of which exchange has received.
// The body is counted and dropped.
func (c *conn) readResponse(isHead bool) (response, error) {
	for {
		res, length, chunked, err := c.readHead()
		if err != nil {
			return res, err
		}
		switch {
		case res.status == 101:
			return res, malformed("status 101 was not asked for")
		case res.status < 200:
			continue // interim answers come before the final one
		case isHead || res.status == 204 || res.status == 304:
			return res, nil
		case chunked:
			err = c.readChunks(&res)
		case length >= 0:
			res.bytes = length
			err = c.readBody(length)
		default:
			res.close = true
			res.bytes, err = c.readToEnd()
		}
		return res, err
	}
}

// readHead reads the status line and the header fields. A length of -1 means
// that none was given.
func (c *conn) readHead() (res response, length int64, chunked bool, err error) {
	if n := min(c.w-c.r, 5); string(c.buf[c.r:c.r+n]) != "HTTP/"[:n] {
		return res, 0, false, malformed("it begins with %q", c.buf[c.r:min(c.w, c.r+40)])
	}
	line, err := c.line()
	if err != nil {
		return res, 0, false, err
	}
	// HTTP-version SP 3DIGIT [SP reason], RFC 9112, section 4.
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return res, 0, false, malformed("it begins with %q", line[:min(len(line), 40)])
	}
	for _, digit := range line[9:12] {
		if digit < '0' || digit > '9' {
			return res, 0, false, malformed("its status is %q", line[9:12])
		}
		res.status = res.status*10 + int(digit-'0')
	}
	if res.status < 100 {
		return res, 0, false, malformed("its status is %q", line[9:12])
	}
	res.close = line[7] == '0'
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
		switch name := line[:colon]; {
		case is(name, "content-length"):
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || n < 0 || length >= 0 && n != length {
				return res, 0, false, malformed("Content-Length %q", value)
			}
			length = n
		case is(name, "transfer-encoding"):
			if !is(value, "chunked") {
				return res, 0, false, malformed("Transfer-Encoding %q", value)
			}
			chunked = true
		case is(name, "connection"):
			switch {
			case is(value, "close"):
				res.close = true
			case is(value, "keep-alive"):
				res.close = false
			}
		}
	}
}

// is compares ASCII without regard to case; lower must be in lower case.
func is(text []byte, lower string) bool {
	if len(text) != len(lower) {
		return false
	}
	for i, c := range text {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// line returns the next line without its end. It is valid until the next read.
func (c *conn) line() ([]byte, error) {
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

func (c *conn) readBody(length int64) error {
	for length > 0 {
		if c.r == c.w {
			if err := c.fill(); err != nil {
				return cutOff(err)
			}
		}
		n := int(min(int64(c.w-c.r), length))
		c.r, length = c.r+n, length-int64(n)
	}
	return nil
}

func (c *conn) readChunks(res *response) error {
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
		if err := c.readBody(n); err != nil {
			return err
		}
		res.bytes += n
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

func (c *conn) readToEnd() (n int64, err error) {
	for {
		n += int64(c.w - c.r)
		c.r = c.w
		if err := c.fill(); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}
