package export

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// writeFile writes a file by a function that need not look at errors: the buffer
// keeps the first.
func writeFile(path string, write func(w *bufio.Writer)) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	write(w)
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("writing %q: %w", filepath.Base(path), plain(err))
	}
	return nil
}

// writeWide writes a column time and the columns of a table.
func writeWide(path string, g Grid, columns []Column) error {
	return writeFile(path, func(w *bufio.Writer) {
		_, _ = w.WriteString("time")
		for i := range columns {
			_ = w.WriteByte(',')
			_, _ = w.WriteString(columns[i].Name())
		}
		_ = w.WriteByte('\n')
		var row []byte
		for step := range g.Steps {
			row = strconv.AppendInt(row[:0], g.Time(step), 10)
			for i := range columns {
				row = appendNumber(append(row, ','), columns[i].Values[step])
			}
			_, _ = w.Write(append(row, '\n'))
		}
	})
}
