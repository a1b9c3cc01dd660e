package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"testudo/internal/config"
	"testudo/internal/home"
)

// homeFlag is the flag that says where the node lives.
type homeFlag struct {
	Home string `placeholder:"DIR" help:"Directory of the node. Without it: $$TESTUDO_HOME, else the directory above this program's bin/ when that holds etc/ossec.conf, else /var/ossec."`
}

// errNoHome is returned when there is no node where one was looked for.
var errNoHome = errors.New("no home of a node")

// locate finds the home, which must be one. ossec.conf need not be there when
// another file is read in its place.
func (h homeFlag) locate(confFile string) (string, error) {
	dir, why := home.Locate(h.Home)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s (%s) does not exist: %w; make one with 'testudo init' or say where it is with --home", dir, why, errNoHome)
	case err != nil:
		return "", fmt.Errorf("look for the home: %w", err)
	case !info.IsDir():
		return "", fmt.Errorf("%s (%s) is not a directory: %w", dir, why, errNoHome)
	}
	if confFile != "" {
		return dir, nil
	}
	if _, err := os.Stat(filepath.Join(dir, config.ConfPath)); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s (%s) holds no %s: %w; make one with 'testudo init' or say where it is with --home", dir, why, config.ConfPath, errNoHome)
	}
	return dir, nil
}
