package intake

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// Messages come whole, however they are cut, and nothing of the budget is lost.
func TestMessagesComeWhole(t *testing.T) {
	b := NewBudget(1 << 20)
	for _, n := range []int{0, 1, Free - 1, Free, Free + 1, 3 * Free, 500_000} {
		sent := bytes.Repeat([]byte("abcdefg"), n/7+1)[:n]
		for name, in := range map[string]io.Reader{"at once": bytes.NewReader(append(sent, "next"...)), "halves": iotest.HalfReader(bytes.NewReader(append(sent, "next"...)))} {
			got, release, err := b.Read(in, n)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes, %s: %d came, %v", n, name, len(got), err)
			}
			release()
			if rest, _ := io.ReadAll(in); string(rest) != "next" {
				t.Errorf("%d bytes, %s: %q is left", n, name, rest)
			}
		}
	}
	if _, release, err := b.Read(bytes.NewReader(make([]byte, 100_000)), 200_000); err == nil {
		t.Error("a message that ends too early is whole")
	} else {
		release()
	}
	if left := b.left.Load(); left != 1<<20 {
		t.Errorf("%d bytes are left of the budget", left)
	}
}

// A client that says much and sends little takes little, and all together take no more
// than the budget.
func TestMemoryIsBound(t *testing.T) {
	b := NewBudget(1 << 20)
	quiet, _ := io.Pipe()
	quiet.Close()
	if _, release, err := b.Read(quiet, 40_000_000); err == nil {
		t.Error("nothing is a message")
	} else {
		release()
	}
	_, first, err := b.Read(bytes.NewReader(make([]byte, 400_000)), 400_000)
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := b.Read(bytes.NewReader(make([]byte, 400_000)), 400_000)
	if !errors.Is(err, ErrFull) {
		t.Errorf("a message over the budget: %v", err)
	}
	second()
	first()
	if _, third, err := b.Read(bytes.NewReader(make([]byte, 400_000)), 400_000); err != nil {
		t.Errorf("what was given back is not there: %v", err)
	} else {
		third()
	}
}

// A parser that keeps what is not whole meets the budget, and one that gets whole
// messages does not.
func TestMetersKeepTheBudget(t *testing.T) {
	b := NewBudget(100_000)
	m := &Meter{In: zeros{}, Budget: b}
	part := make([]byte, Free)
	for range 100 {
		if _, err := io.ReadFull(m, part); err != nil {
			t.Fatal(err)
		}
		m.Whole()
	}
	n, err := io.Copy(io.Discard, m)
	if !errors.Is(err, ErrFull) || n > Free+100_000+32<<10 {
		t.Errorf("%d bytes of one message, %v", n, err)
	}
	m.Close()
	if left := b.left.Load(); left != 100_000 {
		t.Errorf("%d bytes are left of the budget", left)
	}
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(b []byte) (int, error) { return len(b), nil }
