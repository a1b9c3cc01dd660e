package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below those that the system gives to outgoing
// connections, so that none is lost between looking and listening.
const (
	lowestPort  = 10000
	highestPort = 32000
)

// freePorts finds different TCP ports that are free on the loopback address.
func freePorts(ctx context.Context, count int) (ports []int, err error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			err = errors.Join(err, l.Close())
		}
	}()
	var config net.ListenConfig
	var last error
	for tries := 0; len(ports) < count; tries++ {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if tries > 100*count {
			return nil, fmt.Errorf("find %d free ports: %w", count, last)
		}
		port := lowestPort + rand.IntN(highestPort-lowestPort) //nolint:gosec // a port is no secret
		l, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		held, ports = append(held, l), append(ports, port)
	}
	return ports, nil
}
