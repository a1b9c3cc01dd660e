package simulate

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"testudo/internal/agent"
)

// What tells simulated agents and groups from real ones.
const (
	namePrefix = "sim-"
	// keyMark begins the key of each simulated agent: "testudo-sim" in
	// hexadecimal. The rest is random: the keys would be good ones.
	keyMark   = "7465737475646f2d73696d"
	keyDigits = 64
	// groupMark is a line in the agent.conf of each simulated group.
	groupMark = "<!-- A group of testudo simulate. -->"
	// ourRows is the condition in SQL that a row is of a simulated agent.
	ourRows = "id > 0 AND name = '" + namePrefix + "' || id AND substr(internal_key, 1, 22) = '" + keyMark + "'"
	// ourGroups is the same for groups, as far as a name can tell.
	ourGroups = `name GLOB 'sim-group-[0-9]*'`
)

// groupName is how simulated groups are called.
var groupName = regexp.MustCompile(`^sim-group-[0-9]{4}$`)

// Name is the name of the simulated agent with an id.
func Name(id agent.ID) string { return namePrefix + strconv.Itoa(int(id)) }

// Group is the name of the i-th simulated group.
func Group(i int) string { return fmt.Sprintf("sim-group-%04d", i) }

func newKey() agent.Secret {
	random := make([]byte, (keyDigits-len(keyMark))/2)
	_, _ = rand.Read(random) // never fails
	return agent.NewSecret(keyMark + hex.EncodeToString(random))
}

// ours says whether a line of client.keys is of a simulated agent, living or
// removed, and whose line it is at all; 0 for none.
func ours(line []byte) (id agent.ID, mine bool) {
	fields := strings.Fields(string(line))
	if len(fields) < 2 || line[0] == '#' || line[0] == ' ' {
		return 0, false
	}
	id, err := agent.ParseID(fields[0])
	if err != nil {
		return 0, false
	}
	mine = len(fields) == 4 && strings.TrimPrefix(fields[1], "!") == Name(id) && len(fields[3]) == keyDigits && strings.HasPrefix(fields[3], keyMark)
	return id, mine
}

// keyFile is what matters of a client.keys.
type keyFile struct {
	ours    map[agent.ID]agent.Secret // keys of the simulated agents
	highest agent.ID                  // of all ids, removed agents' included
	others  []byte                    // the lines that are not ours, as they are
}

// Format shows nothing of the file: most of it is keys.
func (keyFile) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "***") }

// maxKeyLine bounds a line of client.keys.
const maxKeyLine = 64 << 10

func readKeys(r io.Reader) (*keyFile, error) {
	k := &keyFile{ours: map[agent.ID]agent.Secret{}}
	in := bufio.NewReaderSize(r, maxKeyLine)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			id, mine := ours(bytes.TrimRight(line, "\r\n"))
			k.highest = max(k.highest, id)
			switch fields := strings.Fields(string(line)); {
			case !mine:
				k.others = append(k.others, line...)
			case fields[1] == Name(id):
				k.ours[id] = agent.NewSecret(fields[3])
			}
		}
		if err == io.EOF {
			return k, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read client.keys: %w", err)
		}
	}
}
