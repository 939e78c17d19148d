package gate_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
)

// lineServer is a tiny server in the style of Redis: PING answers +PONG, SET
// and GET keep values.
func lineServer() (address string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveLines(c)
		}
	}()
	return l.Addr().String(), func() {
		l.Close()
		<-done
	}
}

func serveLines(c net.Conn) {
	defer c.Close()
	values := map[string]string{}
	for lines := bufio.NewScanner(c); lines.Scan(); {
		switch words := strings.Fields(lines.Text()); {
		case len(words) == 1 && words[0] == "PING":
			fmt.Fprint(c, "+PONG\r\n")
		case len(words) == 3 && words[0] == "SET":
			values[words[1]] = words[2]
			fmt.Fprint(c, "+OK\r\n")
		case len(words) == 2 && words[0] == "GET":
			fmt.Fprintf(c, "+%s\r\n", values[words[1]])
		default:
			fmt.Fprint(c, "-ERR\r\n")
		}
	}
}

// command sends a line on a connection and returns the answer.
func command(c net.Conn, line string) (string, error) {
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(c, "%s\r\n", line); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(answer), err
}

// A server that answers slowly, and then normally again, over one connection.
func Example() {
	server, stop := lineServer()
	defer stop()
	ctx := context.Background()

	g, err := gate.Start(ctx, gate.Config{Listen: "127.0.0.1:0", Upstream: server})
	if err != nil {
		panic(err)
	}
	defer g.Close()

	client, err := net.Dial("tcp", g.Addr()) // the client under test, told the gate's address
	if err != nil {
		panic(err)
	}
	defer client.Close()

	slow, err := g.ToClient().Delay(100*time.Millisecond, 0)
	if err != nil {
		panic(err)
	}
	start := time.Now()
	answer, err := command(client, "PING")
	fmt.Println(answer, err, "slowly:", time.Since(start) >= 100*time.Millisecond)
	fmt.Println("the delay acted:", slow.Wait(ctx) == nil, slow.Connections())

	g.Reset()
	answer, err = command(client, "PING")
	fmt.Println(answer, err)
	// Output:
	// +PONG <nil> slowly: true
	// the delay acted: true 1
	// +PONG <nil>
}

// Conditions stack, and may be for some connections only.
func ExampleDirection_Set() {
	server, stop := lineServer()
	defer stop()
	g, err := gate.Start(context.Background(), gate.Config{Listen: "127.0.0.1:0", Upstream: server})
	if err != nil {
		panic(err)
	}
	defer g.Close()
	_, err = g.ToServer().Set(
		gate.Substitute{Pattern: "blue", With: "green"},
		gate.Slice{Size: 3, Pause: time.Millisecond},
		gate.Sometimes{Share: 0.0, Of: gate.CloseOnData{Reset: true}},
	)
	if err != nil {
		panic(err)
	}
	client, err := net.Dial("tcp", g.Addr())
	if err != nil {
		panic(err)
	}
	defer client.Close()
	fmt.Println(command(client, "SET colour blue"))
	fmt.Println(command(client, "GET colour"))
	// Output:
	// +OK <nil>
	// +green <nil>
}

// A reset, then an outage, then recovery on the same port.
func ExampleGate_Stop() {
	server, stop := lineServer()
	defer stop()
	g, err := gate.Start(context.Background(), gate.Config{Listen: "127.0.0.1:0", Upstream: server})
	if err != nil {
		panic(err)
	}
	defer g.Close()
	client, err := net.Dial("tcp", g.Addr())
	if err != nil {
		panic(err)
	}
	if _, err := command(client, "PING"); err != nil {
		panic(err)
	}
	g.ResetConnections(-1)
	_, err = command(client, "PING")
	fmt.Println("reset:", errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
	client.Close()

	g.Stop()
	_, err = net.Dial("tcp", g.Addr())
	fmt.Println("refused:", errors.Is(err, syscall.ECONNREFUSED))

	g.Start()
	client, err = net.Dial("tcp", g.Addr())
	if err != nil {
		panic(err)
	}
	defer client.Close()
	fmt.Println(command(client, "PING"))
	// Output:
	// reset: true
	// refused: true
	// +PONG <nil>
}

// A server that accepts and never answers: the client's own timeout must work.
func ExampleDirection_StopReading() {
	server, stop := lineServer()
	defer stop()
	g, err := gate.Start(context.Background(), gate.Config{Listen: "127.0.0.1:0", Upstream: server})
	if err != nil {
		panic(err)
	}
	defer g.Close()
	client, err := net.Dial("tcp", g.Addr())
	if err != nil {
		panic(err)
	}
	defer client.Close()
	g.ToServer().StopReading()
	fmt.Fprint(client, "PING\r\n")
	client.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err = client.Read(make([]byte, 10))
	fmt.Println("timeout:", errors.Is(err, os.ErrDeadlineExceeded))

	g.Reset() // what was sent meanwhile is delivered
	client.SetReadDeadline(time.Now().Add(5 * time.Second))
	answer, err := bufio.NewReader(client).ReadString('\n')
	fmt.Printf("%q %v\n", answer, err)
	// Output:
	// timeout: true
	// "+PONG\r\n" <nil>
}
