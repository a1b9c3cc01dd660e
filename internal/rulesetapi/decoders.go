package rulesetapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// decoder is one decoder of a file. It is shared and does not change.
type decoder struct {
	file     file
	name     string
	position int  // in its file, from 0
	child    bool // it has a parent
	json     json.RawMessage
}

// decoderPatterns are the elements of a decoder that hold an expression.
var decoderPatterns = map[string]bool{"prematch": true, "program_name": true, "regex": true}

// parseDecoders reads a file of decoders.
func parseDecoders(f file, text []byte) ([]decoder, error) {
	roots, err := parseXML(text)
	if err != nil {
		return nil, err
	}
	var decoders []decoder
	for _, e := range roots {
		if e.Name != "decoder" {
			continue
		}
		var d details
		for _, a := range e.Attrs {
			if a.Name != "name" {
				d.addText(a.Name, a.Value)
			}
		}
		for _, c := range e.Children {
			if decoderPatterns[c.Name] || len(c.Attrs) > 0 {
				d.addPattern(c.Name, c.Text, c.Attrs)
			} else {
				d.addText(c.Name, c.Text)
			}
		}
		name, _ := e.Attr("name")
		one := decoder{file: f, name: name, position: len(decoders), child: d.has("parent")}
		dst := appendFile([]byte{'{'}, f, true)
		dst = appendText(append(dst, `, "name": `...), name)
		dst = fmt.Appendf(dst, `, "position": %d, "details": `, one.position)
		one.json = slices.Clip(append(d.append(dst), '}'))
		decoders = append(decoders, one)
	}
	return decoders, nil
}

// orderDecoders orders decoders by the name of the file and the position in it.
func orderDecoders(decoders []decoder) {
	slices.SortStableFunc(decoders, func(a, b decoder) int {
		return cmp.Or(compareText(a.file.name, b.file.name), cmp.Compare(a.position, b.position))
	})
}
