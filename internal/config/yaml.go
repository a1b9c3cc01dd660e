package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// parseYAML reads a YAML file of one document. An empty file gives nil. Errors
// are *lineError.
func parseYAML(data []byte) (*node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	switch err := dec.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, yamlFault(err)
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, &lineError{max(second.Line, 1), "a second document begins here"}
	case !errors.Is(err, io.EOF):
		return nil, yamlFault(err)
	}
	if len(document.Content) != 1 {
		return nil, nil
	}
	return fromYAML(document.Content[0], 0)
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func yamlFault(err error) error {
	parts := yamlLine.FindStringSubmatch(err.Error())
	if parts == nil {
		return &lineError{1, strconv.QuoteToGraphic(err.Error())}
	}
	line, _ := strconv.Atoi(parts[1])
	return &lineError{max(line, 1), parts[2]}
}

// fromYAML takes over what a settings file needs. Anchors, aliases and own tags
// have no use there, and aliases can grow without bound.
func fromYAML(y *yaml.Node, depth int) (*node, error) {
	n := &node{line: y.Line}
	switch {
	case depth > maxDepth:
		return nil, &lineError{y.Line, fmt.Sprintf("nested deeper than %d", maxDepth)}
	case y.Kind == yaml.AliasNode || y.Anchor != "":
		return nil, &lineError{y.Line, "anchors and aliases are not supported"}
	}
	switch y.Kind {
	case yaml.MappingNode:
		n.kind = kindObject
		for i := 0; i+1 < len(y.Content); i += 2 {
			key := y.Content[i]
			if key.Kind != yaml.ScalarNode {
				return nil, &lineError{key.Line, "a key is no text"}
			}
			value, err := fromYAML(y.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			if err := n.addMember(key.Value, key.Line, value); err != nil {
				return nil, err
			}
		}
	case yaml.SequenceNode:
		n.kind = kindList
		for _, element := range y.Content {
			value, err := fromYAML(element, depth+1)
			if err != nil {
				return nil, err
			}
			n.list = append(n.list, value)
		}
	default:
		n.text, n.kind = y.Value, kindText
		switch y.ShortTag() {
		case "!!null":
			n.kind = kindNull
		case "!!bool":
			n.kind = kindBool
		case "!!int", "!!float":
			n.kind = kindNumber
		}
	}
	return n, nil
}
