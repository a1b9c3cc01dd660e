package enrolment

import (
	"fmt"
	"strings"

	"testudo/internal/agent"
)

const (
	// ErrorPrefix is what a reply that refuses begins with.
	ErrorPrefix = "ERROR: "

	// TextUnable is the second write after each refusal (docs/enrolment.md §4).
	TextUnable = "ERROR: Unable to add agent"

	// TextInvalidPassword refuses a wrong password, or none.
	TextInvalidPassword = "Invalid password"
	// TextInvalidRequest refuses what has no OSSEC A:'NAME' where it should be.
	TextInvalidRequest = "Invalid request for new agent"

	// maxReply is the longest reply to an agent, in bytes; what is longer is cut.
	maxReply = 2047

	// maxShownGroup is how many bytes of a group's name a refusal shows.
	maxShownGroup = 255
)

// Numbers of refusals on the local socket (docs/enrolment.md §9).
const (
	CodeInternal    = 9001
	CodeJSON        = 9002
	CodeNoFunction  = 9003
	CodeNoArguments = 9004
	CodeNoName      = 9005
	CodeNoAddress   = 9006
	CodeAddressUsed = 9007
	CodeNameUsed    = 9008
	CodeKey         = 9009
	CodeNoID        = 9010
	CodeUnknownID   = 9011
	CodeIDUsed      = 9012
	CodeTooMany     = 9013 // not given any more
	CodeGroups      = 9014
	CodeWorker      = 9015
)

// codeTexts is read only.
var codeTexts = map[int]string{
	CodeInternal:    "Internal error",
	CodeJSON:        "Parsing JSON input",
	CodeNoFunction:  "No such function",
	CodeNoArguments: "No such argument",
	CodeNoName:      "No such name",
	CodeNoAddress:   "No such IP",
	CodeAddressUsed: "Duplicate IP",
	CodeNameUsed:    "Duplicate name",
	CodeKey:         "Issue generating key",
	CodeNoID:        "No such agent ID",
	CodeUnknownID:   "Agent ID not found",
	CodeIDUsed:      "Duplicate ID",
	CodeTooMany:     "Maximum number of agents reached",
	CodeGroups:      "Invalid Group(s) Name(s)",
	CodeWorker:      "Cannot execute this request on a worker node",
}

// Refusal is why there is no key for somebody, in the words in which it is told.
type Refusal struct {
	Text string // without ErrorPrefix. It quotes the request: it may hold any byte
	Code int    // on the local socket, 9001 and above; 0 at the port
}

// Error tells the refusal, safe for a log.
func (r *Refusal) Error() string {
	if r.Code != 0 {
		return fmt.Sprintf("enrolment refused: %d %q", r.Code, r.Text)
	}
	return fmt.Sprintf("enrolment refused: %q", r.Text)
}

// Line is the first of the two writes to an agent that is refused; the other is
// TextUnable.
func (r *Refusal) Line() []byte {
	text := ErrorPrefix + r.Text
	return []byte(text[:min(len(text), maxReply)])
}

// Refused is the refusal with one of the numbers above.
func Refused(code int) *Refusal { return &Refusal{Text: codeTexts[code], Code: code} }

// The refusals below are those of the port that are not found in the request
// line itself (docs/enrolment.md §4).

// InvalidName is for a name that breaks the rule, or is the node's own.
func InvalidName(name string) *Refusal { return refusal("Invalid agent name: ", name) }

// DuplicateAddress is for an address whose agent stays.
func DuplicateAddress(address string) *Refusal { return refusal("Duplicate IP: ", address) }

// DuplicateName is for a name whose agent stays.
func DuplicateName(name string) *Refusal { return refusal("Duplicate agent name: ", name) }

// TooManyGroups is for more than agent.MaxGroups groups.
func TooManyGroups() *Refusal {
	return refusal("Maximum multigroup reached: Limit is ", fmt.Sprint(agent.MaxGroups))
}

// UnknownGroup is for a group that has no directory.
func UnknownGroup(name string) *Refusal { return refusal("Invalid group: ", name) }

// InternalError is for a key that could not be stored.
func InternalError(name string) *Refusal {
	return refusal("Internal manager error adding agent: ", name)
}

// NoMaster is what a worker says that does not reach its master. The spelling is
// the original's.
func NoMaster() *Refusal { return refusal("Cannot comunicate with master") }

// NotUnderstood is what a worker says when its master's answer makes no sense.
func NotUnderstood() *Refusal { return refusal("Invalid message format") }

func refusal(text ...string) *Refusal { return &Refusal{Text: strings.Join(text, "")} }
