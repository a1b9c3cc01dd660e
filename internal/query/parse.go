package query

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"testudo/internal/fault"
)

// Bounds of a text in the language of `q`, beyond which it is error 1407.
const (
	maxQuery   = 32 << 10 // bytes
	maxClauses = 256
	maxDepth   = 32 // of parentheses
)

// Op is an operator of a clause.
type Op string

// The operators.
const (
	Equal    Op = "="
	Unequal  Op = "!="
	Less     Op = "<"
	Greater  Op = ">"
	Contains Op = "~"
)

// Clause compares one field.
type Clause struct {
	Field string
	Op    Op
	Value string
}

// Node is a part of a parsed query: a clause, or parts joined by one word.
type Node struct {
	Clause *Clause
	Or     bool // Parts are alternatives; else all must hold
	Parts  []Node
}

// Parse reads the language of `q` (docs/functions.md §2.2):
//
//	query  = clause { (";" | ",") clause }         ";" is and, "," is or
//	clause = "(" query ")" | field op value
//
// "and" binds closer than "or". Errors: fault.BadQuery for what does not fit,
// fault.BadOperator for an operator that there is not.
func Parse(text string) (Node, error) {
	p := parser{text: text, rest: text}
	if len(text) > maxQuery || !utf8.ValidString(text) {
		return Node{}, p.wrong()
	}
	n, err := p.query(0)
	if err == nil && p.rest != "" {
		err = p.wrong()
	}
	return n, err
}

type parser struct {
	text, rest string
	clauses    int
}

func (p *parser) wrong() error { return fault.New(fault.BadQuery, clip(p.text)) }

// query reads alternatives, each of which is a row of clauses joined by and.
func (p *parser) query(depth int) (Node, error) {
	var alternatives, row []Node
	for {
		n, err := p.clause(depth)
		if err != nil {
			return Node{}, err
		}
		row = append(row, n)
		if p.take(";") {
			continue
		}
		alternatives = append(alternatives, joined(row, false))
		row = nil
		if !p.take(",") {
			return joined(alternatives, true), nil
		}
	}
}

func joined(parts []Node, or bool) Node {
	if len(parts) == 1 {
		return parts[0]
	}
	return Node{Or: or, Parts: parts}
}

func (p *parser) take(sign string) (ok bool) {
	p.rest, ok = strings.CutPrefix(p.rest, sign)
	return ok
}

func (p *parser) clause(depth int) (Node, error) {
	if p.take("(") {
		if depth == maxDepth {
			return Node{}, p.wrong()
		}
		n, err := p.query(depth + 1)
		if err == nil && !p.take(")") {
			err = p.wrong()
		}
		return n, err
	}
	if p.clauses++; p.clauses > maxClauses {
		return Node{}, p.wrong()
	}
	var c Clause
	c.Field, p.rest = split(p.rest, func(r rune) bool { return isWord(r) || r == '.' })
	var op string
	op, p.rest = split(p.rest, func(r rune) bool { return strings.ContainsRune("=!<>~", r) })
	if len(op) > 2 { // what follows is of the value
		op, p.rest = op[:2], op[2:]+p.rest
	}
	if c.Field == "" || op == "" || !p.value(&c, depth) {
		return Node{}, p.wrong()
	}
	switch c.Op = Op(op); c.Op {
	case Equal, Unequal, Less, Greater, Contains:
		return Node{Clause: &c}, nil
	}
	return Node{}, fault.New(fault.BadOperator, op)
}

// value reads up to the next separator or the parenthesis that closes a group.
// Parentheses in pairs, and commas between brackets, belong to the value.
func (p *parser) value(c *Clause, depth int) bool {
	round, square := 0, 0
	end := len(p.rest)
scan:
	for i, r := range p.rest {
		switch {
		case r == '(':
			round++
		case r == ')' && round > 0:
			round--
		case r == ';' || r == ',' && square == 0 || r == ')' && depth > 0:
			end = i
			break scan
		case r == '[' && strings.Contains(p.rest[i:], "]"):
			square++
		case r == ']':
			square = max(0, square-1)
		case r == ',':
		case !isWord(r) && !strings.ContainsRune(` -.:?\/'"=@%<>{}[]`, r):
			return false
		}
	}
	c.Value, p.rest = p.rest[:end], p.rest[end:]
	return c.Value != "" && round == 0
}

// split cuts text behind the runes that are in a set.
func split(text string, in func(rune) bool) (head, tail string) {
	end := strings.IndexFunc(text, func(r rune) bool { return !in(r) })
	if end < 0 {
		return text, ""
	}
	return text[:end], text[end:]
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func outOfRange(err error) bool { return errors.Is(err, strconv.ErrRange) }
