package wdb

import (
	"strconv"

	"testudo/internal/agentdb"
)

// replyBytes is the longest reply; a longer one is cut to it, which clients take
// as a sign to ask for less (docs/agentdb.md §2).
const replyBytes = 65536

// reply is the text of an answer (docs/agentdb.md §4).
type reply []byte

func ok() reply { return reply("ok") }

func okText(payload string) reply { return append(reply("ok "), payload...) }

func fail(text string) reply { return append(reply("err "), text...) }

// page is rows, of which more may wait.
func page(p agentdb.Page) reply {
	word := "ok "
	if p.More {
		word = "due "
	}
	return append(append(make(reply, 0, len(word)+len(p.JSON)+1), word...), p.JSON...)
}

// near is fail with the beginning of the text that is at fault.
func near(what, text string) reply {
	return fail(what + ", near '" + text[:min(len(text), 32)] + "'")
}

func badQuery(text string) reply { return near("Invalid DB query syntax", text) }

func badJSON(text string) reply { return near("Invalid JSON syntax", text) }

func badData(text string) reply { return near("Invalid JSON data", text) }

// failed tells whether the answer says that something went wrong.
func (r reply) failed() bool { return len(r) >= 3 && string(r[:3]) == "err" }

// appendString adds s as a JSON string in the form of docs/agentdb.md §5.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
		case c == '\b':
			dst = append(dst, '\\', 'b')
		case c == '\f':
			dst = append(dst, '\\', 'f')
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(dst, '"')
}

// number is a plain number of an argument: leading digits, 0 for anything else
// (docs/agentdb.md §7.1). digits is false when there are none.
func number(text string) (n int64, digits bool) {
	for len(text) > 0 && (text[0] == ' ' || text[0] >= '\t' && text[0] <= '\r') {
		text = text[1:]
	}
	end := 0
	if end < len(text) && (text[0] == '-' || text[0] == '+') {
		end++
	}
	first := end
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	if end == first {
		return 0, false
	}
	// Out of range gives the nearest number that there is.
	n, err := strconv.ParseInt(text[:end], 10, 64)
	return n, err == nil || n != 0
}
