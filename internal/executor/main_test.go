package executor

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// program is the name under which this test binary is the external program.
const program = "program"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == program {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

// never does not come while a test runs. A wait for nothing at all would end the
// program: the runtime takes it for a deadlock.
var never = time.After(time.Hour)

// child answers each request with its arguments, or does what they say.
func child() int {
	in := bufio.NewReader(os.Stdin)
	for {
		var size [lengthBytes]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return 0
		}
		data := make([]byte, binary.LittleEndian.Uint32(size[:]))
		if _, err := io.ReadFull(in, data); err != nil {
			return 1
		}
		var r struct {
			Args struct {
				Do   string `json:"do"`
				Size int    `json:"size"`
				Text string `json:"text"`
			} `json:"f_kwargs"`
		}
		if json.Unmarshal(data, &r) != nil {
			return 2
		}
		answer := []byte(r.Args.Text)
		switch r.Args.Do {
		case "die":
			return 3
		case "hang": // with a process of its own that holds the outputs
			_ = exec.Command("sleep", "1000").Start()
			<-never
		case "deaf":
			<-never
		case "long":
			answer = make([]byte, r.Args.Size)
		case "eat":
			heap := make([]byte, r.Args.Size)
			for i := 0; i < len(heap); i += 4096 {
				heap[i] = 1
			}
		case "shout":
			fmt.Fprintln(os.Stderr, strings.Repeat(r.Args.Text, r.Args.Size))
		case "pid":
			answer = fmt.Appendf(nil, `{"pid": %d, "home": %q}`, os.Getpid(), os.Getenv("TESTUDO_HOME"))
		case "half":
			os.Stdout.Write([]byte{9, 0, 0, 0, 'x'})
			return 0
		}
		os.Stdout.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(answer))), answer...))
	}
}
