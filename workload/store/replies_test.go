package store

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

func TestRepliesAreRead(t *testing.T) {
	for _, tt := range []struct {
		reply   string
		refused bool
		bad     bool
	}{
		{reply: "+OK\r\n"}, {reply: ":-12\r\n"}, {reply: "$-1\r\n"}, {reply: "$0\r\n\r\n"}, {reply: "$5\r\nab\r\nc\r\n"},
		{reply: "*0\r\n"}, {reply: "*-1\r\n"}, {reply: "*2\r\n$1\r\na\r\n*1\r\n:1\r\n"}, {reply: "%1\r\n+a\r\n:1\r\n"}, {reply: ">1\r\n+push\r\n+OK\r\n"},
		{reply: "_\r\n"}, {reply: "#t\r\n"}, {reply: ",1.5\r\n"},
		{reply: "-ERR no\r\n", refused: true}, {reply: "!5\r\nERR n\r\n", refused: true},
		{reply: "*1\r\n-ERR inside\r\n"}, // of a transaction that was executed
		{reply: "?\r\n", bad: true}, {reply: "\r\n", bad: true}, {reply: "$x\r\n", bad: true}, {reply: "+OK", bad: true},
		{reply: strings.Repeat("*1\r\n", 100) + "+OK\r\n", bad: true},
	} {
		in := bufio.NewReader(strings.NewReader(tt.reply + "+next\r\n"))
		if tt.reply == "+OK" {
			in = bufio.NewReader(strings.NewReader(tt.reply))
		}
		refused, err := skipReply(in, 0)
		if refused != tt.refused || (err != nil) != tt.bad {
			t.Errorf("%q: refused %v, %v", tt.reply, refused, err)
		}
		if rest, _ := io.ReadAll(in); err == nil && string(rest) != "+next\r\n" {
			t.Errorf("%q leaves %q", tt.reply, rest)
		}
	}
}
