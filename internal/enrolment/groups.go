package enrolment

import (
	"slices"
	"strings"

	"testudo/internal/agent"
)

const (
	maxGroupName  = 255
	groupLetters  = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:;_-=+!@()"
	groupSplitter = ","
)

// CheckGroups reads a list of groups as a request line has it and drops repeated
// names. The error is a *Refusal (docs/enrolment.md §3, §4). How many names there
// are is not looked at: see SplitGroups.
func CheckGroups(text string) ([]string, error) {
	if reason := groupsFault(text); reason != "" {
		return nil, refusal("Invalid group name: ", reason)
	}
	return SplitGroups(text), nil
}

// groupsFault is what is wrong with a list, "" for nothing. The order of the
// checks is the original's.
func groupsFault(text string) string {
	about := func(name, tail string) string { return name[:min(len(name), maxShownGroup)] + "... " + tail }
	isList := strings.Contains(text, groupSplitter)
	switch {
	case text == "":
		return "Empty Group"
	case !isList && len(text) > maxGroupName:
		return about(text, "group is too large")
	case isList && len(text) > maxGroups-1:
		return about(text, "multigroup is too large")
	}
	letters := groupLetters
	if isList {
		letters += groupSplitter
		for name := range strings.SplitSeq(text, groupSplitter) {
			switch {
			case strings.Contains(name, " "):
				return about(text, "white spaces are not allowed")
			case len(name) > maxGroupName:
				return about(name, "group is too large")
			}
		}
	}
	switch {
	case strings.Contains(text, ",,"):
		return about(text, "consecutive ',' are not allowed")
	case text != groupSplitter && strings.Trim(text, groupSplitter) != text:
		return about(text, "cannot start or end with ','")
	case text == groupSplitter, strings.IndexFunc(text, notIn(letters)) >= 0:
		return about(text, `characters '\/:*?"<>|,' are prohibited`)
	}
	return ""
}

func notIn(letters string) func(rune) bool {
	return func(r rune) bool { return !strings.ContainsRune(letters, r) }
}

// SplitGroups reads a list without a check of the names, as the local socket
// does, and drops repeated ones: the first 127 names are compared with each
// other and with the text behind them, which is not taken apart for that
// (docs/enrolment.md §3). Empty names do not count. The result may be longer
// than agent.MaxGroups, or hold a name again, from the 128th on; it is nil
// when there is none.
func SplitGroups(text string) []string {
	var kept []string
	for _, piece := range strings.SplitN(text, groupSplitter, agent.MaxGroups) {
		if !slices.Contains(kept, piece) {
			kept = append(kept, piece)
		}
	}
	var names []string
	for name := range strings.SplitSeq(strings.Join(kept, groupSplitter), groupSplitter) {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}
