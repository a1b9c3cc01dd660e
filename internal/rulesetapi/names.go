package rulesetapi

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"testudo/internal/fault"
)

// longestName bounds the name of an uploaded file, so that a temporary name
// beside it and a compiled list still fit a directory.
const longestName = 200

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// checkName refuses names that no file is written or deleted by: anything with
// a path in it, hidden files, other endings.
func (k *kind) checkName(name string) error {
	stem, more := name, ""
	if k != listKind {
		var ok bool
		if stem, ok = strings.CutSuffix(name, ".xml"); !ok {
			return fault.New(fault.InvalidFileType, clip(name))
		}
		more = "."
	}
	if stem == "" || len(name) > longestName || stem[0] == '.' || strings.Trim(stem, letters+more) != "" {
		return fault.New(k.badName(), clip(name))
	}
	return nil
}

// badName is the error of a name that leads elsewhere.
func (k *kind) badName() fault.Code {
	if k == listKind {
		return fault.ListPath
	}
	return fault.FileAbsent
}

// clip cuts what a user sent to a length that fits an error.
func clip(text string) string {
	if len(text) > longestName {
		return strings.ToValidUTF8(text[:longestName], "")
	}
	return text
}

// place gives the folder of a file to be written, relative to the kind's own
// one. Only configured folders below that are written to.
func (a *API) place(k *kind, dir string) (within string, err error) {
	if dir == k.own && k == listKind {
		return ".", nil
	}
	section, err := a.conf.ruleset(a.disk)
	if err != nil {
		return "", err
	}
	switch {
	case dir == k.shipped || strings.HasPrefix(dir, k.shipped+"/"):
		return "", fault.New(k.folderShipped, clip(dir))
	case !slices.Contains(k.placesOf(section).folders, dir):
		return "", fault.New(k.folderUnknown, clip(dir))
	case dir == k.own:
		return ".", nil
	}
	within, ok := strings.CutPrefix(dir, k.own+"/")
	if !ok {
		return "", fault.New(k.folderUnknown, clip(dir))
	}
	return within, nil
}

// checkContent refuses what could not be read back.
func (k *kind) checkContent(content string, most int64) error {
	if strings.TrimSpace(content) == "" {
		return fault.New(fault.EmptyFile, nil)
	}
	if int64(len(content)) > most {
		return fault.New(fault.InvalidFileType, fmt.Sprintf("more than %d bytes", most))
	}
	if k == listKind {
		err := checkList([]byte(content))
		switch {
		case errors.Is(err, errNoEntry):
			return fault.New(fault.EmptyFile, nil)
		case err != nil:
			return fault.New(fault.ListFormat, err.Error())
		}
		return nil
	}
	roots, err := parseXML([]byte(content))
	switch {
	case err != nil:
		return fault.New(fault.InvalidXML, reason(err))
	case len(roots) == 0:
		return fault.New(fault.InvalidXML, "no element: line 1")
	}
	return nil
}

// pathOf is how a file is named in answers.
func pathOf(dir, name string) string { return clip(path.Join(dir, name)) }
