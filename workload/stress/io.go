package stress

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// blockSize is how much is written or read at once.
const blockSize = fault.MinStressFile

// writeAndRead keeps the disk busy with one file.
//
// sync writes a block and waits until the disk has it, again and again. iomix
// writes the whole file in order, then reads and writes blocks anywhere in it,
// and waits for the disk now and then.
func (c Config) writeAndRead(stop <-chan struct{}) error {
	f, err := openFile(c.Dir)
	if err != nil {
		return fmt.Errorf("making a file in %q: %w", c.Dir, err)
	}
	do := c.syncs
	if c.Method == "iomix" {
		do = c.mixes
	}
	return errors.Join(do(f, stop), f.Close())
}

func (c Config) syncs(f *os.File, stop <-chan struct{}) error {
	block := noise()
	blocks := int64(c.Size) / blockSize
	for n := int64(0); !stopped(stop); n++ {
		if _, err := f.WriteAt(block, n%blocks*blockSize); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) mixes(f *os.File, stop <-chan struct{}) error {
	block, read := noise(), make([]byte, blockSize)
	blocks := int64(c.Size) / blockSize
	for !stopped(stop) {
		for n := int64(0); n < blocks && !stopped(stop); n++ {
			if _, err := f.WriteAt(block, n*blockSize); err != nil {
				return err
			}
		}
		for n := int64(0); n < blocks && !stopped(stop); n++ {
			if err := c.mix(f, block, read, blocks, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// mix reads two blocks and writes one, and syncs after every sixteenth.
func (c Config) mix(f *os.File, block, read []byte, blocks, n int64) error {
	for range 2 {
		if _, err := f.ReadAt(read, rand.Int64N(blocks)*blockSize); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt(block, rand.Int64N(blocks)*blockSize); err != nil {
		return err
	}
	if n%16 != 0 {
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return forget(f)
}

// noise is a block that no file system makes smaller.
func noise() []byte {
	block := make([]byte, blockSize)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(block) // never fails
	return block
}
