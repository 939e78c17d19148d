// Package nfqueue speaks the protocol of nfnetlink_queue: sockets that a queue of packets
// is bound to, the messages that come, and verdicts.
package nfqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The protocol of nfnetlink_queue (linux/netfilter/nfnetlink_queue.h). Headers
// are in native byte order, what netfilter puts into them in network order.
const (
	msgError        = 2 // NLMSG_ERROR
	msgPacket       = 3 << 8
	msgVerdict      = 3<<8 | 1
	msgConfig       = 3<<8 | 2
	msgVerdictBatch = 3<<8 | 3

	flagRequest, flagAck = 1, 4

	attrPacketHeader, attrVerdictHeader, attrMark = 1, 2, 3
	attrPayload, attrFullLength                   = 10, 13

	configCommand, configParams, configMaxLength, configMask, configFlags = 1, 2, 3, 4, 5

	commandBind = 1

	verdictDrop, verdictAccept = 0, 1
)

// The flags of a queue.
const (
	// FailOpen lets packets pass if the kernel's own queue is full, or it cannot reach us.
	FailOpen = 1
	// WholeGSO does not cut large packets into frames, and leaves checksums to the device.
	WholeGSO = 4
)

// A Verdict is what becomes of a packet.
type Verdict uint32

// The verdicts.
const (
	Drop   Verdict = verdictDrop
	Accept Verdict = verdictAccept
)

// A Message is one netlink message of a queue.
type Message struct {
	IsPacket bool
	Queue    uint16
	ID       uint32
	IPv6     bool
	Mark     uint32
	Length   int    // of the whole packet, as far as known
	Payload  []byte // as much as was asked for
	Errno    int32  // of an answer that is not a packet; 0 is an acknowledgement
}

var errTruncated = errors.New("truncated netlink message")

// Parse reads the first message and returns what follows it.
func Parse(b []byte) (m Message, rest []byte, err error) {
	if len(b) < 16 {
		return m, nil, errTruncated
	}
	length := int(binary.NativeEndian.Uint32(b))
	if length < 16 || length > len(b) {
		return m, nil, errTruncated
	}
	rest = b[min(len(b), (length+3)&^3):]
	body := b[16:length]
	switch kind := binary.NativeEndian.Uint16(b[4:]); kind {
	case msgError:
		if len(body) < 4 {
			return m, nil, errTruncated
		}
		m.Errno = -int32(binary.NativeEndian.Uint32(body))
		return m, rest, nil
	case msgPacket:
		if len(body) < 4 {
			return m, nil, errTruncated
		}
		m.IsPacket = true
		m.Queue = binary.BigEndian.Uint16(body[2:])
		return m, rest, m.parseAttributes(body[4:])
	default:
		return m, rest, fmt.Errorf("unexpected netlink message of type %#x", kind)
	}
}

func (m *Message) parseAttributes(b []byte) error {
	full := -1
	for len(b) >= 4 {
		length := int(binary.NativeEndian.Uint16(b))
		if length < 4 || length > len(b) {
			return errTruncated
		}
		value := b[4:length]
		switch kind := binary.NativeEndian.Uint16(b[2:]) & 0x3fff; {
		case kind == attrPacketHeader && len(value) >= 7:
			m.ID = binary.BigEndian.Uint32(value)
			m.IPv6 = binary.BigEndian.Uint16(value[4:]) == 0x86dd
		case kind == attrMark && len(value) >= 4:
			m.Mark = binary.BigEndian.Uint32(value)
		case kind == attrFullLength && len(value) >= 4:
			full = int(binary.BigEndian.Uint32(value))
		case kind == attrPayload:
			m.Payload = value
		}
		b = b[min(len(b), (length+3)&^3):]
	}
	m.Length = max(full, len(m.Payload))
	return nil
}

// builder puts netlink messages for queues one after the other.
type builder struct{ buf []byte }

// begin starts a message; its length is filled in by end.
func (w *builder) begin(kind, flags uint16, queue uint16) (start int) {
	start = len(w.buf)
	w.buf = append(w.buf, 0, 0, 0, 0)
	w.buf = binary.NativeEndian.AppendUint16(w.buf, kind)
	w.buf = binary.NativeEndian.AppendUint16(w.buf, flags|flagRequest)
	w.buf = append(w.buf, 0, 0, 0, 0, 0, 0, 0, 0) // sequence number and port
	w.buf = append(w.buf, 0, 0)                   // any family, version 0
	w.buf = binary.BigEndian.AppendUint16(w.buf, queue)
	return start
}

func (w *builder) end(start int) {
	binary.NativeEndian.PutUint32(w.buf[start:], uint32(len(w.buf)-start))
}

func (w *builder) attr(kind uint16, parts ...[]byte) {
	length := 4
	for _, p := range parts {
		length += len(p)
	}
	w.buf = binary.NativeEndian.AppendUint16(w.buf, uint16(length))
	w.buf = binary.NativeEndian.AppendUint16(w.buf, kind)
	for _, p := range parts {
		w.buf = append(w.buf, p...)
	}
	for len(w.buf)%4 != 0 {
		w.buf = append(w.buf, 0)
	}
}

func (w *builder) attr32(kind uint16, values ...uint32) {
	w.buf = binary.NativeEndian.AppendUint16(w.buf, uint16(4+4*len(values)))
	w.buf = binary.NativeEndian.AppendUint16(w.buf, kind)
	for _, v := range values {
		w.buf = binary.BigEndian.AppendUint32(w.buf, v)
	}
}

// verdict decides about one packet.
func (w *builder) verdict(queue uint16, id, verdict uint32) {
	start := w.begin(msgVerdict, 0, queue)
	w.attr32(attrVerdictHeader, verdict, id)
	w.end(start)
}

// acceptAs lets a packet pass with another mark and, if payload is not nil,
// with other bytes.
func (w *builder) acceptAs(queue uint16, id, mark uint32, payload []byte) {
	start := w.begin(msgVerdict, 0, queue)
	w.attr32(attrVerdictHeader, verdictAccept, id)
	w.attr32(attrMark, mark)
	if payload != nil {
		w.attr(attrPayload, payload)
	}
	w.end(start)
}

// verdictUpTo decides about every packet of the queue up to the id.
func (w *builder) verdictUpTo(queue uint16, id, verdict, mark uint32) {
	start := w.begin(msgVerdictBatch, 0, queue)
	w.attr32(attrVerdictHeader, verdict, id)
	if verdict == verdictAccept {
		w.attr32(attrMark, mark)
	}
	w.end(start)
}

// bind asks for a queue number; configure sets how much of each packet is
// wanted (0: nothing but its id), how many packets may wait, and the flags.
func (w *builder) bind(queue uint16) {
	start := w.begin(msgConfig, flagAck, queue)
	w.attr(configCommand, []byte{commandBind, 0, 0, 0})
	w.end(start)
}

func (w *builder) configure(queue uint16, copyRange, maxLength, flags uint32) {
	const copyMeta, copyPacket = 1, 2
	mode := byte(copyPacket)
	if copyRange == 0 {
		mode = copyMeta
	}
	start := w.begin(msgConfig, flagAck, queue)
	w.attr(configParams, binary.BigEndian.AppendUint32(nil, copyRange), []byte{mode})
	w.attr32(configMaxLength, maxLength)
	w.attr32(configMask, FailOpen|WholeGSO)
	w.attr32(configFlags, flags)
	w.end(start)
}
