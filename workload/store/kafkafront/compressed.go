package kafkafront

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
)

// A codec is how the records of a batch are compressed, in the bits of its attributes.
type codec int16

const (
	codecGzip codec = iota + 1
	codecSnappy
	codecLZ4
	codecZstd
)

const (
	// mostUnpacked bounds what the batches of one request unpack to: a small one can grow
	// to gigabytes.
	mostUnpacked = mostMessage
	// mostWindow bounds the memory that a batch asks for in order to look back.
	mostWindow = 8 << 20
	// firstZstd is the version of requests to publish from which Kafka takes zstd.
	firstZstd = 7
)

var (
	errTooLong = fmt.Errorf("unpacking a batch: it has more than %d bytes", mostUnpacked)
	errPacked  = errors.New("unpacking a batch: it is not what it says")
)

// An unpacker unpacks the batches of one request. Release gives its memory back.
type unpacker struct {
	budget *intake.Budget
	// left is how many bytes the batches may still have.
	left  int
	taken int
}

func newUnpacker(budget *intake.Budget) *unpacker {
	return &unpacker{budget: budget, left: mostUnpacked}
}

func (u *unpacker) release() {
	u.budget.Give(u.taken)
	u.taken = 0
}

func (u *unpacker) take(n int) error {
	if err := u.budget.Take(n); err != nil {
		return err
	}
	u.taken += n
	return nil
}

// open unpacks the records of a batch in a request of a version, or says what is wrong with
// them.
func (u *unpacker) open(batch *kmsg.RecordBatch, version int16) (wrong int16) {
	c := codec(batch.Attributes & compression)
	switch {
	case c == 0:
		return 0
	case c > codecZstd, c == codecZstd && version < firstZstd:
		return kerr.UnsupportedCompressionType.Code
	}
	var err error
	switch batch.Records, err = u.unpack(c, batch.Records); {
	case errors.Is(err, errTooLong), errors.Is(err, intake.ErrFull):
		return kerr.MessageTooLarge.Code
	case err != nil:
		return kerr.CorruptMessage.Code
	}
	return 0
}

// unpack returns the records of a batch.
func (u *unpacker) unpack(c codec, packed []byte) (records []byte, err error) {
	switch c {
	case codecSnappy:
		return u.unpackSnappy(packed)
	case codecGzip:
		in, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, errPacked
		}
		return u.read(in)
	case codecLZ4, codecZstd:
		if err := u.take(mostWindow); err != nil {
			return nil, err
		}
		defer func() {
			u.budget.Give(mostWindow)
			u.taken -= mostWindow
		}()
		if c == codecLZ4 {
			return u.read(lz4.NewReader(bytes.NewReader(packed)))
		}
		in, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(mostWindow))
		if err != nil {
			return nil, errPacked
		}
		defer in.Close()
		return u.read(in)
	}
	return nil, errPacked
}

// read reads everything, and takes memory out of the budget as it grows.
func (u *unpacker) read(in io.Reader) (records []byte, err error) {
	for {
		if len(records) == cap(records) {
			more := min(max(2*cap(records), intake.Free), u.left+1)
			if more <= cap(records) {
				return nil, errTooLong
			}
			if err := u.take(more - cap(records)); err != nil {
				return nil, err
			}
			records = append(make([]byte, 0, more), records...)
		}
		n, err := in.Read(records[len(records):cap(records)])
		records = records[:len(records)+n]
		switch {
		case len(records) > u.left:
			return nil, errTooLong
		case errors.Is(err, io.EOF):
			u.left -= len(records)
			return records, nil
		case err != nil:
			return nil, errPacked
		}
	}
}

// The head of a stream of blocks of snappy, as Java clients write it
// (https://github.com/xerial/snappy-java): a magic number, and two versions.
const (
	xerialMagic = "\x82SNAPPY\x00"
	xerialHead  = len(xerialMagic) + 4 + 4
)

// unpackSnappy unpacks one block, or those of a stream.
func (u *unpacker) unpackSnappy(packed []byte) (records []byte, err error) {
	blocks, err := snappyBlocks(packed)
	if err != nil {
		return nil, err
	}
	total := 0
	for _, block := range blocks {
		n, err := snappy.DecodedLen(block)
		switch {
		case err != nil, n > mostGrowth*len(block):
			return nil, errPacked
		case n > u.left-total:
			return nil, errTooLong
		}
		total += n
	}
	if err := u.take(total); err != nil {
		return nil, err
	}
	u.left -= total
	records = make([]byte, 0, total)
	for _, block := range blocks {
		n, _ := snappy.DecodedLen(block) // it was read before
		own, err := snappy.DecodeStrict(records[len(records):len(records)+n], block)
		if err != nil {
			return nil, errPacked
		}
		records = records[:len(records)+len(own)]
	}
	return records, nil
}

// mostGrowth bounds what a block of snappy unpacks to: a copy of three bytes stands for 64.
const mostGrowth = 64

func snappyBlocks(packed []byte) (blocks [][]byte, err error) {
	if len(packed) < xerialHead || string(packed[:len(xerialMagic)]) != xerialMagic {
		return [][]byte{packed}, nil
	}
	for packed = packed[xerialHead:]; len(packed) > 0; {
		if len(packed) < 4 {
			return nil, errPacked
		}
		n := binary.BigEndian.Uint32(packed)
		packed = packed[4:]
		if uint64(n) > uint64(len(packed)) {
			return nil, errPacked
		}
		blocks, packed = append(blocks, packed[:n]), packed[n:]
	}
	return blocks, nil
}
