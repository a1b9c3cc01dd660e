package nodekeys

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
)

// ErrText is returned for a line that is no key.
var ErrText = errors.New("neither \"ID NAME ADDRESS KEY\" nor the base64 of it")

// Text is the form in which a key travels from the manager to its agent by hand:
// the base64 of "ID NAME ADDRESS KEY" (docs/enrolment.md §7).
func Text(k agent.Key) string {
	return base64.StdEncoding.EncodeToString([]byte(line(k)))
}

func line(k agent.Key) string {
	return k.Text + " " + k.Name + " " + k.Address + " " + k.Secret.Reveal()
}

// importLine bounds a line of what is imported: the base64 of the longest line
// of client.keys.
const importLine = 8 << 10

// Import reads keys in the form of Text, or plain as in client.keys, one a line.
// Empty lines and those that begin with '#' do not count. Errors name the line,
// and never what is in it.
func Import(r io.Reader, take func(agent.Key)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, importLine), importLine)
	number := 0
	for lines.Scan() {
		number++
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		key, err := parseText(text)
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		take(key)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("after line %d: %w", number, err)
	}
	return nil
}

// parseText reads one key. A plain line has blanks, which base64 has not.
func parseText(text []byte) (agent.Key, error) {
	if !bytes.ContainsRune(text, ' ') {
		plain, err := base64.StdEncoding.DecodeString(string(text))
		if err != nil {
			return agent.Key{}, ErrText
		}
		text = plain
	}
	k, counts, err := agent.ParseKey(string(text))
	if err != nil || !counts || k.Removed || len(bytes.Fields(text)) != keyParts || strings.HasPrefix(k.Address, "!") {
		return agent.Key{}, ErrText
	}
	if _, err := enrolment.ParseAddress(k.Address); err != nil {
		return agent.Key{}, ErrText
	}
	return k, nil
}

// keyParts are id, name, address and key.
const keyParts = 4
