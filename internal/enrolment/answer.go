package enrolment

import (
	"encoding/json"
	"errors"

	"testudo/internal/agent"
)

// TextRemoved is the data of the answer to a removal.
const TextRemoved = "Agent deleted successfully."

// ErrAnswer is returned when an answer of the local socket makes no sense.
var ErrAnswer = errors.New("the answer of the enrolment service is not understood")

// Answer is what the local socket answers: a refusal, an agent, or a text.
type Answer struct {
	Refusal *Refusal // nil when it was done
	ID      string   // "" when the data is Text
	Name    string
	IP      string // Address.Asked
	Key     agent.Secret
	Text    string
}

type refusedJSON struct {
	Error   int    `json:"error"`
	Message string `json:"message"`
}

type doneJSON struct {
	Error int `json:"error"`
	Data  any `json:"data"`
}

type agentJSON struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	IP   string `json:"ip"`
	Key  string `json:"key"`
}

// JSON is the answer as it is sent. It holds the key in the clear.
func (a Answer) JSON() []byte {
	switch r := a.Refusal; {
	case r != nil && r.Code == 0: // it was not meant for the socket
		return compact(refusedJSON{CodeInternal, r.Text})
	case r != nil:
		return compact(refusedJSON{r.Code, r.Text})
	case a.ID == "":
		return compact(doneJSON{Data: a.Text})
	}
	return compact(doneJSON{Data: agentJSON{a.ID, a.Name, a.IP, a.Key.Reveal()}})
}

// ParseAnswer reads an answer of any node. Refusal has the text of the answer,
// whatever the number. The error is ErrAnswer: there is no error member, or no data
// with a text, or with id and key.
func ParseAnswer(data []byte) (Answer, error) {
	o, ok := readObject(data)
	if !ok {
		return Answer{}, ErrAnswer
	}
	code, ok := o.get("error")
	if !ok {
		return Answer{}, ErrAnswer
	}
	if number, _ := wholeNumber(code); number > 0 {
		message, _ := o.get("message")
		said, ok := text(message)
		if !ok {
			said = "(undefined)" // as the original's workers say
		}
		return Answer{Refusal: &Refusal{Code: int(number), Text: said}}, nil
	}
	value, _ := o.get("data")
	if said, ok := text(value); ok {
		return Answer{Text: said}, nil
	}
	return readAgent(value)
}

func readAgent(value json.RawMessage) (Answer, error) {
	o, _ := readObject(value)
	var a Answer
	for name, into := range map[string]*string{"id": &a.ID, "name": &a.Name, "ip": &a.IP} {
		member, _ := o.get(name)
		*into, _ = text(member)
	}
	key, _ := o.get("key")
	secret, _ := text(key)
	if !validID(a.ID) || !storable(secret) {
		return Answer{}, ErrAnswer
	}
	a.Key = agent.NewSecret(secret)
	return a, nil
}

// ParseAdded reads the answer to an addition, for a worker: the error is the
// *Refusal that the agent is told.
func ParseAdded(data []byte) (Answer, error) {
	a, err := ParseAnswer(data)
	switch {
	case err != nil || a.Refusal == nil && a.ID == "":
		return Answer{}, NotUnderstood()
	case a.Refusal != nil:
		return Answer{}, a.Refusal
	}
	return a, nil
}
