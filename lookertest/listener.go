package lookertest

import (
	"context"
	"net"
)

// listener is a listener whose connections end with it, whatever is under way on them, and even one
// that is just being accepted.
type listener struct {
	net.Listener
	open context.Context // ended by Close
	end  context.CancelFunc
}

func newListener(within net.Listener) *listener {
	open, end := context.WithCancel(context.Background())
	return &listener{within, open, end}
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	forget := context.AfterFunc(l.open, func() { conn.Close() })
	return &accepted{conn, forget}, nil
}

func (l *listener) Close() error {
	l.end()
	return l.Listener.Close()
}

// accepted is a connection of a listener's.
type accepted struct {
	net.Conn
	forget func() bool // lets the listener's end leave it alone
}

func (a *accepted) Close() error {
	a.forget()
	return a.Conn.Close()
}
