package nfqueue

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// packetMessage builds a message as the kernel sends it.
func packetMessage(id uint32, ipv6 bool, mark, full uint32, payload []byte) []byte {
	var w builder
	start := w.begin(msgPacket, 0, 7)
	header := binary.BigEndian.AppendUint32(nil, id)
	protocol := uint16(0x0800)
	if ipv6 {
		protocol = 0x86dd
	}
	header = binary.BigEndian.AppendUint16(header, protocol)
	w.attr(attrPacketHeader, append(header, 4))
	w.attr32(attrMark, mark)
	w.attr(attrPayload, payload)
	if full != 0 {
		w.attr32(attrFullLength, full)
	}
	w.end(start)
	return w.buf
}

func TestParseMessage(t *testing.T) {
	two := append(packetMessage(5, true, 9, 1500, []byte{1, 2, 3}), packetMessage(6, false, 0, 0, []byte{4})...)
	first, rest, err := Parse(two)
	if err != nil {
		t.Fatal(err)
	}
	if !first.IsPacket || first.Queue != 7 || first.ID != 5 || !first.IPv6 || first.Mark != 9 || first.Length != 1500 || !bytes.Equal(first.Payload, []byte{1, 2, 3}) {
		t.Errorf("the first message is %+v", first)
	}
	second, rest, err := Parse(rest)
	if err != nil {
		t.Fatal(err)
	}
	if second.ID != 6 || second.IPv6 || second.Length != 1 || len(rest) != 0 {
		t.Errorf("the second message is %+v, and %d bytes follow", second, len(rest))
	}
}

func TestParseAnswer(t *testing.T) {
	b := make([]byte, 36)
	binary.NativeEndian.PutUint32(b, 36)
	binary.NativeEndian.PutUint16(b[4:], msgError)
	refused := int32(-1)
	binary.NativeEndian.PutUint32(b[16:], uint32(refused))
	m, _, err := Parse(b)
	if err != nil || m.IsPacket || m.Errno != 1 {
		t.Errorf("got %+v, %v; want error number 1", m, err)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add(packetMessage(5, true, 9, 1500, []byte{1, 2, 3}))
	f.Add([]byte{16, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			m, rest, err := Parse(b)
			if err != nil {
				return
			}
			if len(rest) >= len(b) || len(m.Payload) > len(b) || m.Length < len(m.Payload) {
				t.Fatalf("message %+v, %d bytes left of %d", m, len(rest), len(b))
			}
			b = rest
		}
	})
}
