package enrolment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// AnyAddress is the address of agents that may come from everywhere.
const AnyAddress = "any"

// ErrAddress is returned when a text is no address of an agent.
var ErrAddress = errors.New("an agent's address is \"any\", an address, or a network with prefix length or netmask")

// Address is where an agent may come from, in the forms that it has
// (docs/enrolment.md §7). All are AnyAddress for "any".
type Address struct {
	Asked  string // as replies show it: IPv6 expanded, IPv4 as it was written
	Stored string // as client.keys has it
	Bare   string // without prefix length, as the database has it; what duplicates are found by
}

// ParseAddress reads an address as asked for or stored. A '!' in front is
// dropped. The error is ErrAddress.
func ParseAddress(text string) (Address, error) {
	text = strings.TrimPrefix(text, "!")
	if text == AnyAddress {
		return Address{AnyAddress, AnyAddress, AnyAddress}, nil
	}
	// Mapped means four numbers in dots behind these very signs.
	if v4 := text[min(len(text), len("::ffff:")):]; strings.EqualFold(text[:len(text)-len(v4)], "::ffff:") && strings.Contains(v4, ".") {
		text = v4
	}
	bare, mask, isNet := strings.Cut(text, "/")
	ip, err := netip.ParseAddr(bare)
	switch {
	case err != nil:
		return Address{}, ErrAddress
	case ip.Is4():
		return address4(text, ip, mask, isNet)
	case strings.ContainsAny(bare, ".%"), isNet && bare == "::": // no such network in the original; 0::/64 is one
		return Address{}, ErrAddress
	default:
		return address6(ip, mask, isNet)
	}
}

func address4(text string, ip netip.Addr, mask string, isNet bool) (Address, error) {
	a := Address{Asked: text, Stored: ip.String(), Bare: ip.String()}
	if !isNet {
		return a, nil
	}
	length, ok := prefixLength(mask)
	if !ok || length > ip.BitLen() {
		netmask, err := netip.ParseAddr(mask)
		if err != nil || !netmask.Is4() {
			return Address{}, ErrAddress
		}
		if length, ok = maskLength(netmask.As4()); !ok {
			return a, nil // the original forgets masks with gaps
		}
	}
	if length < ip.BitLen() {
		a.Stored += "/" + strconv.Itoa(length)
	}
	return a, nil
}

// prefixLength reads one or two digits without leading zero.
func prefixLength(text string) (length int, ok bool) {
	if text == "" || len(text) > 2 || len(text) == 2 && text[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 8)
	return int(n), err == nil
}

// maskLength is how many ones a mask begins with; ok is false when more follow.
func maskLength(mask [4]byte) (length int, ok bool) {
	m := binary.BigEndian.Uint32(mask[:])
	length = bits.LeadingZeros32(^m)
	return length, m<<length == 0
}

func address6(ip netip.Addr, mask string, isNet bool) (Address, error) {
	full := expanded(ip)
	a := Address{full, full, full}
	if !isNet {
		return a, nil
	}
	length, err := strconv.ParseUint(mask, 10, 8)
	if err != nil || len(mask) > 3 || len(mask) == 3 && mask[0] == '0' || int(length) > ip.BitLen() {
		return Address{}, ErrAddress
	}
	if length == 0 {
		return a, nil // the original forgets this one
	}
	a.Asked += "/" + strconv.Itoa(int(length))
	if int(length) < ip.BitLen() {
		a.Stored = a.Asked
	}
	return a, nil
}

// expanded is all eight groups with four upper-case digits each.
func expanded(ip netip.Addr) string {
	b := ip.As16()
	var groups []string
	for pair := range slices.Chunk(b[:], 2) {
		groups = append(groups, fmt.Sprintf("%04X", binary.BigEndian.Uint16(pair)))
	}
	return strings.Join(groups, ":")
}

// PeerAddress is the text of the address that a connection comes from.
func PeerAddress(peer netip.Addr) string {
	if peer = peer.Unmap().WithZone(""); peer.Is6() {
		return expanded(peer)
	}
	return peer.String()
}
