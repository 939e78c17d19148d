package main

import (
	"archive/tar"
	"archive/zip"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// A member is a file of an archive: its name there, its path on disk, and its
// permissions.
type member struct {
	name, path string
	mode       fs.FileMode
}

// packed is the time of all files in archives, so that the same files always give
// the same archive. Zip knows no time before 1980.
func packed() time.Time { return time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) }

// writeArchive writes a .zip or a .tar.gz.
func writeArchive(to string, members []member, level int) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	write := writeTar
	if strings.HasSuffix(to, ".zip") {
		write = writeZip
	}
	return errors.Join(write(f, members, level), f.Close())
}

func writeTar(w io.Writer, members []member, level int) error {
	compressed, err := gzip.NewWriterLevel(w, level)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(compressed)
	for _, m := range members {
		info, err := os.Stat(m.path)
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: m.name, Size: info.Size(), Mode: int64(m.mode), ModTime: packed(), Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if err := copyFile(archive, m.path); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), compressed.Close())
}

func writeZip(w io.Writer, members []member, level int) error {
	archive := zip.NewWriter(w)
	archive.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, level) })
	for _, m := range members {
		header := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: packed()}
		header.SetMode(m.mode)
		entry, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if err := copyFile(entry, m.path); err != nil {
			return err
		}
	}
	return archive.Close()
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
