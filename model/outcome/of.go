package outcome

import (
	"context"
	"errors"
	"io"
	"net"
)

// Errors by which a sender says what the operating system can not. They are
// wrapped into the errors that Of is asked about.
var (
	// ErrMalformed says that the answer is no HTTP, or has another form than it
	// claims.
	ErrMalformed = errors.New("the answer is malformed")
	// ErrNotConnected says that there was no connection to send on: it was
	// refused, or not made in time. Errors of the net package that come from
	// dialling need no such mark.
	ErrNotConnected = errors.New("no connection was made")
	// ErrTLS says that a connection was made, but no TLS session on it.
	ErrTLS = errors.New("TLS handshake")
	// ErrStopping says that the sender itself has ended the request, because it
	// stops.
	ErrStopping = errors.New("the service is stopping")
)

// OfStatus is the class of an answer: a status of 400 or more is an error.
func OfStatus(status int) Class {
	if status >= 400 {
		return HTTPError
	}
	return OK
}

// Of is the class of a request that was answered with a status or, if err is not
// nil, got no answer that counts.
//
// The first of these rules that fits decides: a sender that gave up has
// cancelled the request, whatever it saw afterwards; a connection that was not
// made is a connection error, however long that took; an error of the connection
// itself, such as its end within an answer, is a timeout if a deadline has passed
// and else a connection error, even if the reader calls the part that came
// malformed; an answer that came and
// could not be read is malformed; a deadline that passed otherwise is a timeout;
// and anything else broke the connection.
func Of(status int, err error) Class {
	if err == nil {
		return OfStatus(status)
	}
	var network *net.OpError
	var timeout interface{ Timeout() bool }
	broken := errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case errors.Is(err, ErrStopping), errors.Is(err, context.Canceled):
		return Cancelled
	case errors.Is(err, ErrNotConnected), network != nil && network.Op == "dial":
		return ConnectionError
	case errors.Is(err, ErrMalformed) && !broken:
		return Malformed
	case errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	}
	return ConnectionError
}
