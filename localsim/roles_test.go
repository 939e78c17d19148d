package localsim_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// mute prints no address.
func mute() error {
	fmt.Fprintln(os.Stderr, "still loading")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// babbler prints its address and answers with what is no HTTP.
func babbler() error {
	ln, err := net.Listen("tcp", os.Getenv("LOCALSIM_TEST_ADDR"))
	if err != nil {
		return err
	}
	fmt.Printf(`{"addr":%q}`+"\n", ln.Addr())
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		// Read the whole request, because unread bytes would reset the connection
		// before the answer.
		for request := bufio.NewReader(conn); ; {
			if line, err := request.ReadString('\n'); err != nil || strings.TrimSpace(line) == "" {
				break
			}
		}
		_, _ = conn.Write([]byte("hello, hello\n"))
		conn.Close()
	}
}

// liar prints an address that cannot be one.
func liar() error {
	fmt.Println(`{"addr":"over there"}`)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// stray listens where it was not told to.
func stray() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf(`{"addr":%q}`+"\n", ln.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// fleeting serves for a moment, as a program that crashes again and again.
func fleeting() error {
	time.AfterFunc(50*time.Millisecond, func() {
		fmt.Fprintln(os.Stderr, "out of luck")
		os.Exit(3)
	})
	return agent()
}
