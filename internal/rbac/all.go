package rbac

// AllowsAll tells whether the action may be done to every resource of a type,
// whichever there are. False does not say the contrary: then Filter judges each.
func (p Permissions) AllowsAll(action, kind string) bool {
	all := p.mode == Black
	for _, e := range p.entries(action) {
		if !e.allows() {
			all = false
		} else if e.resource == kind+":*" {
			all = true
		}
	}
	return all
}
