package ossecjson

import "testudo/internal/result"

// object is a JSON object under construction. Its values are texts, nil, lists
// ([]any) and objects.
type object struct {
	names  []string
	values map[string]any
}

func (o *object) get(name string) any { return o.values[name] }

// set puts a value into its place, which is the end for a new name.
func (o *object) set(name string, value any) {
	if o.values == nil {
		o.values = map[string]any{}
	}
	if _, there := o.values[name]; !there {
		o.names = append(o.names, name)
	}
	o.values[name] = value
}

// add appends values to the list of the name. What is there and no list, such as
// an attribute of that name, gives way.
func (o *object) add(name string, values ...any) {
	list, _ := o.values[name].([]any)
	o.set(name, append(list, values...))
}

func (o *object) members() (result.Object, error) {
	list := make(result.Object, 0, len(o.names))
	for _, name := range o.names {
		value, err := encode(o.values[name])
		if err != nil {
			return nil, err
		}
		list = append(list, result.Member{Name: name, Value: value})
	}
	return list, nil
}

// MarshalJSON writes the members in their order.
func (o *object) MarshalJSON() ([]byte, error) {
	list, err := o.members()
	if err != nil {
		return nil, err
	}
	return list.JSON(), nil
}
