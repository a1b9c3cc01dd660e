package wdb

import (
	"bytes"
	"context"
	"strings"
	"time"

	"testudo/internal/agent"
)

// requestBytes is the longest request (docs/agentdb.md §2).
const requestBytes = 65536

// cleanRequest takes the end off a message: one character 0, or a line feed,
// which the reply then has as well. The text ends at the next character 0.
func cleanRequest(message []byte) (text string, line bool) {
	switch n := len(message) - 1; message[n] {
	case 0:
		message = message[:n]
	case '\n':
		message, line = message[:n], true
	}
	message, _, _ = bytes.Cut(message, []byte{0})
	return string(message), line
}

// cut splits a text at the first blank that no backslash takes the meaning from.
func cut(text string) (word, rest string, found bool) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case ' ':
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

// words splits plain arguments at blanks, however many.
func words(args string) []string {
	return strings.FieldsFunc(args, func(r rune) bool { return r == ' ' })
}

// verb is one command of an actor.
type verb struct {
	name  string
	group string // what the statistics file it under
	may   may
	do    func(ctx context.Context, args string) reply
	// of, in place of do, is a command about one agent.
	of func(ctx context.Context, id agent.ID, args string) reply
}

// may is what a verb is allowed.
type may uint8

const (
	bare may = 1 << iota // to come without arguments
	slow                 // to take slowTimes as long as others
)

const slowTimes = 20

// actor is the first word of a request, with what may follow it.
type actor struct {
	verbs  []verb
	byName map[string]int
	stats  *actorStats
	time   time.Duration // that a request may take
	// instead answers in its own way what is behind the actor.
	instead func(ctx context.Context, rest string) reply
}

func (s *Server) newActor(verbs []verb) *actor {
	a := &actor{
		verbs: verbs, byName: make(map[string]int, len(verbs)), stats: newActorStats(len(verbs)), time: s.o.QueryTime,
	}
	for i, v := range verbs {
		a.byName[v.name] = i
	}
	return a
}

// answer runs the verb that text begins with. id is of the agent that it is about.
func (a *actor) answer(ctx context.Context, id agent.ID, text string) reply {
	name, args, found := cut(text)
	i, known := a.byName[name]
	if !known || !found && a.verbs[i].may&bare == 0 {
		return badQuery(name)
	}
	v, limit := &a.verbs[i], a.time
	if v.may&slow != 0 {
		limit *= slowTimes
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer a.stats.begin(i)()
	if v.of != nil {
		return v.of(ctx, id, args)
	}
	return v.do(ctx, args)
}

// answer is the reply to the text of any request (docs/agentdb.md §3).
func (s *Server) answer(ctx context.Context, text string) (r reply, who string) {
	if strings.HasPrefix(text, "{") {
		return s.jsonCommand(text), "json"
	}
	text = strings.TrimLeft(text, " \n")
	word, rest, found := cut(text)
	if !found {
		return badQuery(word), "none"
	}
	a, known := s.actors[word]
	if !known {
		return fail("Invalid DB query actor: '" + word[:min(len(word), 32)] + "'"), "none"
	}
	a.stats.received.Add(1)
	if a.instead != nil {
		return a.instead(ctx, rest), word
	}
	return a.answer(ctx, 0, rest), word
}
