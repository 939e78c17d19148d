package kafkafront

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
)

// packed is a batch of messages with its records compressed.
func packed(messages []store.Message, c codec, pack func([]byte) []byte) []byte {
	plain := batchOf(messages, time.UnixMilli(0))
	b := append(plain[:batchHead:batchHead], pack(plain[batchHead:])...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-afterLength))
	b[checked+1] |= byte(c)
	binary.BigEndian.PutUint32(b[checked-4:], crc32.Checksum(b[checked:], castagnoli))
	return b
}

// by is the compressor that franz-go has for a codec.
func by(t testing.TB, c codec) func([]byte) []byte {
	t.Helper()
	codecs := map[codec]kgo.CompressionCodec{codecGzip: kgo.GzipCompression(), codecSnappy: kgo.SnappyCompression(), codecLZ4: kgo.Lz4Compression(), codecZstd: kgo.ZstdCompression()}
	compressor, err := kgo.DefaultCompressor(codecs[c])
	if err != nil {
		t.Fatal(err)
	}
	return func(b []byte) []byte {
		out, used := compressor.Compress(new(bytes.Buffer), b)
		if codec(used) != c {
			t.Fatalf("compressed by %d, want %d", used, c)
		}
		return bytes.Clone(out)
	}
}

func packedRequest(t testing.TB, c codec, messages []store.Message) *kmsg.ProduceRequest {
	t.Helper()
	r := produceRequest(0)
	r.Topics[0].Partitions[0].Records = packed(messages, c, by(t, c))
	return r
}

// xerial is a stream of blocks of snappy, of so many bytes each.
func xerial(size int) func([]byte) []byte {
	return func(b []byte) []byte {
		out := append([]byte(xerialMagic), 0, 0, 0, 1, 0, 0, 0, 1)
		for len(b) > 0 {
			n := min(len(b), size)
			block := snappy.Encode(nil, b[:n])
			out = append(binary.BigEndian.AppendUint32(out, uint32(len(block))), block...)
			b = b[n:]
		}
		return out
	}
}

// What is compressed comes out as it went in, and all memory is given back.
func TestBatchesAreUnpacked(t *testing.T) {
	messages := []store.Message{{Key: []byte("k"), Value: bytes.Repeat([]byte("long "), 20_000)}, {Offset: 1, Value: []byte("b")}}
	for name, tt := range map[string]struct {
		codec   codec
		pack    func([]byte) []byte
		version int16
		wrong   int16
	}{
		"gzip": {codecGzip, by(t, codecGzip), 3, 0}, "snappy": {codecSnappy, by(t, codecSnappy), 3, 0}, "lz4": {codecLZ4, by(t, codecLZ4), 3, 0}, "zstd": {codecZstd, by(t, codecZstd), 7, 0},
		"snappy of java": {codecSnappy, xerial(32 << 10), 3, 0}, "zstd too early": {codecZstd, by(t, codecZstd), 6, kerr.UnsupportedCompressionType.Code},
		"a block cut off":  {codecSnappy, func(b []byte) []byte { b = xerial(1000)(b); return b[:len(b)-1] }, 3, kerr.CorruptMessage.Code},
		"a length cut off": {codecSnappy, func(b []byte) []byte { return append(xerial(1000)(b), 0, 0) }, 3, kerr.CorruptMessage.Code},
		"gzip cut off":     {codecGzip, func(b []byte) []byte { b = by(t, codecGzip)(b); return b[:len(b)/2] }, 3, kerr.CorruptMessage.Code},
	} {
		t.Run(name, func(t *testing.T) {
			budget := intake.NewBudget(64 << 20)
			u := newUnpacker(budget)
			got, wrong := readBatches(packed(messages, tt.codec, tt.pack), 0, tt.version, u)
			if wrong != tt.wrong {
				t.Fatalf("%v, want %v", kerr.ErrorForCode(wrong), kerr.ErrorForCode(tt.wrong))
			}
			if wrong == 0 && (len(got) != 2 || string(got[0].Key) != "k" || !bytes.Equal(got[0].Value, messages[0].Value) || string(got[1].Value) != "b") {
				t.Errorf("%d messages come out, or others", len(got))
			}
			u.release()
			if err := budget.Take(64 << 20); err != nil {
				t.Error("memory is not given back")
			}
		})
	}
}

// A small batch that unpacks to much more than a request may have is refused, before the memory
// is taken; so is one for which the budget of all connections has no room.
func TestBombsAreRefused(t *testing.T) {
	zeros := func(int) []store.Message { return []store.Message{{Value: make([]byte, 20<<20)}} }(0)
	for c := codecGzip; c <= codecZstd; c++ {
		b := packed(zeros, c, by(t, c))
		if len(b) > mostBatch {
			continue // it is refused as it comes: snappy does not compress so well
		}
		u := newUnpacker(intake.NewBudget(1 << 30))
		if _, wrong := readBatches(b, 0, 9, u); wrong != kerr.MessageTooLarge.Code {
			t.Errorf("codec %d: %v", c, kerr.ErrorForCode(wrong))
		}
		if u.taken > 2*mostUnpacked {
			t.Errorf("codec %d takes %d bytes", c, u.taken)
		}
	}
	small := []store.Message{{Value: make([]byte, 8<<20)}}
	for c := codecGzip; c <= codecZstd; c++ {
		u := newUnpacker(intake.NewBudget(1 << 20))
		if _, wrong := readBatches(packed(small, c, by(t, c)), 0, 9, u); wrong != kerr.MessageTooLarge.Code {
			t.Errorf("codec %d without room: %v", c, kerr.ErrorForCode(wrong))
		}
	}
	// The bound is that of the whole request, not of each of its batches.
	u := newUnpacker(intake.NewBudget(1 << 30))
	one := packed(small, codecZstd, by(t, codecZstd))
	if _, wrong := readBatches(bytes.Repeat(one, 3), 0, 9, u); wrong != kerr.MessageTooLarge.Code {
		t.Errorf("three batches of 8 MiB: %v", kerr.ErrorForCode(wrong))
	}
	lie := packed([]store.Message{{Value: []byte("x")}}, codecSnappy, func([]byte) []byte { return binary.AppendUvarint(nil, 10<<20) })
	if _, wrong := readBatches(lie, 0, 9, newUnpacker(intake.NewBudget(1<<30))); wrong != kerr.CorruptMessage.Code {
		t.Errorf("a block that lies: %v", kerr.ErrorForCode(wrong))
	}
	far := packed([]store.Message{{Value: []byte("x")}}, codecZstd, func(b []byte) []byte {
		w, err := zstd.NewWriter(nil, zstd.WithWindowSize(2*mostWindow), zstd.WithSingleSegment(false))
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(bytes.Repeat(b, 12<<20/len(b)), nil)
	})
	if _, wrong := readBatches(far, 0, 9, newUnpacker(intake.NewBudget(1<<30))); wrong != kerr.CorruptMessage.Code {
		t.Errorf("a window of 16 MiB: %v", kerr.ErrorForCode(wrong))
	}
	many := produceRequest(0).Topics[0].Partitions[0].Records
	binary.BigEndian.PutUint32(many[57:], 1<<24)
	binary.BigEndian.PutUint32(many[17:], crc32.Checksum(many[21:], castagnoli))
	if _, wrong := readBatches(many, 0, 9, newUnpacker(intake.NewBudget(1<<20))); wrong != kerr.MessageTooLarge.Code {
		t.Errorf("a batch that promises 16 million messages: %v", kerr.ErrorForCode(wrong))
	}
}
